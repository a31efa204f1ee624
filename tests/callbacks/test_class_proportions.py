"""`fit` leaves class moments in checkpoints, and `adapt` corrects for class proportions with them."""

import json

import imageio.v3
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bnadapt.batchnorm import Bank, ClassMoments
from bnadapt.commands.cli import main
from bnadapt.gain import SourceSummary
from tests.conftest import DOMAINS, LOADING, SMALL, TARGET_ALONE, without

SPARSE = [
    *without(TARGET_ALONE, "--data.target"),
    "--data.target=Synthetic",
    "--data.target.size=96",
    "--data.target.images=8",
    "--data.target.object_size=12",
    "--data.target.mean=[0.6, 0.2]",
    "--data.target.foreground=0.06",
    "--data.target.seed=9",
]
ALL_LAYERS = "--policy.source_weight=0"
FEW = ["--trainer.callbacks+=LatentDistance", '--trainer.callbacks.measures=["energy"]', "--trainer.callbacks.tiles=4"]
FEW += ['--trainer.callbacks.layers=["head"]']


def adapt(checkpoint, folder, *options, data=SPARSE, logger=("--trainer.logger=false",)):
    output = folder / "a.ckpt"
    asked = ["adapt", *data, *logger, "--ckpt_path", str(checkpoint), "--output", str(output), "--overwrite"]
    main([*asked, *options])
    return json.loads(output.with_suffix(".json").read_text())


def iou(checkpoint):
    asked = ["test", *SPARSE, "--trainer.logger=false", "--ckpt_path", str(checkpoint)]
    return main(asked).trainer.callback_metrics["test/target/iou"].item()


@pytest.fixture
def bare(best, tmp_path):
    """The checkpoint as of a training elsewhere, without class moments."""
    checkpoint = torch.load(best, weights_only=True)
    checkpoint.pop("class_moments")
    checkpoint.pop("source_summary")
    torch.save(checkpoint, tmp_path / "bare.ckpt")
    return tmp_path / "bare.ckpt"


def test_every_checkpoint_holds_moments_of_its_own_weights(tmp_path):
    each_epoch = [
        "--trainer.callbacks+=lightning.pytorch.callbacks.ModelCheckpoint",
        "--trainer.callbacks.save_top_k=-1",
    ]
    main(["fit", *SMALL, *DOMAINS, *each_epoch, "--trainer.callbacks.monitor=val/source/loss"])
    paths = list(tmp_path.rglob("epoch=*.ckpt"))
    assert len(paths) == 2
    stored = [torch.load(path, weights_only=True)["class_moments"] for path in paths]
    for state in stored:
        moments = ClassMoments.from_state_dict(state)
        assert moments.proportions[1].item() == pytest.approx(0.3, abs=0.02)
        assert len(moments.mean) == 18
    assert not torch.equal(*(state["mean"]["encoder.0.norm1"] for state in stored))


def test_fewer_objects_in_the_target_do_no_harm_once_proportions_are_known(best, tmp_path, capfd):
    plain = adapt(best, tmp_path, ALL_LAYERS)
    assert plain["class_proportions"]["target"] is None
    scores = [iou(tmp_path / "a.ckpt")]
    record = adapt(best, tmp_path, ALL_LAYERS, "--class_proportions=[0.94, 0.06]")["class_proportions"]
    scores.append(iou(tmp_path / "a.ckpt"))
    assert scores[1] > scores[0] + 0.1
    assert record["source"][1] == pytest.approx(0.3, abs=0.02)
    assert "Corrected for class proportions: 94.0%, 6.0% (given)" in " ".join(capfd.readouterr().out.split())


def test_an_estimate_is_acted_on_or_not_and_both_are_said(best, tmp_path, capfd):
    record = adapt(best, tmp_path, "--class_proportions=estimated")["class_proportions"]
    low, high = record["range"][1]
    assert low <= record["estimate"][1] <= high
    said = " ".join(capfd.readouterr().out.split())
    if record["reason"] is None:
        assert record["target"] == record["estimate"]
        assert "Corrected for class proportions" in said
    else:
        assert record["target"] == record["source"]
        assert record["reason"] in said


def test_page_and_tensorboard_show_how_proportions_were_estimated(best, tmp_path):
    logger = [f"--trainer.logger.save_dir={tmp_path}", "--trainer.logger.version=estimate"]
    adapt(best, tmp_path, "--class_proportions=estimated", *FEW, data=LOADING, logger=logger)
    page = tmp_path / "a-distances"
    assert "The network is adapted to a few tiles for one trial share q" in (page / "README.md").read_text()
    assert imageio.v3.imread(page / "proportions.png").shape[1] > 500
    accumulator = EventAccumulator(str(tmp_path / "default" / "estimate"))
    accumulator.Reload()
    assert "statistics/class_proportions" in accumulator.Tags()["images"]
    record = adapt(best, tmp_path, "--class_proportions=[0.9, 0.1]", *FEW, data=LOADING)["class_proportions"]
    assert (record["target"], record["estimated"]) == ([0.9, 0.1], False)
    assert not (page / "proportions.png").exists()


def test_moments_are_measured_on_the_source_where_the_checkpoint_has_none(best, bare, tmp_path):
    adapt(bare, tmp_path, "--class_proportions=[0.9, 0.1]", *FEW, data=LOADING)
    measured = Bank.load(tmp_path / "a.safetensors")
    assert "class_moments" in torch.load(tmp_path / "a.ckpt", weights_only=True)
    adapt(best, tmp_path, "--class_proportions=[0.9, 0.1]", data=TARGET_ALONE)
    stored = Bank.load(tmp_path / "a.safetensors")
    assert max(shift.mean + shift.log_variance for shift in measured.compared(stored).values()) < 1e-4


def test_moments_and_summary_are_added_to_a_checkpoint_of_a_training_elsewhere(best, bare, refused, capsys):
    before, asked = torch.load(bare, weights_only=True), ["source_summary", *LOADING, "--ckpt_path", str(bare)]
    main(asked)
    after = torch.load(bare, weights_only=True)
    trained = ClassMoments.from_state_dict(torch.load(best, weights_only=True)["class_moments"])
    added = ClassMoments.from_state_dict(after.pop("class_moments"))
    assert torch.equal(added.pixels, trained.pixels)
    for layer, mean in trained.mean.items():
        torch.testing.assert_close(added.mean[layer], mean, rtol=1e-4, atol=1e-5)
    trained, added = (
        SourceSummary.from_state_dict(state, added)
        for state in (torch.load(best, weights_only=True)["source_summary"], after.pop("source_summary"))
    )
    assert added.iou == pytest.approx(trained.iou, abs=1e-3)
    assert added.latents.keys() == trained.latents.keys()
    assert after.keys() == before.keys()
    assert all(torch.equal(each, before["state_dict"][name]) for name, each in after["state_dict"].items())
    assert "labelled Mpixel, by class 7" in capsys.readouterr().out
    assert "holds a summary of its source already; give --overwrite" in refused(*asked)
    main([*asked, "--overwrite"])


def test_refusals(best, bare, refused, tmp_path):
    asked = ("adapt", *SPARSE, "--output", tmp_path / "a.ckpt", "--ckpt_path")
    assert "holds no class moments of its source; give --data.source" in refused(
        *asked, bare, "--class_proportions=estimated"
    )
    assert "give one for each of the 2 classes" in refused(*asked, best, "--class_proportions=[0.5, 0.2, 0.3]")
    assert "with sum 1" in refused(*asked, best, "--class_proportions=[0.5, 0.2]")
    assert "source_summary: needs a source" in refused("source_summary", *SPARSE, "--ckpt_path", bare)
    assert "'estimate' is not one of source, estimated" in refused(*asked, best, "--class_proportions=estimate")
