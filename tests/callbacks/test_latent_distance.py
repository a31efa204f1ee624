"""The `distances` command, and the callback in `fit` and `adapt`."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bnadapt.callbacks import LatentDistance
from bnadapt.commands.cli import main
from bnadapt.data import Synthetic
from bnadapt.distances import DistanceError
from tests.conftest import DOMAINS, LOADING, SMALL, TARGET_ALONE
from tests.processes import run_in_two


def table(folder):
    """Rows of distances.csv by layer, state and measure."""
    rows = csv.DictReader((folder / "distances.csv").open())
    return {(row["layer"], row["state"], row["measure"]): row for row in rows}


def test_distances_measures_without_adapting_or_training(best, tmp_path, capfd):
    before = best.read_bytes()
    two = '--measures=["channel_wasserstein", "energy"]'
    main(["distances", *LOADING, "--ckpt_path", str(best), "--output", str(tmp_path / "page"), two])
    rows = table(tmp_path / "page")
    assert {state for _, state, _ in rows} == {"noise_floor", "unadapted"}
    assert len(rows) == 27 * 2 * 2
    row = rows["encoder.0.norm1", "unadapted", "channel_wasserstein"]
    assert float(row["value"]) > 0.2
    assert float(row["value"]) > 2 * float(rows["encoder.0.norm1", "noise_floor", "channel_wasserstein"]["value"])
    assert best.read_bytes() == before
    printed = capfd.readouterr().out
    assert "differ most in" in printed
    assert str(tmp_path / "page" / "index.html") in printed


@pytest.fixture(scope="module")
def measured(tmp_path_factory, adapted_once):
    """The page and the log of `distances` of the adapted checkpoint."""
    folder = tmp_path_factory.mktemp("measured")
    asked = ["distances", *LOADING, "--ckpt_path", str(adapted_once / "adapted.ckpt"), "--output", str(folder / "page")]
    main([*asked, f"--trainer.logger.save_dir={folder}", "--trainer.logger.version=version_0"])
    return folder


@pytest.fixture(scope="module")
def measured_by_bank(tmp_path_factory, adapted_once, best):
    """The page of `distances` of the source's checkpoint and the bank of the target."""
    folder, bank = tmp_path_factory.mktemp("by-bank"), str(adapted_once / "adapted.safetensors")
    asked = ["distances", *LOADING, "--ckpt_path", str(best), "--bank", bank, "--output", str(folder / "page")]
    main([*asked, "--trainer.logger=false", '--layers=["encoder.?", "bottleneck"]', '--measures=["energy"]'])
    return folder


@pytest.mark.parametrize(("how", "count"), [("measured", 27 * 3 * 11), ("measured_by_bank", 5 * 3)])
def test_an_adapted_network_has_three_states_and_the_numbers_of_adapt(request, adapted, how, count):
    rows = table(request.getfixturevalue(how) / "page")
    record = json.loads(adapted.with_suffix(".json").read_text())["distances"]
    for (layer, state, measure), row in rows.items():
        assert float(row["value"]) == pytest.approx(record[state][layer][measure], rel=1e-4, abs=1e-6)
    assert len(rows) == count
    energies = {state: {layer: each["energy"] for layer, each in record[state].items()} for state in record}
    assert sum(energies["adapted"].values()) < sum(energies["unadapted"].values()) * 0.65


def test_adapt_writes_the_page_beside_the_checkpoint(adapted):
    assert (adapted.parent / "adapted-distances" / "index.html").exists()


def test_layers_measures_and_numbers_of_tiles_are_as_asked(best, tmp_path):
    asked = ['--layers=["encoder.?", "head"]', '--measures=["energy"]', "--tiles=3", "--positions_per_tile=10"]
    main(["distances", *LOADING, "--ckpt_path", str(best), "--output", str(tmp_path / "page"), *asked])
    rows = table(tmp_path / "page")
    assert [layer for layer, state, _ in rows if state == "unadapted"] == [f"encoder.{n}" for n in range(4)] + ["head"]
    assert {measure for _, _, measure in rows} == {"energy"}
    assert rows["head", "unadapted", "energy"]["source_samples"] == "30"


def test_distances_never_reads_a_mask(best, tmp_path, monkeypatch):
    def forbidden(self, index):
        raise AssertionError("a mask was read")

    plain = Synthetic.labelled

    def labelled(self):
        return [replace(section, read_mask=forbidden) for section in plain(self)]

    monkeypatch.setattr(Synthetic, "labelled", labelled)
    few = ['--measures=["energy"]', '--layers=["head"]', "--trainer.logger=false"]
    main(["distances", *LOADING, "--ckpt_path", str(best), "--output", str(tmp_path / "page"), *few])
    assert (tmp_path / "page" / "index.html").exists()


def test_two_processes_find_what_one_finds(best, tmp_path):
    measures = '--measures=["normalised_wasserstein", "energy", "histogram_bhattacharyya"]'
    command = ["distances", *LOADING, "--ckpt_path", str(best), measures, '--layers=["encoder.*", "head"]', "--output"]
    assert run_in_two(*command, tmp_path / "two").count("differ most in") == 1
    main([*command, str(tmp_path / "one")])
    one, two = table(tmp_path / "one"), table(tmp_path / "two")
    assert one.keys() == two.keys()
    for key, row in one.items():
        assert row["source_samples"] == two[key]["source_samples"]
        assert float(two[key]["value"]) == pytest.approx(float(row["value"]), rel=1e-2, abs=1e-3)


def test_tensorboard_has_tables_pictures_and_the_projector(measured):
    folder = next(measured.rglob("version_0"))
    tags = EventAccumulator(str(folder)).Reload().Tags()
    assert "distances/energy/text_summary" in tags["tensors"]
    images = tags["images"]
    assert {f"picture/distances/{name}" for name in ("depth", "map", "densities", "view", "agreement")} <= set(images)
    assert "latents/bottleneck" in (folder / "projector_config.pbtxt").read_text()
    (metadata,) = folder.rglob("metadata.tsv")
    assert set(metadata.read_text().split("\n")) - {""} == {"source", "target", "target, adapted"}


def test_refusals(refused, best, tmp_path):
    asked = ("distances", *LOADING, "--ckpt_path", best, "--output", tmp_path / "page")
    assert "No layer is named 'nosuch'" in refused(*asked, '--layers=["nosuch"]')
    assert "There is no measure 'nosuch'; take some of normalised" in refused(*asked, '--measures=["nosuch"]')
    assert "give at least 1 of both" in refused(*asked, "--tiles=0")
    assert "there is no source; give --data.source" in refused("distances", *TARGET_ALONE, "--ckpt_path", best)
    (tmp_path / "file").write_text("mine")
    assert "is a file; give a folder" in refused(
        "distances", *LOADING, "--ckpt_path", best, "--output", tmp_path / "file"
    )
    assert not (tmp_path / "page").exists()
    assert (tmp_path / "file").read_text() == "mine"


def test_images_that_are_not_finite_are_refused(refused, best, tmp_path, monkeypatch):
    plain = Synthetic.image

    def broken(self, index):
        image = plain(self, index)
        image[0, 0] = np.nan
        return image

    monkeypatch.setattr(Synthetic, "image", broken)
    message = refused("distances", *LOADING, "--ckpt_path", best, "--output", tmp_path / "page")
    assert "NaN" in message
    assert not (tmp_path / "page").exists()


def test_fit_measures_at_its_end(tmp_path):
    callbacks = ["BatchNormAdaptation", "LatentDistance"]
    options = [f"--trainer.callbacks+=bnadapt.callbacks.{name}" for name in callbacks]
    cli = main(["fit", *SMALL, *DOMAINS, *options, '--trainer.callbacks.measures=["energy"]'])
    assert set(cli.model.adaptation["distances"]) == {"noise_floor", "unadapted", "adapted"}


def test_fit_also_measures_while_it_trains(tmp_path):
    options = ["--trainer.callbacks+=bnadapt.callbacks.LatentDistance", "--trainer.callbacks.every_n_epochs=1"]
    cli = main(["fit", *SMALL, *DOMAINS, *options, '--trainer.callbacks.measures=["energy"]'])
    scalars = EventAccumulator(cli.trainer.log_dir).Reload()
    assert len(scalars.Scalars("latent/mean/energy")) == len(scalars.Scalars("latent/layer/bottleneck")) == 2


class Module(LightningModule):
    """Anyone's, with BatchNorm, noise of its own, and nothing of bnadapt."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Conv2d(4, 2, 1))

    def forward(self, images):
        return self.net(images)

    def training_step(self, batch, batch_idx):
        images, masks = batch
        return nn.functional.cross_entropy(self(images), masks[:, 1:-1, 1:-1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fitted(*callbacks, epochs=4):
    """A plain Trainer that has trained the module on plain loaders."""
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(8, 1, 12, 12), torch.randint(2, (8, 12, 12)))
    source = DataLoader(data, batch_size=4, shuffle=True)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    made = [
        each(source, [torch.randn(8, 1, 12, 12, generator=torch.Generator().manual_seed(1)) + 2]) for each in callbacks
    ]
    trainer = Trainer(max_epochs=epochs, accelerator="cpu", logger=CSVLogger("logs"), callbacks=made, **quiet)
    trainer.fit(Module(), source)
    return trainer


def test_a_plain_trainer_measures_plain_loaders_and_trains_as_without():
    def watching(source, target):
        return LatentDistance(8, measures=["energy", "frechet"], every_n_epochs=2, source=source, target=target)

    trainer, plain = fitted(watching), fitted()
    rows = csv.DictReader(Path("logs/lightning_logs/version_0/metrics.csv").read_text().splitlines())
    rows = [row for row in rows if row["latent/mean/energy"]]
    assert [int(row["epoch"]) for row in rows] == [1, 3]
    assert float(rows[-1]["latent/layer/net.1"]) > 0.1
    assert float(rows[-1]["latent/mean/frechet"]) > 0
    assert {"latent/layer/net.1", "latent/mean/frechet"} <= trainer.callback_metrics.keys()
    for one, other in zip(trainer.model.state_dict().values(), plain.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_what_cannot_be_measured_in_training_is_refused_or_said(caplog):
    with pytest.raises(DistanceError, match="give both source and target"):
        LatentDistance(source=[torch.zeros(1, 1, 8, 8)])
    with pytest.raises(DistanceError, match="every_n_epochs is 0; give at least 1"):
        LatentDistance(every_n_epochs=0)
    fitted(lambda source, target: LatentDistance(every_n_epochs=1), epochs=1)
    assert "No latent distances" in caplog.text
