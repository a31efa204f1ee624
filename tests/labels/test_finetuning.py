"""Learning from labelled tiles: what is learnt, under which statistics, and what is refused."""

import copy

import pytest
import torch
from torch import nn

from bnadapt.batchnorm import Bank, NoBatchNormError, adapt
from bnadapt.errors import InputError
from bnadapt.labels import FineTuning, LabelledTiles, finetune
from bnadapt.labels.cross_validation import HeldOut
from bnadapt.labels.parameters import last_layer
from bnadapt.labels.statistics import RelativeStatistics

IGNORED = 255


def network(normalisation=nn.BatchNorm2d):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), normalisation(4), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)]
    return nn.Sequential(*layers, normalisation(4), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()


@pytest.fixture(scope="module")
def tiles():
    """Noise that is brighter on the right half, at another place in every tile."""
    generator = torch.Generator().manual_seed(1)
    masks = torch.zeros(6, 32, 32, dtype=torch.int64)
    for number in range(6):
        masks[number, :, 10 + 2 * number :] = 1
    return LabelledTiles(2 + masks[:, None] + 0.3 * torch.randn(6, 1, 32, 32, generator=generator), masks)


@pytest.fixture
def adapted(tiles):
    """A network with the statistics of the tiles."""
    own = network()
    adapt(own, tiles.images)
    return own


def iou(network, tiles):
    with torch.no_grad():
        predicted = network(tiles.images).argmax(1)
    return float(((predicted == 1) & (tiles.masks == 1)).sum() / ((predicted == 1) | (tiles.masks == 1)).sum())


@pytest.mark.parametrize("learn", ["mixing", "affine", "head", "all"])
def test_only_what_is_to_be_learnt_changes_and_the_network_is_left_as_it_was(learn, adapted, tiles):
    before = copy.deepcopy(adapted.state_dict())
    source = Bank.of(network())
    tuned = finetune(adapted, tiles.images, tiles.subset([0]), FineTuning(learn, steps=12), source)
    assert all(torch.equal(each, before[name]) for name, each in adapted.state_dict().items())
    changed = {name for name, each in tuned.state.items() if not torch.equal(each, before[name])}
    weights = {name for name in changed if "running" not in name}
    assert (
        weights
        == {
            "mixing": set(),
            "affine": {"1.weight", "1.bias", "4.weight", "4.bias"},
            "head": {"6.weight", "6.bias"},
            "all": {name for name, _ in adapted.named_parameters()},
        }[learn]
    )
    assert (changed == weights) == (learn == "head")


def test_it_learns_and_statistics_are_those_of_all_tiles(adapted, tiles):
    """Statistics belong to the weights that were learnt, not to the labelled tile, which lies apart."""
    one = LabelledTiles(tiles.images[:1] + 5, tiles.masks[:1])
    tuned = finetune(adapted, tiles.images, one, FineTuning("all", steps=20))
    learnt = copy.deepcopy(adapted)
    tuned.apply(learnt)
    again = copy.deepcopy(learnt)
    adapt(again, tiles.images)
    for name, mean in Bank.of(learnt).mean.items():
        torch.testing.assert_close(mean, Bank.of(again).mean[name], atol=1e-3, rtol=1e-3)


def test_one_labelled_tile_is_worth_something(adapted, tiles):
    before = iou(adapted, tiles)
    tuned = finetune(adapted, tiles.images, tiles.subset([2]), FineTuning("all", steps=60))
    tuned.apply(adapted)
    assert iou(adapted, tiles) > max(before + 0.1, 0.6)


def test_the_source_s_statistics_stay_as_far_from_the_targets_as_they_were(tiles):
    unadapted = network()
    tuned = finetune(unadapted, tiles.images, tiles.subset([0]), FineTuning("mixing", steps=1))
    start, end = Bank.of(unadapted), copy.deepcopy(unadapted)
    tuned.apply(end)
    for name, shift in Bank.of(end).compared(start).items():
        assert shift.mean < 0.3, name  # a single step of mixing; the target's own mean is more than one away


def test_three_tiles_decide_on_the_number_of_steps(adapted, tiles):
    tuned = finetune(adapted, tiles.images, tiles.subset([0, 2, 4]), FineTuning("all", steps=40))
    assert list(tuned.scores) == [0, 20, 40]
    assert tuned.steps in (20, 40)
    assert tuned.after > tuned.before


def test_steps_are_left_out_that_are_worse_beyond_chance():
    good, lucky, bad = (
        HeldOut(torch.tensor([[[both], [100]] for both in each])) for each in ([80, 70, 75], [90, 50, 60], [60, 52, 55])
    )
    assert not lucky.is_clearly_worse(good)
    assert bad.is_clearly_worse(good)
    assert not good.is_clearly_worse(bad)
    assert good.iou == pytest.approx(0.75)


def test_two_tiles_are_not_cross_validated(adapted, tiles):
    tuned = finetune(adapted, tiles.images, tiles.subset([0, 2]), FineTuning("all", steps=2))
    assert (tuned.steps, tuned.before, tuned.after) == (2, None, None)


def test_scribbles_are_labels_too(adapted, tiles):
    masks = torch.full_like(tiles.masks[:1], IGNORED)
    masks[:, 5, :] = tiles.masks[:1, 5, :]
    tuned = finetune(adapted, tiles.images, LabelledTiles(tiles.images[:1], masks), FineTuning("all", steps=30))
    assert all(each.isfinite().all() for each in tuned.state.values())
    before = iou(adapted, tiles)
    tuned.apply(adapted)
    assert iou(adapted, tiles) > before


def test_a_network_without_batchnorm_learns_head_and_all_weights(tiles):
    own = network(nn.InstanceNorm2d)
    for learn in ("head", "all"):
        assert finetune(own, tiles.images, tiles.subset([0]), FineTuning(learn, steps=2)).steps == 2
    assert finetune(own, tiles.images, tiles.subset([0]), FineTuning(steps=1)).learn == "all"
    for learn in ("mixing", "affine"):
        with pytest.raises(NoBatchNormError, match="no BatchNorm layer"):
            finetune(own, tiles.images, tiles.subset([0]), FineTuning(learn, steps=2))


def test_the_last_layer_is_found_whatever_the_order_of_definition(tiles):
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.body = nn.Conv2d(4, 2, 1), nn.Conv2d(1, 4, 1)

        def forward(self, images):
            return self.head(self.body(images)).relu()

    own = Backwards()
    assert last_layer(own, own, tiles.images[:1]) is own.head


def test_weights_are_not_those_that_autocast_has_kept(adapted, tiles):
    """Autocast keeps weights in half precision while it is entered, and gradients at them would not change."""
    settings = FineTuning("head", steps=150, folds=0, augmentation="flips")
    full = finetune(adapted, tiles.images, tiles, settings).state["6.weight"]
    with torch.autocast("cpu", torch.bfloat16):
        half = finetune(adapted, tiles.images, tiles, settings).state["6.weight"]
    assert (half - full).norm() < 0.2 * (full - adapted[6].weight).norm()


def test_a_misleading_tile_does_not_undo_what_is_known_of_the_others(adapted, tiles):
    optimizer = torch.optim.Adam(adapted.parameters(), 1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(adapted(tiles.images), tiles.masks).backward()
        optimizer.step()
    adapt(adapted, tiles.images)
    before = iou(adapted, tiles)
    opposite = LabelledTiles(tiles.images[:1], 1 - tiles.masks[:1])
    finetune(adapted, tiles.images, opposite, FineTuning("all", steps=60, rate=1e-2)).apply(adapted)
    assert iou(adapted, tiles) > before / 3


def test_labelled_tiles_do_not_move_the_statistics_that_they_are_seen_under(adapted, tiles):
    statistics = RelativeStatistics(adapted, adapted, tiles.images, Bank.of(adapted))
    with statistics.of_first(4):
        one = adapted(tiles.images)[4:5]
        beside_another = adapted(torch.cat([tiles.images[:5], tiles.images[5:] + 100]))[4:5]
    torch.testing.assert_close(one, beside_another)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learn": "bias"}, "learn is 'bias'; take one of mixing, affine, head, all"),
        ({"augmentation": "x"}, "augmentation is 'x'; take one of flips, moderate, strong"),
        ({"steps": 0}, "steps is 0; give at least 1"),
        ({"rate": -1.0}, "rate is -1.0; give at least 0"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"folds": 1}, "folds is 1, which leaves no tile"),
        ({"pseudo_label_weight": float("inf")}, "pseudo_label_weight is inf"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        FineTuning(**settings)


def test_images_that_cannot_be_learnt_from_are_refused(adapted, tiles):
    one = tiles.subset([0])
    small = LabelledTiles(one.images[..., :5, 8:13], one.masks[:, :5, 8:13])
    for network_, images, labelled, message in (
        (adapted, [tiles.images, tiles.images[..., :20]], one, r"have shapes \(1, 32, 20\) and \(1, 32, 32\)"),
        (adapted, [], one, "have no tile"),
        (adapted, tiles.images, small, "tiles of 5 x 5 pixels"),
        (adapted, tiles.images[..., :5, :5], one, "tiles of 5 x 5 pixels"),
        (adapted, tiles.images.repeat(1, 2, 1, 1), one, "have 1 channels, the target's images 2"),
        (nn.Identity(), tiles.images, one, "has no weights to learn"),
    ):
        with pytest.raises(InputError, match=message):
            finetune(network_, images, labelled)
    bare = nn.Sequential(nn.BatchNorm2d(1, affine=False), nn.Conv2d(1, 2, 1))
    with pytest.raises(InputError, match="no weights to learn as 'affine'"):
        finetune(bare, tiles.images, one, FineTuning("affine"))


@pytest.mark.parametrize(("label", "message"), [(0, "All labelled pixels are of class 0"), (IGNORED, "no labelled")])
def test_tiles_that_teach_nothing_are_refused(label, message, adapted, tiles):
    one = LabelledTiles(tiles.images[:1], torch.full_like(tiles.masks[:1], label))
    with pytest.raises(InputError, match=message):
        finetune(adapted, tiles.images, one, FineTuning(steps=2))
