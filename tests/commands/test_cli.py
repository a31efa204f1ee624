"""The command line from end to end, and every refusal."""

import hashlib
import json
import weakref
from pathlib import Path

import h5py
import imageio.v3
import numpy as np
import pytest
import tifffile
import torch

from bnadapt import __version__
from bnadapt.batchnorm import Bank
from bnadapt.commands.cli import main
from bnadapt.data import Stack, Synthetic
from bnadapt.data.readers import Sections, open_stack
from bnadapt.data.writers import StackFile
from tests.conftest import DOMAINS, LOADING, SMALL, TARGET_ALONE, without, write_images
from tests.processes import run_in_two


def weights(path):
    return torch.load(path, weights_only=True)["state_dict"]


def test_fit_writes_best_and_last_checkpoint(trained):
    assert {path.name for path in trained.iterdir()} >= {"best.ckpt", "last.ckpt"}


def test_adapt_changes_running_statistics_alone(best, adapted):
    before, after = weights(best), weights(adapted)
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed
    assert all(key.endswith(("running_mean", "running_var")) for key in changed)
    assert {key for key in before if key.endswith("running_mean") and "encoder.0" in key} <= changed


def test_adapt_writes_a_record_of_what_it_did(best, adapted):
    record = json.loads(adapted.with_suffix(".json").read_text())
    assert record["provenance"]["checkpoint"]["path"].endswith("best.ckpt")
    assert record["provenance"]["checkpoint"]["sha256"] == hashlib.sha256(best.read_bytes()).hexdigest()
    assert record["provenance"]["bnadapt"] == __version__
    assert record["target"] == "synthetic"
    assert record["tiles"] > 0
    assert record["pixels"] == record["tiles"] * 32 * 32
    assert record["policy"] == {
        "source_weight": 0.5,
        "statistics": "both",
        "layers": "full_resolution",
        "depth": [0, None],
    }
    assert record["propagation"] == "one_pass"
    assert record["precision"] == "32-true"
    assert record["seconds"] > 0
    assert record["alarms"] == []
    assert list(record["distances"]) == ["noise_floor", "unadapted", "adapted"]
    assert record["batchnorm_layers"] == 18
    assert len(record["distances"]["adapted"]) == 18 + 9  # and the stages
    before, after = (
        np.mean([layer["sliced_wasserstein"] for layer in record["distances"][state].values()])
        for state in ("unadapted", "adapted")
    )
    assert after < before


def test_adapt_brings_the_target_back(best, adapted):
    asked = ["test", *TARGET_ALONE, "--trainer.logger=false", "--ckpt_path"]
    scores = [main([*asked, str(path)]).trainer.callback_metrics for path in (best, adapted)]
    assert scores[1]["test/target/iou"] > scores[0]["test/target/iou"] + 0.1


def test_adapt_never_reads_a_mask(best, tmp_path, monkeypatch):
    def forbidden(self, index):
        raise AssertionError("a mask was read")

    monkeypatch.setattr(Synthetic, "labelled", lambda self: _sections(self, forbidden))
    main(["adapt", *TARGET_ALONE, "--ckpt_path", str(best), "--output", str(tmp_path / "a.ckpt")])
    assert (tmp_path / "a.ckpt").exists()
    with pytest.raises(AssertionError, match="a mask was read"):
        main(["test", *LOADING, "--ckpt_path", str(best)])


def _sections(domain, forbidden):
    from functools import partial

    from bnadapt.data import Section

    return [
        Section(f"{index}.png", partial(domain.image, index), partial(forbidden, domain, index)) for index in range(6)
    ]


def test_adapt_needs_no_source_and_no_config(best, images, tmp_path, capfd):
    output = tmp_path / "a.ckpt"
    target = ["--data.target=Folder", f"--data.target.images={images / 'images'}"]
    main(["adapt", "--ckpt_path", str(best), *target, "--data.tile_size=48", "--output", str(output)])
    record = json.loads(output.with_suffix(".json").read_text())
    assert record["tiles"] == 6
    assert "distances" not in record
    assert f"Checkpoint: {output}" in capfd.readouterr().out


def test_source_weight_one_keeps_the_source(best, tmp_path):
    output = tmp_path / "a.ckpt"
    main(["adapt", *TARGET_ALONE, "--ckpt_path", str(best), "--output", str(output), "--policy.source_weight=1"])
    before, after = weights(best), weights(output)
    for key in before:
        torch.testing.assert_close(before[key], after[key])


def test_fit_with_the_callback_adapts_as_adapt_does(tmp_path):
    callbacks = ["BatchNormAdaptation", "LatentDistance"]
    options = [f"--trainer.callbacks+=bnadapt.callbacks.{name}" for name in callbacks]
    few = ['--trainer.callbacks.measures=["energy"]', "--trainer.callbacks.tiles=4"]
    main(["fit", *SMALL, *DOMAINS, *options, *few])
    folder = tmp_path / "lightning_logs/default/version_0/checkpoints"
    last = str(folder / "last.ckpt")
    main(["adapt", *TARGET_ALONE, "--ckpt_path", last, "--output", str(tmp_path / "later.ckpt")])
    at_once, later, unadapted = (
        weights(path) for path in (folder / "adapted.ckpt", tmp_path / "later.ckpt", folder / "last.ckpt")
    )
    for key in at_once:
        torch.testing.assert_close(at_once[key], later[key])
    assert any(not torch.equal(unadapted[key], at_once[key]) for key in at_once)
    record = json.loads((folder / "adapted.json").read_text())
    assert record["tiles"] == json.loads((tmp_path / "later.json").read_text())["tiles"]
    assert list(record["distances"]) == ["noise_floor", "unadapted", "adapted"]


def test_an_adapted_checkpoint_still_knows_its_source_statistics(best, adapted):
    stored = torch.load(adapted, weights_only=True)
    bank, source = Bank(**stored["source_bank"]), weights(best)
    for name, mean in bank.mean.items():
        torch.testing.assert_close(mean.float(), source[f"network.{name}.running_mean"])


def test_resume_gives_what_an_uninterrupted_run_gives(tmp_path):
    options = [*without(SMALL, "--trainer.max_epochs"), *DOMAINS]
    options += ["--trainer.max_epochs=2", "--data.num_workers=1"]
    main(["fit", *options, "--trainer.logger.name=whole"])
    checkpoints = "version_0/checkpoints/last.ckpt"

    class Interrupted(Exception):
        pass

    def interrupt(self):
        if self.current_epoch == 1:
            raise Interrupted

    from bnadapt.tasks import SegmentationTask

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SegmentationTask, "on_train_epoch_end", interrupt)
        with pytest.raises(Interrupted):
            main(["fit", *options, "--trainer.logger.name=halves"])
    first = tmp_path / "lightning_logs/halves" / checkpoints
    main(["fit", *options, "--trainer.logger.name=resumed", "--ckpt_path", str(first)])
    whole, resumed = (weights(tmp_path / "lightning_logs" / name / checkpoints) for name in ("whole", "resumed"))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert not all(torch.equal(whole[key], weights(first)[key]) for key in whole)


def test_test_reports_any_number_of_named_sets(best, capfd):
    further = '--data.test={"bright": {"class_path": "Synthetic", "init_args": {"size": 48, "mean": [0.9, 0.5]}}}'
    cli = main(["test", *LOADING, further, "--ckpt_path", str(best)])
    names = {"source", "target", "bright"}
    assert {tag.split("/")[1] for tag in cli.trainer.callback_metrics} == names
    assert {tag.split("/")[2] for tag in cli.trainer.callback_metrics} == {
        "iou",
        "dice",
        "precision",
        "recall",
    }
    printed = capfd.readouterr().out
    assert "; the network is not adapted." in printed
    assert all(name in printed for name in names)


def test_iou_is_that_of_all_pixels_of_the_set(best):
    cli = main(["test", *LOADING, "--ckpt_path", str(best)])
    hits = union = 0
    pair, network = cli.datamodule, cli.model.eval()
    for batch in pair.test_dataloader()[1]:
        with torch.no_grad():
            predicted = network(batch["image"]).argmax(1)
        counted = batch["mask"] != 255
        hits += int(((predicted == 1) & (batch["mask"] == 1) & counted).sum())
        union += int((((predicted == 1) | (batch["mask"] == 1)) & counted).sum())
    assert cli.trainer.callback_metrics["test/target/iou"] == pytest.approx(hits / union, abs=1e-6)


@pytest.mark.parametrize(("ending", "dtype"), [(".png", np.uint8), (".png", np.uint16), (".tif", np.float32)])
def test_predict_writes_mask_and_probability_in_format_and_size_of_the_input(best, tmp_path, ending, dtype):
    folder = write_images(tmp_path / "mine", size=(48, 60), ending=ending, dtype=dtype, count=3)
    target = ["--data.target=Folder", f"--data.target.images={folder / 'images'}", "--data.tile_size=32"]
    target.append("--data.target.label=my/own")
    main(["predict", "--ckpt_path", str(best), *target, "--output", str(tmp_path / "out")])
    names = {f"{index:02d}_{kind}{ending}" for index in range(3) for kind in ("mask", "probability")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names | {"my_own_segmentation.json"}
    mask, probability = (imageio.v3.imread(tmp_path / "out" / f"01_{kind}{ending}") for kind in ("mask", "probability"))
    assert mask.shape == probability.shape == (48, 60)
    assert set(np.unique(mask)) <= {0, 255}
    assert probability.dtype == dtype
    half = np.iinfo(dtype).max / 2 if np.issubdtype(dtype, np.integer) else 0.5
    assert np.array_equal(mask == 255, probability > half)


def test_predict_writes_stacks_as_stacks(best, tmp_path):
    stack = np.stack([Synthetic(size=48, images=3).image(index) for index in range(3)])
    tifffile.imwrite(tmp_path / "volume.tif", (stack.clip(0, 1) * 65535).astype(np.uint16))
    with h5py.File(tmp_path / "volume.h5", "w") as store:
        store["raw"] = stack
    for name, key in (("volume.tif", []), ("volume.h5", ["--data.target.images_key=raw"])):
        target = [
            "--data.target=Stack",
            f"--data.target.images={tmp_path / name}",
            *key,
            "--data.tile_size=48",
        ]
        main(["predict", "--ckpt_path", str(best), *target, "--output", str(tmp_path / "out")])
    assert tifffile.imread(tmp_path / "out/volume_mask.tif").shape == (3, 48, 48)
    assert tifffile.imread(tmp_path / "out/volume_probability.tif").dtype == np.uint16
    with h5py.File(tmp_path / "out/volume_probability.h5") as store:
        assert store["raw"].shape == (3, 48, 48)
        assert store["raw"].dtype == np.float32


@pytest.mark.parametrize("extension", [".tif", ".zarr"])
def test_predict_holds_few_sections_at_a_time_and_writes_them_in_order(best, tmp_path, monkeypatch, extension):
    volume = np.stack([section.read_image() for section in Synthetic(size=48, images=12, seed=4).labelled()])
    np.save(tmp_path / "volume.npy", volume.astype(np.float32))
    alive, most = set(), []

    def counted(self, index, plain=Sections.__getitem__):
        section = plain(self, index).copy()
        alive.add(index)
        weakref.finalize(section, alive.discard, index)
        most.append(len(alive))
        return section

    options = ["--data.target=Stack", "--data.target.images=volume.npy", "--data.tile_size=32", "--output=predicted"]
    with monkeypatch.context() as patched:
        patched.setattr(Sections, "__getitem__", counted)
        patched.setattr(Stack, "writer", lambda self, folder, _: StackFile(folder, Path(f"volume{extension}"), "raw"))
        main(["predict", "--ckpt_path", str(best), *options])
    assert max(most) <= 2
    key = "raw" if extension in (".h5", ".zarr") else None
    probability = open_stack(tmp_path / "predicted" / f"volume_probability{extension}", key)
    assert probability.shape == volume.shape
    alone = ["--data.target=Stack", "--data.target.images=one.npy", "--data.tile_size=32", "--output=alone"]
    np.save(tmp_path / "one.npy", volume[7:8].astype(np.float32))
    main(["predict", "--ckpt_path", str(best), *alone, "--data.target.gap=0"])
    np.testing.assert_allclose(probability[7], np.load(tmp_path / "alone" / "one_probability.npy")[0], atol=1e-4)


def test_predict_at_another_pixel_size_comes_back_in_the_input_size(best, images, tmp_path):
    target = [
        "--data.target=Folder",
        f"--data.target.images={images / 'images'}",
        "--data.target.pixel_size_nm=5",
    ]
    options = ["--data.pixel_size_nm=7.5", "--data.tile_size=32"]
    main(["predict", "--ckpt_path", str(best), *target, *options, "--output", str(tmp_path / "out")])
    assert imageio.v3.imread(tmp_path / "out/00_mask.png").shape == (48, 48)


def test_three_classes_and_three_channels_from_fit_to_predict(tmp_path):
    folder = write_images(tmp_path / "mine", count=8)
    for path in (folder / "images").iterdir():
        grey = imageio.v3.imread(path)
        imageio.v3.imwrite(path, np.stack([grey, 255 - grey, grey // 2], -1))
    for path in (folder / "masks").iterdir():
        mask = imageio.v3.imread(path) // 255
        mask[:, :20] *= 2
        imageio.v3.imwrite(path, mask)
    domain = [f"--data.source.images={folder / 'images'}", f"--data.source.masks={folder / 'masks'}"]
    domain = [
        "--data.source=Folder",
        *domain,
        "--data.source.classes=[none, left, right]",
        "--data.source.gap=0",
    ]
    small = [*SMALL, "--model.num_classes=3", "--model.in_channels=3"]
    main(["fit", *small, *domain])
    path = "lightning_logs/default/version_0/checkpoints/best.ckpt"
    cli = main(["test", *without(small, "--model"), *domain, "--ckpt_path", path])
    assert {"test/source/iou", "test/source/iou/left", "test/source/iou/right"} <= set(cli.trainer.callback_metrics)
    target = [option.replace("source", "target") for option in domain]
    main(["predict", "--ckpt_path", path, *target, "--data.tile_size=32"])
    assert set(np.unique(imageio.v3.imread("predictions/00_mask.png"))) <= {0, 1, 2}


def test_optimizer_schedule_and_loss_are_replaceable():
    cli = main(
        ["fit", *SMALL, *DOMAINS, "--model.optimizer=SGD", "--model.optimizer.lr=0.05"]
        + [
            "--model.lr_scheduler=StepLR",
            "--model.lr_scheduler.step_size=1",
            "--model.lr_scheduler.gamma=0.5",
        ]
        + ["--model.loss=bnadapt.tasks.DiceCrossEntropy", "--model.loss.dice_weight=0"]
    )
    optimizer = cli.trainer.optimizers[0]
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05 * 0.5**8)
    assert cli.model.loss.dice_weight == 0


def test_networks_of_segmentation_models_from_fit_to_adapt(tmp_path):
    network = ["--model.network=smp/fpn", '--model.network_args={"encoder_name": "resnet18"}']
    main(
        [
            "fit",
            *without(SMALL, "--model", "--trainer.max_epochs"),
            *network,
            *DOMAINS,
            "--trainer.max_epochs=1",
        ]
    )
    path = "lightning_logs/default/version_0/checkpoints/best.ckpt"
    main(["adapt", *TARGET_ALONE, "--ckpt_path", path, "--output", str(tmp_path / "a.ckpt")])
    assert json.loads((tmp_path / "a.json").read_text())["batchnorm_layers"] == 20


def test_validate_scores_the_source(best):
    cli = main(["validate", *LOADING, "--ckpt_path", str(best)])
    assert cli.trainer.callback_metrics["val/source/iou"] > 0.5


def test_adapting_twice_still_knows_the_source(best, adapted, tmp_path):
    main(["adapt", *TARGET_ALONE, "--ckpt_path", str(adapted), "--output", str(tmp_path / "twice.ckpt")])
    once, twice = (torch.load(path, weights_only=True) for path in (adapted, tmp_path / "twice.ckpt"))
    for name, mean in once["source_bank"]["mean"].items():
        assert torch.equal(mean, twice["source_bank"]["mean"][name])
    for key, value in once["state_dict"].items():
        torch.testing.assert_close(value, twice["state_dict"][key])


@pytest.mark.parametrize("precision", ["bf16-true"])
def test_fit_with_adaptation_in_half_precision(precision, tmp_path):
    few = ['--trainer.callbacks.measures=["energy"]', "--trainer.callbacks.tiles=4"]
    callbacks = ["BatchNormAdaptation", "LatentDistance"]
    options = [f"--trainer.callbacks+=bnadapt.callbacks.{name}" for name in callbacks]
    main(["fit", *SMALL, *DOMAINS, *options, *few, f"--trainer.precision={precision}"])
    assert (tmp_path / "lightning_logs/default/version_0/checkpoints/adapted.ckpt").exists()


def test_a_run_without_a_logger(best, tmp_path):
    main(["adapt", *TARGET_ALONE, "--trainer.logger=false", "--ckpt_path", str(best), "--output", "a.ckpt"])
    assert (tmp_path / "a.json").exists()
    assert not (tmp_path / "lightning_logs").exists()


def test_two_processes_choose_the_best_checkpoint_by_the_exact_score(tmp_path):
    """Three tiles to validate on, so that one of two processes has one less."""
    domains = [*DOMAINS, "--data.source.size=32", "--data.source.images=15"]
    longer = ["--data.crops_per_epoch=120", "--model.optimizer=AdamW", "--model.optimizer.lr=0.01"]
    options = [*SMALL, *domains, *longer, f"--trainer.logger.save_dir={tmp_path}"]
    run_in_two("fit", *options)
    checkpoint = next(tmp_path.rglob("best.ckpt"))
    callbacks = torch.load(checkpoint, weights_only=True)["callbacks"]
    (score,) = [state["best_model_score"] for state in callbacks.values() if state.get("monitor") == "val/source/iou"]
    alone = main(["validate", *without(options, "--model"), "--ckpt_path", str(checkpoint)])
    assert len(alone.datamodule.val_dataloader()[0].dataset) == 3
    assert score.item() == pytest.approx(alone.trainer.callback_metrics["val/source/iou"].item(), abs=1e-6)
    assert 0.4 < score.item() < 1
