"""Standard errors, bias and noise floor agree with repeated draws of tiles."""

import math
from statistics import mean, stdev

import pytest
import torch

from bnadapt.distances import (
    MEASURES,
    Distance,
    Distribution,
    LatentStates,
    Sketch,
    compare,
    distances_between,
    noise_floor,
)

TRIALS = 60


def sketch(seed, tiles=32, shift=0.0, positions=30, channels=4):
    """Tiles have a brightness of their own: neighbouring positions are far from independent."""
    generator = torch.Generator().manual_seed(seed)
    brightness = torch.randn(tiles, 1, 1, generator=generator)
    cloud = brightness + torch.randn(tiles, positions, channels, generator=generator) + shift
    return Sketch.of(cloud.flatten(0, 1), torch.arange(tiles).repeat_interleave(positions))


@pytest.fixture(scope="module")
def trials():
    """Distances of repeated draws, of a shifted target and of one like the source."""
    return {
        shift: [compare(sketch(2 * trial), sketch(2 * trial + 1, shift=shift)) for trial in range(TRIALS)]
        for shift in (0.0, 2.0)
    }


@pytest.mark.parametrize("name", [name for name in MEASURES if name != "max_sliced_wasserstein"])
def test_standard_errors_are_those_of_repeated_draws(trials, name):
    found = [trial[name] for trial in trials[2.0]]
    truth = stdev(each.value for each in found)
    assert mean(each.standard_error for each in found) == pytest.approx(truth, rel=0.45)


@pytest.mark.parametrize("name", MEASURES)
def test_values_of_like_domains_are_too_large_and_corrected_ones_far_less_so(trials, name):
    power = 2 if MEASURES[name].is_root else 1
    found = [trial[name] for trial in trials[0.0]]
    assert mean(each.value**power for each in found) > 0
    assert mean(each.bias_corrected**power for each in found) < 0.75 * mean(each.value**power for each in found)


def test_the_bias_of_a_known_distance_is_removed(trials):
    """The means are 2 apart in 4 channels, so the Gaussian Wasserstein distance is 4.

    Brightness adds 4 * 2 / 32 to its square, the variance of the difference of two means of 32 tiles in 4 channels, and
    2 * 5 / 64, that of the difference of two deviations along the diagonal, where the variance is 5.
    """
    squares = [trial["gaussian_wasserstein"].value ** 2 for trial in trials[2.0]]
    corrected = [trial["gaussian_wasserstein"].bias_corrected ** 2 for trial in trials[2.0]]
    spread = stdev(squares) / TRIALS**0.5
    assert mean(corrected) == pytest.approx(16, abs=4 * spread)
    assert mean(squares) - mean(corrected) == pytest.approx(1 / 4 + 10 / 64, rel=0.3)


@pytest.fixture(scope="module")
def trial_floors():
    return [noise_floor(sketch(2 * trial)) for trial in range(TRIALS)]


@pytest.mark.parametrize("name", MEASURES)
def test_the_noise_floor_is_far_below_a_shift_and_not_below_like_domains(trials, trial_floors, name):
    floors = [floor[name].value for floor in trial_floors]
    assert mean(floors) < mean(trial[name].value for trial in trials[2.0]) / 2
    assert mean(floors) > 0.8 * mean(trial[name].value for trial in trials[0.0])


def test_the_value_is_that_of_all_groups():
    one, other = sketch(0), sketch(1, tiles=20, shift=1.0)
    alone = distances_between(one.distribution(), other.distribution())
    for name, distance in compare(one, other).items():
        assert distance.value == pytest.approx(alone[name].item(), rel=1e-12)


def test_states_of_a_layer_have_the_distances_of_their_pairs():
    source, target, adapted = sketch(0), sketch(1, tiles=5, shift=1.0), sketch(1, shift=0.5)
    rows = LatentStates({"layer": source}, {"layer": target}, {"layer": adapted}).rows()
    expected = {
        "noise_floor": noise_floor(source),
        "unadapted": compare(source, target),
        "adapted": compare(source, adapted),
    }
    assert [(row.state, row.measure) for row in rows] == [(state, name) for state in expected for name in MEASURES]
    for row in rows:
        alone = expected[row.state][row.measure]
        assert (row.value, row.bias_corrected, row.standard_error) == pytest.approx(
            (alone.value, alone.bias_corrected, alone.standard_error), rel=1e-9
        )


def test_a_domain_of_one_tile_has_a_distance_and_no_error():
    one, alone = sketch(0), sketch(1, tiles=1)
    for found in compare(one, alone).values():
        assert math.isfinite(found.value)
        assert math.isnan(found.standard_error)
        assert math.isnan(found.bias_corrected)
    assert all(math.isnan(found.value) for found in noise_floor(alone).values())


@pytest.mark.parametrize("tiles", [2, 3, 5])
def test_few_tiles_have_finite_errors(tiles):
    for found in (*compare(sketch(0), sketch(1, tiles=tiles)).values(), *noise_floor(sketch(0, tiles=4)).values()):
        assert isinstance(found, Distance)
        assert math.isfinite(found.standard_error)


def test_distances_of_distributions_need_no_tiles():
    cloud = torch.randn(200, 4)
    found = distances_between(Distribution.of(cloud), Distribution.of(cloud + 1))
    assert found["gaussian_wasserstein"].item() == pytest.approx(2, rel=1e-3)
