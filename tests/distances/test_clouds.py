"""Distances between samples in memory against POT and brute force."""

import ot
import pytest
import scipy.spatial.distance
import torch

from bnadapt.distances import DistanceError
from bnadapt.distances.clouds import (
    channel_wasserstein,
    directions,
    energy_distance,
    max_sliced_wasserstein,
    sliced_wasserstein,
)

ALL = (channel_wasserstein, sliced_wasserstein, max_sliced_wasserstein, energy_distance)


def cloud(count=300, channels=5, seed=0, scale=1.0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, generator=generator, dtype=torch.float64) * scale + shift


@pytest.mark.parametrize("count", [300, 200])
def test_sliced_wasserstein_agrees_with_pot_on_the_same_directions(count):
    one, other = cloud(), cloud(count, seed=1, scale=2, shift=1)
    expected = ot.sliced_wasserstein_distance(one, other, projections=directions(5))
    assert sliced_wasserstein(one, other).item() == pytest.approx(expected.item(), rel=1e-9)


def test_sliced_is_below_exact_wasserstein_and_max_sliced_between():
    one, other = cloud(100), cloud(100, seed=1, scale=2, shift=1)
    exact = ot.emd2(torch.ones(100) / 100, torch.ones(100) / 100, torch.cdist(one, other).square()).sqrt()
    assert sliced_wasserstein(one, other) <= max_sliced_wasserstein(one, other) <= exact
    assert channel_wasserstein(one, other) <= max_sliced_wasserstein(one, other)


def test_energy_distance_agrees_with_brute_force():
    one, other = cloud(60), cloud(50, seed=1, shift=1)
    pairs = [scipy.spatial.distance.cdist(*pair).mean() for pair in ((one, other), (one, one), (other, other))]
    expected = (2 * pairs[0] - pairs[1] - pairs[2]) ** 0.5
    assert energy_distance(one, other).item() == pytest.approx(expected, rel=1e-9)


def test_a_shift_of_one_channel():
    one = cloud(channels=1)
    assert sliced_wasserstein(one, one + 2).item() == pytest.approx(2)
    assert channel_wasserstein(one, one + 2).item() == pytest.approx(2)


@pytest.mark.parametrize("channels", [1, 3, 64, 100])
def test_directions_are_unit_vectors_orthogonal_in_blocks_and_a_function_of_the_seed(channels):
    found = directions(channels)
    assert found.shape == (channels, 64)
    torch.testing.assert_close(found.norm(dim=0), torch.ones(64, dtype=torch.float64))
    block = found[:, : min(channels, 64)]
    torch.testing.assert_close(block.T @ block, torch.eye(block.shape[1], dtype=torch.float64), rtol=0, atol=1e-12)
    assert torch.equal(found, directions(channels))
    assert channels == 1 or not torch.equal(found, directions(channels, seed=1))


@pytest.mark.parametrize("measure", ALL)
def test_properties_and_gradients(measure):
    one, other = cloud(40), cloud(40, seed=1, shift=0.5)
    assert measure(one, one).item() == pytest.approx(0, abs=1e-7)
    assert measure(one, other).item() == pytest.approx(measure(other, one).item())
    assert torch.autograd.gradcheck(lambda target: measure(one[:8, :2], target), other[:6, :2].requires_grad_())
    with pytest.raises(DistanceError, match="compare the same layer"):
        measure(one, other[:, :3])


CLOUDS = [
    channel_wasserstein,
    sliced_wasserstein,
    max_sliced_wasserstein,
    energy_distance,
]


@pytest.mark.parametrize("distance", CLOUDS)
def test_the_gradient_at_identical_clouds_is_finite(distance):
    cloud = torch.randn(50, 4, requires_grad=True)
    distance(cloud, cloud.detach()).backward()
    assert torch.isfinite(cloud.grad).all()
    assert cloud.grad.abs().max() < 1e-3


@pytest.mark.parametrize("distance", CLOUDS)
def test_integers_and_half_precision_are_compared_as_the_numbers_that_they_are(distance):
    one, other = torch.randint(0, 50, (200, 3)), torch.randint(30, 80, (150, 3))
    expected = distance(one.double(), other.double())
    assert distance(one, other).item() == pytest.approx(expected.item(), rel=1e-9)
    assert distance(one.to(torch.uint8), other.half()).item() == pytest.approx(expected.item(), rel=1e-3)


@pytest.mark.parametrize("distance", CLOUDS)
@pytest.mark.parametrize(
    ("cloud", "words"),
    [
        (torch.full((9, 3), torch.nan), "NaN or infinite"),
        (torch.full((9, 3), torch.inf, dtype=torch.float16), "NaN or infinite"),
        (torch.zeros(0, 3), r"shape \(0, 3\)"),
        (torch.zeros(9), r"shape \(9,\)"),
        (torch.zeros(9, 3, dtype=torch.complex64), "type torch.complex64"),
        ([[1.0, 2.0]], "type list"),
    ],
)
def test_what_is_no_cloud_of_numbers_is_refused(distance, cloud, words):
    with pytest.raises(DistanceError, match=words):
        distance(torch.randn(9, 3), cloud)
