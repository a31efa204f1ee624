"""`fit` leaves class moments in checkpoints, and `adapt` corrects for class proportions with them."""

import json

import pytest
import torch

from bnadapt.batchnorm import Bank, ClassMoments
from bnadapt.cli import main
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


def adapt(checkpoint, folder, *options, data=SPARSE):
    output = folder / "a.ckpt"
    main(["adapt", *data, "--ckpt_path", str(checkpoint), "--output", str(output), "--overwrite", *options])
    return json.loads(output.with_suffix(".json").read_text())


def iou(checkpoint):
    return main(["test", *SPARSE, "--ckpt_path", str(checkpoint)]).trainer.callback_metrics["test/target/iou"].item()


@pytest.fixture
def bare(best, tmp_path):
    """The checkpoint as of a training elsewhere, without class moments."""
    checkpoint = torch.load(best, weights_only=True)
    checkpoint.pop("class_moments")
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


def test_fewer_objects_in_the_target_do_no_harm_once_proportions_are_estimated(best, tmp_path, capfd):
    plain = adapt(best, tmp_path)
    assert plain["class_proportions"] is None
    scores = [iou(tmp_path / "a.ckpt")]
    record = adapt(best, tmp_path, "--class_proportions=estimated")["class_proportions"]
    scores.append(iou(tmp_path / "a.ckpt"))
    assert scores[1] > scores[0] + 0.1
    assert record["estimated"]
    assert record["consistent"]
    assert record["source"][1] == pytest.approx(0.3, abs=0.02)
    assert 0.03 <= record["target"][1] <= 0.12
    assert len(record["scan"]) == 12
    assert "Corrected for class proportions" in " ".join(capfd.readouterr().out.split())


def test_proportions_may_be_given(best, tmp_path):
    record = adapt(best, tmp_path, "--class_proportions=[0.94, 0.06]")["class_proportions"]
    assert (record["target"], record["estimated"]) == ([0.94, 0.06], False)


def test_moments_are_measured_on_the_source_where_the_checkpoint_has_none(best, bare, tmp_path):
    few = [
        "--trainer.callbacks+=LatentDistance",
        '--trainer.callbacks.measures=["energy"]',
        "--trainer.callbacks.tiles=4",
    ]
    adapt(bare, tmp_path, "--class_proportions=[0.9, 0.1]", *few, data=LOADING)
    measured = Bank.load(tmp_path / "a.safetensors")
    assert "class_moments" in torch.load(tmp_path / "a.ckpt", weights_only=True)
    adapt(best, tmp_path, "--class_proportions=[0.9, 0.1]", *few, data=LOADING)
    stored = Bank.load(tmp_path / "a.safetensors")
    assert max(shift.mean + shift.log_variance for shift in measured.compared(stored).values()) < 1e-4


def test_refusals(best, bare, refused, tmp_path):
    asked = ("adapt", *SPARSE, "--output", tmp_path / "a.ckpt", "--ckpt_path")
    assert "holds no class moments of its source; give --data.source" in refused(
        *asked, bare, "--class_proportions=estimated"
    )
    assert "give one for each of the 2 classes" in refused(*asked, best, "--class_proportions=[0.5, 0.2, 0.3]")
    assert "that sum up to 1" in refused(*asked, best, "--class_proportions=[0.5, 0.2]")
    assert "'estimate' is none of source, estimated" in refused(*asked, best, "--class_proportions=estimate")
