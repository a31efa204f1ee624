"""All measures on sketched distributions: against samples in memory, and what a distance must do."""

import math

import pytest
import torch

from bnadapt.distances import MEASURES, DistanceError, Distribution, Gaussian, clouds, distances_between, gaussian

SYMMETRIC = [name for name in MEASURES if name not in ("normalised_wasserstein", "frechet")]
IN_LATENTS = [name for name, measure in MEASURES.items() if measure.unit == "latents"]


def cloud(mean=0.0, std=1.0, count=4000, channels=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(channels, channels, generator=torch.Generator().manual_seed(9)) / channels**0.5
    return torch.randn(count, channels, generator=generator) @ mixing * std + mean


def between(one, other):
    found = distances_between(Distribution.of(one), Distribution.of(other))
    return {name: value.item() for name, value in found.items()}


def test_a_wide_channel_among_many_counts_along_the_directions_alone():
    """Along its own axis it would be 8 of 64 channels wide, root mean square 1; along most directions it is little."""
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 2000, 64, generator=generator)
    other[:, 0] *= 9
    found = between(one, other)
    assert found["channel_wasserstein"] == pytest.approx(1, rel=0.05)
    assert found["sliced_wasserstein"] == pytest.approx(clouds.sliced_wasserstein(one, other).item(), rel=0.05)


@pytest.mark.parametrize(("mean", "std"), [(0.5, 1.0), (0.0, 2.0), (1.0, 0.3)])
def test_sketched_distances_are_those_of_the_samples(mean, std):
    one, other = cloud(), cloud(mean, std, seed=1)
    found = between(one, other)
    gaussians = Gaussian.of(one), Gaussian.of(other)
    for name, exact in {
        "normalised_wasserstein": gaussian.normalised_wasserstein,
        "gaussian_wasserstein": gaussian.wasserstein,
        "diagonal_wasserstein": gaussian.diagonal_wasserstein,
        "frechet": gaussian.frechet,
        "bhattacharyya": gaussian.bhattacharyya,
        "diagonal_bhattacharyya": gaussian.diagonal_bhattacharyya,
    }.items():
        assert found[name] == pytest.approx(exact(*gaussians).item(), rel=1e-6)
    for name, sampled in {
        "channel_wasserstein": clouds.channel_wasserstein,
        "sliced_wasserstein": clouds.sliced_wasserstein,
        "max_sliced_wasserstein": clouds.max_sliced_wasserstein,
    }.items():
        assert found[name] == pytest.approx(sampled(one, other).item(), rel=0.02)
    # over 64 directions instead of all
    assert found["energy"] == pytest.approx(clouds.energy_distance(one, other).item(), rel=0.1)


@pytest.mark.parametrize("name", MEASURES)
def test_zero_on_itself_above_it_on_others_and_symmetric_where_claimed(name):
    one, other = cloud(), cloud(1, 2, seed=1)
    assert between(one, one)[name] == pytest.approx(0, abs=1e-6)
    there, back = between(one, other)[name], between(other, one)[name]
    assert min(there, back) > 0.05
    assert (there == pytest.approx(back, rel=1e-6)) == (name in SYMMETRIC)


@pytest.mark.parametrize("name", IN_LATENTS)
def test_triangle_inequality(name):
    clouds = cloud(), cloud(0.3, 2, seed=1), cloud(-1, 1, seed=2)
    direct = between(clouds[0], clouds[2])[name]
    assert direct <= 1.001 * (between(clouds[0], clouds[1])[name] + between(clouds[1], clouds[2])[name])


@pytest.mark.parametrize("name", MEASURES)
def test_a_larger_shift_is_a_larger_distance(name):
    found = [between(cloud(), cloud() + shift)[name] for shift in (0.1, 0.5, 2.0)]
    assert found == sorted(found)
    assert found[2] > 3 * found[0]


def test_a_shift_of_all_channels_in_closed_form():
    found = between(cloud(), cloud() + 3)
    for name in ("gaussian_wasserstein", "diagonal_wasserstein"):
        assert found[name] == pytest.approx(3 * 6**0.5, rel=1e-4)
    assert found["channel_wasserstein"] == pytest.approx(3, rel=1e-3)
    assert found["sliced_wasserstein"] > 2


@pytest.mark.parametrize("offset", [0.0, 3.0, 10.0])
@pytest.mark.parametrize("outlier", [10.0, 1e3, 1e4, -1e4])
def test_hot_pixels_in_both_domains_leave_the_distances_of_all_others(outlier, offset):
    one, other = cloud(offset), cloud(offset + 0.5, seed=1)
    without = between(one, other)["histogram_bhattacharyya"]
    one[:2] = other[:2] = outlier
    found = between(one, other)
    for measure in (clouds.channel_wasserstein, clouds.sliced_wasserstein):
        assert found[measure.__name__] == pytest.approx(measure(one, other).item(), rel=0.05), measure
    assert found["energy"] == pytest.approx(clouds.energy_distance(one, other).item(), rel=0.1)
    assert found["histogram_bhattacharyya"] == pytest.approx(without, rel=1)


def test_hot_pixels_in_constant_and_rectified_channels():
    """Channels of which most values are the same."""
    one, other = cloud().relu(), cloud(0.5, seed=1).relu()
    one[:, 0] = other[:, 0] = 0.1
    one[:40] = other[:40] = 1e4
    found = between(one, other)
    assert found["channel_wasserstein"] == pytest.approx(clouds.channel_wasserstein(one, other).item(), rel=0.02)


@pytest.mark.parametrize("factor", [1e-2, 1e2])
def test_units(factor):
    one, other = cloud(), cloud(1, 2, seed=1)
    before, after = between(one, other), between(factor * one, factor * other)
    times = {"latents": factor, "root of latents": factor**0.5}
    for name, measure in MEASURES.items():
        expected = before[name] * times.get(measure.unit, 1)
        rel = 0.1 if name == "histogram_bhattacharyya" else 0.01  # its bins are powers of two
        assert after[name] == pytest.approx(expected, rel=rel)


@pytest.mark.parametrize("name", MEASURES)
def test_dead_channels_few_samples_and_constants_give_finite_values(name):
    one, other = cloud(count=5, channels=16), cloud(1, count=5, channels=16, seed=1)
    one[:, 3] = other[:, 3] = 0
    other[:, 4] = 8
    for pair in ((one, other), (one[:1], other), (torch.zeros(5, 16), torch.zeros(7, 16))):
        assert math.isfinite(between(*pair)[name])


def test_float64_and_float32_latents_agree():
    one, other = cloud().double(), cloud(1, 2, seed=1).double()
    exact, rounded = between(one, other), between(one.float(), other.float())
    for name, value in exact.items():
        assert rounded[name] == pytest.approx(value, rel=1e-4)


def test_another_number_of_channels_is_refused():
    with pytest.raises(DistanceError, match="The source has 6 channels, the target 5"):
        between(cloud(), cloud(channels=5))
