"""`recommend` says what to do with a target, and `adapt --choose` does it."""

import json
import re

import imageio.v3
import numpy as np
import pytest
import torch

from bnadapt.batchnorm import Bank
from bnadapt.commands.cli import main
from bnadapt.commands.trainer import AdaptationTrainer
from bnadapt.data import DomainPair, Synthetic
from bnadapt.gain import CANDIDATES
from bnadapt.tasks import SegmentationTask
from tests.conftest import LOADING, TARGET_ALONE, without

INVERTED = [
    *without(TARGET_ALONE, "--data.target"),
    "--data.target=Synthetic",
    "--data.target.size=96",
    "--data.target.images=8",
    "--data.target.object_size=12",
    "--data.target.mean=[0.3, 0.7]",
    "--data.target.seed=9",
    "--trainer.logger=false",
]


def iou(checkpoint, data=INVERTED):
    return main(["test", *data, "--ckpt_path", str(checkpoint)]).trainer.callback_metrics["test/target/iou"].item()


def test_inverted_contrast_is_recognised_without_labels_or_source(best, tmp_path, capsys):
    main(["recommend", *INVERTED, "--ckpt_path", str(best), "--output", str(tmp_path / "page")])
    record = json.loads((tmp_path / "page" / "recommendation.json").read_text())
    assert list(record["expected"]) == ["none", "adapted", "full-resolution-mixed"]
    assert record["choice"].startswith("inverted")
    assert all(each["low"] <= each["gain"] <= each["high"] for each in record["expected"].values())
    assert record["exchanged"] > 0.9
    assert not record["measured"]
    assert "inverted contrast" in {each["name"] for each in record["alarms"]}
    out = capsys.readouterr().out
    printed = " ".join(out.split())
    assert record["sentence"] in printed
    assert record["sentence"] in (tmp_path / "page" / "README.md").read_text()
    page = (tmp_path / "page" / "README.md").read_text()
    assert "- Inverted contrast: " in page
    assert f"Next:\n\n    {re.search('Next: (.+)', out)[1]}\n" in page
    assert not re.search("familiar|alarm|judge|verdict", page + printed, re.IGNORECASE)
    for number in (1, 2, 3):
        assert imageio.v3.imread(tmp_path / "page" / f"tile-{number}.png").std() > 10
        assert f'<a href="tile-{number}.png"><img' in (tmp_path / "page" / "index.html").read_text()


def test_the_choice_is_taken_and_holds_for_the_checkpoint(best, tmp_path):
    adapted = tmp_path / "a.ckpt"
    before = iou(best)
    main(["adapt", *INVERTED, "--ckpt_path", str(best), "--output", str(adapted), "--choose=auto"])
    assert before < 0.2
    assert iou(adapted) > 0.7
    record = json.loads(adapted.with_suffix(".json").read_text())
    assert record["recommendation"]["choice"].startswith("inverted")
    main(["recommend", *INVERTED, "--ckpt_path", str(best), "--output", str(tmp_path)])
    assert json.loads((tmp_path / "recommendation.json").read_text()) == record["recommendation"]
    main(["predict", *INVERTED, "--ckpt_path", str(adapted), "--output", str(tmp_path / "masks")])
    masks = [imageio.v3.imread(path) for path in sorted((tmp_path / "masks").glob("*mask*"))]
    assert 0.15 < np.mean([mask > 0 for mask in masks]) < 0.45
    source, network = (torch.load(path, weights_only=True)["state_dict"] for path in (best, adapted))
    assert all(torch.equal(each, network[name]) for name, each in source.items() if "running" not in name)


@pytest.mark.parametrize("name", ["adapted", "coarser"])
def test_a_candidate_may_be_named(name, best, tmp_path):
    adapted = tmp_path / "a.ckpt"
    asked = ["adapt", *TARGET_ALONE, "--trainer.logger=false", "--ckpt_path", str(best), "--output", str(adapted)]
    main([*asked, f"--choose={name}"])
    bank = Bank.load(adapted.with_suffix(".safetensors"))
    state = torch.load(adapted, weights_only=True)
    assert state["DomainPair"]["target_change"] == {"inverted_about": None, "zoom": CANDIDATES[name].zoom}
    main(
        [
            *asked,
            "--overwrite",
            "--class_proportions=source",
            f"--policy.source_weight={CANDIDATES[name].policy.source_weight}",
        ]
    )
    plain = Bank.load(adapted.with_suffix(".safetensors"))
    same = all(torch.allclose(mean, plain.mean[layer]) for layer, mean in bank.mean.items())
    assert same == (name != "coarser")


def test_a_summary_is_measured_where_the_checkpoint_has_none(best, tmp_path, refused):
    checkpoint = torch.load(best, weights_only=True)
    checkpoint.pop("source_summary")
    torch.save(checkpoint, tmp_path / "bare.ckpt")
    asked = ["recommend", "--ckpt_path", str(tmp_path / "bare.ckpt"), "--output", str(tmp_path / "page")]
    assert "holds no summary of its source; give --data.source" in refused(*asked, *TARGET_ALONE)
    main([*asked, *LOADING])
    assert (tmp_path / "page" / "recommendation.json").exists()


def test_a_summary_is_added_to_a_copy_of_the_checkpoint(best, tmp_path, refused):
    checkpoint = torch.load(best, weights_only=True)
    checkpoint.pop("source_summary")
    torch.save(checkpoint, tmp_path / "bare.ckpt")
    before = (tmp_path / "bare.ckpt").read_bytes()
    asked = ["source_summary", *LOADING, "--ckpt_path", str(tmp_path / "bare.ckpt")]
    main([*asked, "--output", str(tmp_path / "new.ckpt")])
    assert "source_summary" in torch.load(tmp_path / "new.ckpt", weights_only=True)
    assert (tmp_path / "bare.ckpt").read_bytes() == before
    assert "exists already" in refused(*asked, "--output", tmp_path / "new.ckpt")
    assert "give an --output that ends in .ckpt" in refused(*asked, "--output", tmp_path / "new.pt")


def test_labelled_tiles_of_the_target_may_decide(best, tmp_path):
    asked = ["recommend", *INVERTED, "--ckpt_path", str(best), "--output", str(tmp_path), "--annotated=6"]
    main([*asked, "--overwrite"])
    record = json.loads((tmp_path / "recommendation.json").read_text())
    assert record["labelled_tiles"] == 6
    assert "IoU on 6 labelled tiles" in record["sentence"]
    assert record["choice"].startswith("inverted")
    assert record["measured"]["adapted"]["high"] < record["measured"]["inverted"]["low"]


def test_a_summary_of_another_version_is_not_followed(best, tmp_path, refused, caplog):
    checkpoint = torch.load(best, weights_only=True)
    del checkpoint["source_summary"]["intensities"]["std"]
    torch.save(checkpoint, tmp_path / "old.ckpt")
    asked = ["recommend", *TARGET_ALONE, "--ckpt_path", str(tmp_path / "old.ckpt"), "--output", str(tmp_path)]
    assert "holds no summary of its source" in refused(*asked)
    assert "another version of bnadapt" in caplog.text


def test_refusals(best, refused, tmp_path):
    asked = ("adapt", *TARGET_ALONE, "--ckpt_path", best, "--output", tmp_path / "a.ckpt")
    assert "--choose best is unknown; take auto or one of none, adapted" in refused(*asked, "--choose=best")
    assert "--choose determines" in refused(*asked, "--choose=auto", "--class_proportions=source")
    assert "tiles is 0" in refused("recommend", *TARGET_ALONE, "--ckpt_path", best, "--tiles=0")
    page = tmp_path / "page"
    page.mkdir()
    (page / "recommendation.json").write_text("{}")
    recommend = ("recommend", *TARGET_ALONE, "--ckpt_path", best, "--output", page)
    assert "exists already" in refused(*recommend)
    assert "there is no target" in refused(*without(recommend, "--data.target"), "--overwrite")


def test_the_change_of_a_target_is_that_of_the_checkpoint_at_hand(best, tmp_path):
    """Whatever was judged or adapted before in the same process, and not that of another target."""
    trainer = AdaptationTrainer(logger=False, enable_progress_bar=False, enable_checkpointing=False, accelerator="cpu")
    options = {"source": None, "intensity": "dtype", "tile_size": 32, "batch_size": 4}
    data = DomainPair(target=Synthetic(size=96, images=8, object_size=12, mean=(0.3, 0.7), seed=9), **options)
    task = SegmentationTask.load_from_checkpoint(best)
    adapted, plain = tmp_path / "inverted.ckpt", tmp_path / "plain.ckpt"
    trainer.adapt(task, data, str(best), output=str(adapted), choose="inverted")
    assert data.target_change.inverted_about is not None
    (before,) = trainer.test(task, datamodule=data, ckpt_path=str(best))
    assert data.target_change.inverted_about is None
    (after,) = trainer.test(task, datamodule=data, ckpt_path=str(adapted))
    assert after["test/target/iou"] > before["test/target/iou"] + 0.5
    trainer.adapt(task, data, str(adapted), output=str(plain))
    record = json.loads(plain.with_suffix(".json").read_text())
    assert "recommendation" not in record
    assert record["target_change"]["inverted_about"] is None
