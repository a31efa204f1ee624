"""Several sources: each has its part of what is drawn, its own scaling, and its own scores."""

from collections import Counter

import numpy as np
import pytest
import torch
import yaml

from bnadapt.commands.cli import main
from bnadapt.data import DomainPair, Pooled, Synthetic
from bnadapt.data.datamodule import shuffled
from bnadapt.errors import InputError
from tests.conftest import SMALL


def source(label, images, **options):
    return Synthetic(images=images, size=48, object_size=12, label=label, **options)


def pair(**options):
    sources = [source("many", 20, mean=[0.9, 0.6]), source("few", 6, mean=[0.4, 0.1], seed=5)]
    return DomainPair(sources=sources, crop_size=32, crops_per_epoch=400, tile_size=32, overlap=8, **options)


def brightness(batches):
    """Share of the bright source's among crops or tiles of both."""
    means = torch.cat([batch["image"].mean((1, 2, 3)) for batch in batches])
    return (means > 0.5).double().mean().item()


@pytest.mark.parametrize(("weights", "share"), [(None, 0.5), ({"many": 1, "few": 3}, 0.25)])
def test_crops_are_drawn_in_equal_parts_or_by_weight(weights, share):
    data = pair(intensity="dtype", augmentation="flips", source_weights=weights)
    assert brightness(data.train_dataloader()) == pytest.approx(share, abs=0.07)


def test_tiles_alternate_between_sources():
    data = pair(intensity="dtype")
    assert brightness(data.labelled_tiles("source", "train", 12)) == pytest.approx(0.5)
    unlabelled = [{"image": item["image"][None]} for item in data.unlabelled_tiles("source", 6)]
    assert brightness(unlabelled) == pytest.approx(0.5)


def test_shuffling_alternates_groups_and_is_a_plain_permutation_of_one():
    groups = ["a"] * 10 + ["b"] * 3
    order = shuffled(groups, np.random.default_rng(0))
    assert sorted(order) == list(range(13))
    assert Counter(groups[index] for index in order[:6]) == {"a": 3, "b": 3}
    assert shuffled(["a"] * 9, np.random.default_rng(1)) == np.random.default_rng(1).permutation(9).tolist()


def test_each_source_has_its_own_scaling_and_pixel_size():
    data = pair(intensity="dataset")
    for batch in data.val_dataloader():
        images = torch.cat([each["image"] for each in batch])
        assert images.quantile(0.5).abs() < 1.1  # by its own range; by the other's one would lie outside
    assert set(data.state_dict()["ranges"]) == {"many", "few"}


def test_validation_and_test_name_every_source():
    data = pair()
    assert [loader.dataset.name for loader in data.val_dataloader()] == ["many", "few"]
    assert list(data.test_domains()) == ["many", "few"]


def test_training_logs_scores_by_source_and_their_mean(tmp_path):
    sources = {
        name: {"class_path": "Synthetic", "init_args": {"images": 6, "size": 48, "object_size": 12, "seed": seed}}
        for name, seed in (("one", 1), ("other", 2))
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"data": {"sources": sources}}))
    trainer = main(["fit", "--config", "c.yaml", *SMALL]).trainer
    scores = {name: trainer.callback_metrics[f"val/{name}/iou"].item() for name in ("one", "other", "source")}
    assert scores["source"] == pytest.approx((scores["one"] + scores["other"]) / 2)
    best = next(tmp_path.rglob("best.ckpt"))
    assert "source_summary" in torch.load(best, weights_only=True)
    tested = main(
        ["test", "--config", "c.yaml", "--ckpt_path", str(best), *SMALL[2:6], "--trainer.logger=false"]
    ).trainer
    assert {"test/one/iou", "test/other/iou"} <= set(tested.callback_metrics)


def test_what_does_not_go_together_is_refused():
    one, other = source("one", 6), source("one", 6, seed=2)
    with pytest.raises(InputError, match="two are called one; give them as a mapping"):
        DomainPair(sources=[one, other])
    with pytest.raises(InputError, match="1 given; name at least two"):
        DomainPair(sources={"one": one})
    with pytest.raises(InputError, match="leave out one"):
        DomainPair(one, sources={"one": one, "other": other})
    for weights in ({"one": 0.5}, {"one": 1, "other": float("nan")}, {"one": 1, "other": float("inf")}):
        with pytest.raises(InputError, match="source_weights is .*; give a number above 0 for each of one, other"):
            DomainPair(sources={"one": one, "other": other}, source_weights=weights)
    with pytest.raises(InputError, match=r"source_weights belong to several --data\.sources"):
        DomainPair(one, source_weights={"one": 1})
    with pytest.raises(InputError, match="set 'target': give each source and test set a unique name"):
        DomainPair(sources={"one": one, "target": other})
    three = Synthetic(size=48)
    three.classes = ("a", "b", "c")
    with pytest.raises(InputError, match="equally many classes"):
        Pooled({"one": one, "three": three})
