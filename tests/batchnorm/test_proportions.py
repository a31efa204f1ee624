"""Class proportions that are estimated without labels: at their edges, and where they cannot be told."""

import pytest
import torch
from torch import nn

from bnadapt.batchnorm import ClassMoments, adapt, estimate_proportions, measure_class_moments
from bnadapt.batchnorm.outputs import hellinger, mixture_weights
from bnadapt.networks import UNet
from tests.batchnorm.closed_form import setting

TWO, THREE, FOUR = (0.0, 2.0), (0.0, 2.0, 4.0), (0.0, 2.0, 4.0, 6.0)
COMMON, EVEN = (0.7, 0.3), (0.5, 0.5)
FOUND = {
    "as in the source": (TWO, COMMON, COMMON),
    "sparse": (TWO, COMMON, (0.95, 0.05)),
    "very sparse": (TWO, COMMON, (0.99, 0.01)),
    "no foreground": (TWO, COMMON, (1.0, 0.0)),
    "dense": (TWO, COMMON, (0.05, 0.95)),
    "from even shares": (TWO, EVEN, (0.9, 0.1)),
    "classes that overlap": ((0.0, 1.4), COMMON, (0.95, 0.05)),
    "three, the first dominates": (THREE, (0.34, 0.33, 0.33), (0.8, 0.1, 0.1)),
    "three, the last dominates": (THREE, (0.6, 0.3, 0.1), (0.1, 0.2, 0.7)),
    "three, the last is absent": (THREE, (0.6, 0.3, 0.1), (0.8, 0.2, 0.0)),
    "three, the middle is absent": ((0.0, 1.5, 5.0), (0.6, 0.3, 0.1), (0.5, 0.0, 0.5)),
    "three, one alone": (THREE, (0.8, 0.15, 0.05), (1.0, 0.0, 0.0)),
    "four": (FOUR, (0.4, 0.3, 0.2, 0.1), (0.7, 0.1, 0.1, 0.1)),
    "four, even": (FOUR, (0.7, 0.1, 0.1, 0.1), (0.25, 0.25, 0.25, 0.25)),
}
WITHIN = 0.02  # of accuracy


@pytest.mark.parametrize("case", FOUND.values(), ids=FOUND)
def test_they_are_found_and_make_the_segmentation_right(case):
    target = setting(*case)
    found = estimate_proportions(target.network, [target.images], target.moments)
    right = target.accuracy(target.true_proportions)
    assert target.accuracy(found.chosen.proportions) > right - WITHIN
    for share, true, (low, high) in zip(found.best.proportions, target.true_proportions, found.range, strict=True):
        assert share == pytest.approx(true, abs=0.03)
        assert low <= share <= high


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ((TWO, EVEN, (1.0, 0.0)), "other proportions explain"),  # or the second alone
        ((THREE, (0.34, 0.33, 0.33), (0.8, 0.2, 0.0)), "other proportions explain"),  # or the second and third
        ((THREE, (0.3, 0.35, 0.35), (0.0, 0.5, 0.5)), "other proportions explain"),
        ((TWO, (0.2, 0.8), (0.0, 1.0)), "nothing of the background"),
    ],
)
def test_where_they_cannot_be_told_the_sources_stay(case, reason):
    target = setting(*case)
    found = estimate_proportions(target.network, [target.images], target.moments)
    assert reason in found.reason
    assert found.chosen is found.source
    assert found.source.proportions == pytest.approx(target.moments.proportions.tolist())
    assert max(high - low for low, high in found.range) > 0.1


def test_halves_of_the_tiles_that_disagree_are_not_acted_on():
    one, other = setting(TWO, COMMON, (0.85, 0.15)), setting(TWO, COMMON, (0.25, 0.75))
    images = torch.stack([one.images, other.images], 1).flatten(0, 1)
    found = estimate_proportions(one.network, [images], one.moments)
    assert "halves of the tiles differ" in found.reason
    (_, (low, high)) = found.range
    assert low < 0.3
    assert high > 0.6
    assert estimate_proportions(one.network, [one.images, other.images], one.moments).reason is not None


def test_few_tiles_are_not_acted_on():
    target = setting(TWO, COMMON, (0.95, 0.05), tiles=3)
    found = estimate_proportions(target.network, [target.images], target.moments)
    assert "3 tiles are too few" in found.reason
    assert found.consistent


def test_outputs_that_no_proportions_explain_are_not_acted_on():
    """Noise where the classes should be, as after a change that BatchNorm cannot undo."""
    target = setting(TWO, COMMON, COMMON)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(target.images.shape, generator=generator).exp()
    found = estimate_proportions(target.network, [noise], target.moments)
    assert found.reason is not None
    assert found.chosen is found.source


def test_images_without_any_boundary_change_nothing():
    target = setting(TWO, EVEN, COMMON)
    flat = torch.linspace(1, 2, 8).view(-1, 1, 1, 1).expand(8, 1, 32, 32)
    found = estimate_proportions(target.network, [flat], target.moments)
    assert found.chosen is found.source


@pytest.fixture(scope="module")
def small_unet():
    """A small U-Net trained for a moment on dark objects, and its class moments; real boundaries, several layers."""
    torch.manual_seed(0)
    network = UNet(num_classes=2, base_channels=4)
    images, masks = of_blobs(0.3, 0)
    optimizer = torch.optim.AdamW(network.parameters(), 0.02)
    for step in range(60):
        chosen = slice(8 * (step % 4), 8 * (step % 4) + 8)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images[chosen]), masks[chosen]).backward()
        optimizer.step()
    network.eval()
    adapt(network, images)
    return network, measure_class_moments(network, [(images, masks)])


def of_blobs(foreground, seed, count=32):
    """Images (count, 1, 48, 48) of dark round objects in noise, and their masks (count, 48, 48)."""
    generator = torch.Generator().manual_seed(seed)
    field = nn.functional.avg_pool2d(torch.randn(count, 1, 64, 64, generator=generator), 17, 1)
    field = nn.functional.avg_pool2d(field, 5, 1, 2, count_include_pad=False)
    masks = (field > field.flatten().quantile(1 - foreground)) if foreground else torch.zeros_like(field)
    images = 0.2 * torch.randn(masks.shape, generator=generator) - masks.float()
    return images, masks[:, 0].long()


@pytest.mark.parametrize("gain", [0.5, 1.0, 3.0])
def test_a_target_without_foreground_and_so_without_boundaries_is_recognised(small_unet, gain):
    network, moments = small_unet
    images, _ = of_blobs(0.0, 1, 8)
    found = estimate_proportions(network, [gain * (images + 0.3)], moments)
    assert (found.reason, found.consistent) == (None, True)
    assert found.chosen.proportions[1] < 0.01
    assert found.chosen.predicted[1] < 0.05 < found.source.predicted[1]


def test_without_boundaries_of_the_source_it_is_left_alone(small_unet):
    """As in checkpoints of earlier versions."""
    network, moments = small_unet
    state = moments.state_dict()
    del state["boundaries"]
    found = estimate_proportions(network, [of_blobs(0.0, 1, 8)[0]], ClassMoments.from_state_dict(state))
    assert found.chosen is found.source


def test_nothing_is_changed():
    target = setting(TWO, COMMON, (0.9, 0.1))
    before = {name: each.clone() for name, each in target.network.state_dict().items()}
    estimate_proportions(target.network, [target.images], target.moments)
    assert all(torch.equal(each, before[name]) for name, each in target.network.state_dict().items())


def test_weights_of_a_mixture_are_found_again():
    generator = torch.Generator().manual_seed(0)
    by_class = torch.rand(3, 40, generator=generator, dtype=torch.float64) ** 3
    by_class /= by_class.sum(1, keepdim=True)
    weights = torch.tensor([0.7, 0.3, 0.0], dtype=torch.float64)
    torch.testing.assert_close(mixture_weights(weights @ by_class, by_class), weights, atol=0.01, rtol=0)
    assert hellinger(by_class[0], by_class[0]) < 1e-6
    assert hellinger(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])) == 1


def test_logits_that_are_not_numbers_are_refused():
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 1)).eval()
    nn.init.constant_(network[1].weight, torch.nan)
    images, masks = torch.randn(2, 1, 8, 8), torch.arange(2).repeat(2, 8, 4)
    with pytest.raises(ValueError, match="logits are NaN or infinite"):
        measure_class_moments(network, [(images, masks)])


LAYOUTS = [TWO, (0.0, 1.4), THREE, (0.0, 1.5, 5.0), (1.0, 0.0, 3.0), FOUR, (0.0, 1.5, 4.0, 5.5)]
GAIN = {(1.0, 0.0, 3.0): 0.3}  # two of the classes overlap, so that explanations without one of them are rivals
SOURCES = {
    2: [COMMON, EVEN, (0.95, 0.05)],
    3: [(0.6, 0.3, 0.1), (0.34, 0.33, 0.33), (0.8, 0.15, 0.05)],
    4: [(0.4, 0.3, 0.2, 0.1), (0.7, 0.1, 0.1, 0.1)],
}
TARGETS = {
    2: [
        (1, 0),
        (0.995, 0.005),
        (0.99, 0.01),
        (0.95, 0.05),
        (0.9, 0.1),
        (0.7, 0.3),
        (0.5, 0.5),
        (0.3, 0.7),
        (0.05, 0.95),
    ],
    3: [
        *[(0.8, 0.1, 0.1), (0.8, 0.2, 0), (0.8, 0, 0.2), (0.95, 0.025, 0.025), (0.98, 0.01, 0.01), (0.1, 0.2, 0.7)],
        *[(0.05, 0.95, 0), (0.05, 0, 0.95), (0.34, 0.33, 0.33), (1, 0, 0)],
    ],
    4: [
        *[(0.7, 0.1, 0.1, 0.1), (0.9, 0.1, 0, 0), (0.6, 0.2, 0.2, 0), (0.05, 0.05, 0.2, 0.7)],
        *[(0.25, 0.25, 0.25, 0.25), (0.95, 0.03, 0.01, 0.01), (0.05, 0.95, 0, 0), (1, 0, 0, 0)],
    ],
}
MAPS = [(1.7, 3.0), (0.5, -2.0), (1.0, 0.0), (3.0, -20.0)]


@pytest.mark.slow
@pytest.mark.parametrize("centres", LAYOUTS, ids=str)
def test_they_never_do_harm_are_right_where_acted_on_and_mostly_are(centres):
    """Against statistics that are not corrected, over sources, targets, maps of intensities and three seeds."""
    gains, losses, acted = [], [], []
    for number, (source, target) in enumerate((s, t) for s in SOURCES[len(centres)] for t in TARGETS[len(centres)]):
        for seed in range(3):
            shares = [float(share) for share in target]
            made = setting(centres, source, shares, *MAPS[(number + seed) % 4], seed=100 * number + seed)
            found = estimate_proportions(made.network, [made.images], made.moments)
            plain, right = made.accuracy(found.source.proportions), made.accuracy(made.true_proportions)
            chosen = made.accuracy(found.chosen.proportions)
            gains.append(chosen - plain)
            losses.append(right - chosen)
            acted += [right - chosen] if found.reason is None else []
    assert min(gains) > -WITHIN
    assert max(acted) < WITHIN
    possible = sum(gain + loss for gain, loss in zip(gains, losses, strict=True))
    assert sum(gains) / possible > GAIN.get(centres, 0.75)
