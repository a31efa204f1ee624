"""Distances between Gaussians against closed forms, POT and scipy."""

import math

import numpy as np
import ot
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bnadapt.distances import Gaussian
from bnadapt.distances.gaussian import (
    bhattacharyya,
    diagonal_bhattacharyya,
    diagonal_wasserstein,
    frechet,
    normalised_wasserstein,
    wasserstein,
)

ALL = {
    each.__name__: each
    for each in (
        wasserstein,
        diagonal_wasserstein,
        normalised_wasserstein,
        frechet,
        bhattacharyya,
        diagonal_bhattacharyya,
    )
}
LATENT_UNITS = ("wasserstein", "diagonal_wasserstein")
SYMMETRIC = ("wasserstein", "diagonal_wasserstein", "bhattacharyya", "diagonal_bhattacharyya")


def test_covariances_have_the_divisor_n():
    assert Gaussian.of(torch.tensor([[0.0], [2.0], [4.0]])).covariance.item() == pytest.approx(8 / 3)


def normal(channels=4, seed=0, scale=1.0):
    """A Gaussian of full rank, with correlations."""
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(channels, generator=generator, dtype=torch.float64) * scale
    root = torch.randn(channels, 2 * channels, generator=generator, dtype=torch.float64) * scale
    return Gaussian(mean, root @ root.T / (2 * channels))


def isotropic(mean, deviation, channels=3):
    covariance = torch.eye(channels, dtype=torch.float64) * deviation**2
    return Gaussian(torch.full((channels,), float(mean), dtype=torch.float64), covariance)


def with_dead(one, channels):
    """The same with channels that do not vary."""
    alive = torch.ones(len(one.mean), dtype=torch.float64).index_fill(0, torch.tensor(channels, dtype=torch.int64), 0)
    return Gaussian(one.mean, one.covariance * alive * alive[:, None])


def from_matrix_roots(source, target):
    """The measures with all correlations as their formulas are written, by scipy's roots of whole matrices."""
    difference = (target.mean - source.mean).numpy()
    first, second = source.covariance.numpy(), target.covariance.numpy()
    identity, channels = np.eye(len(first)), len(first)

    def squared_wasserstein(one, other, shift):
        values, vectors = np.linalg.eigh(one)
        root = vectors * np.sqrt(values.clip(0)) @ vectors.T
        cross = np.sqrt(np.linalg.eigvalsh(root @ other @ root).clip(0)).sum()
        return shift @ shift + np.trace(one) + np.trace(other) - 2 * cross

    ridge = (1e-2 * np.trace(first) / channels + 1e-12) * identity
    whitening = np.linalg.inv(scipy.linalg.sqrtm(first + ridge).real)
    whitened = whitening @ (second + ridge) @ whitening
    scale = np.diag(1 / np.sqrt(np.diag(first + ridge)))
    both = (1e-2 * np.trace(first + second) / 2 / channels + 1e-12) * identity
    logs = [np.linalg.slogdet(each + both)[1] for each in (first, second, (first + second) / 2)]
    inverse = np.linalg.inv((first + second) / 2 + both)
    return {
        "wasserstein": squared_wasserstein(first, second, difference) ** 0.5,
        "normalised_wasserstein": (squared_wasserstein(identity, whitened, whitening @ difference) / channels) ** 0.5,
        "frechet": squared_wasserstein(scale @ first @ scale, scale @ second @ scale, scale @ difference),
        "bhattacharyya": difference @ inverse @ difference / 8 + (logs[2] - (logs[0] + logs[1]) / 2) / 2,
    }


def scaled(one, factor):
    return Gaussian(one.mean * factor, one.covariance * factor**2)


def shifted(one, by):
    return Gaussian(one.mean + by, one.covariance)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("channels", [1, 4, 32])
def test_wasserstein_agrees_with_pot_and_with_matrix_roots(channels, seed):
    one, other = normal(channels, seed), normal(channels, seed + 100)
    expected = ot.gaussian.bures_wasserstein_distance(one.mean, other.mean, one.covariance, other.covariance)
    assert wasserstein(one, other).item() == pytest.approx(expected.item(), rel=1e-9)
    first, second = one.covariance.numpy(), other.covariance.numpy()
    root = scipy.linalg.sqrtm(first)
    cross = np.trace(scipy.linalg.sqrtm(root @ second @ root).real)
    means = np.square((one.mean - other.mean).numpy()).sum()
    expected = math.sqrt(means + np.trace(first) + np.trace(second) - 2 * cross)
    assert wasserstein(one, other).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("dead_in_source", "dead_in_target"), [([], []), ([0, 5], [5, 7]), ([], [1]), ([1], [])])
@pytest.mark.parametrize("channels", [12, 150, 300])
def test_all_correlations_and_dead_channels_give_what_the_formulas_say(channels, dead_in_source, dead_in_target):
    source = with_dead(normal(channels, 1), dead_in_source)
    target = with_dead(normal(channels, 2, 1.5), dead_in_target)
    for name, expected in from_matrix_roots(source, target).items():
        assert ALL[name](source, target).item() == pytest.approx(expected, rel=1e-9), name


def test_channels_that_are_dead_in_one_of_several_gaussians_alone():
    sources = [normal(seed=1), with_dead(normal(seed=1), [2])]
    stacked = Gaussian(*(torch.stack([getattr(each, name) for each in sources]) for name in ("mean", "covariance")))
    target = normal(seed=2)
    several = Gaussian(target.mean.expand(2, -1), target.covariance.expand(2, -1, -1))
    for measure in ALL.values():
        alone = torch.stack([measure(each, target) for each in sources])
        torch.testing.assert_close(measure(stacked, several), alone, rtol=1e-9, atol=0)


def test_closed_forms_of_shifts_and_scalings():
    one = isotropic(0, 2)
    assert wasserstein(one, isotropic(1, 2)).item() == pytest.approx(math.sqrt(3))
    assert wasserstein(one, isotropic(0, 5)).item() == pytest.approx(3 * math.sqrt(3))
    assert normalised_wasserstein(one, isotropic(6, 2)).item() == pytest.approx(3, rel=1e-2)
    assert normalised_wasserstein(one, isotropic(0, 5)).item() == pytest.approx(1.5, rel=1e-2)
    assert frechet(one, isotropic(6, 2)).item() == pytest.approx(3 * 9, rel=2e-2)
    assert bhattacharyya(one, isotropic(6, 2)).item() == pytest.approx(3 * 9 / 8, rel=2e-2)
    apart = 3 * math.log((4 + 25) / (2 * 2 * 5)) / 2
    assert bhattacharyya(one, isotropic(0, 5)).item() == pytest.approx(apart, rel=4e-2)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
@pytest.mark.parametrize("name", ALL)
def test_units(name, factor):
    """Both domains in other units: distances in units of the latents follow, all others stay."""
    one, other = normal(seed=1), normal(seed=2)
    times = factor if name in LATENT_UNITS else 1
    before, after = ALL[name](one, other).item(), ALL[name](scaled(one, factor), scaled(other, factor)).item()
    assert after == pytest.approx(times * before, rel=1e-4)


def test_normalised_wasserstein_does_not_mind_a_linear_map_of_both():
    one, other = normal(seed=1), normal(seed=2)
    turned = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    mapped = [Gaussian(turned @ each.mean, turned @ each.covariance @ turned.T) for each in (one, other)]
    assert normalised_wasserstein(*mapped).item() == pytest.approx(normalised_wasserstein(one, other).item(), rel=1e-9)


def test_diagonal_forms_are_those_of_uncorrelated_channels():
    one, other = normal(seed=1), normal(seed=2)
    bare = [Gaussian(each.mean, torch.diag(each.covariance.diagonal())) for each in (one, other)]
    assert diagonal_wasserstein(one, other).item() == pytest.approx(wasserstein(*bare).item(), rel=1e-9)
    assert diagonal_bhattacharyya(one, other).item() == pytest.approx(bhattacharyya(*bare).item(), rel=1e-9)


@pytest.mark.parametrize("measure", [bhattacharyya, diagonal_bhattacharyya])
def test_bhattacharyya_agrees_with_numerical_integration_in_one_dimension(measure):
    one, other = isotropic(0, 1, 1), isotropic(1.5, 2, 1)
    grid = np.linspace(-25, 25, 100_001)
    densities = [
        np.exp(-((grid - each.mean.item()) ** 2) / (2 * each.covariance.item()))
        / math.sqrt(2 * np.pi * each.covariance.item())
        for each in (one, other)
    ]
    expected = -math.log(np.trapezoid(np.sqrt(densities[0] * densities[1]), grid))
    assert measure(one, other).item() == pytest.approx(expected, rel=3e-2)


@given(st.integers(0, 10_000), st.integers(1, 8), st.floats(1e-3, 1e3))
@settings(max_examples=60, deadline=None)
def test_metric_properties(seed, channels, scale):
    one, other, third = (normal(channels, seed + step, scale) for step in range(3))
    for name, measure in ALL.items():
        assert measure(one, one).item() == pytest.approx(0, abs=1e-6 * (scale if name in LATENT_UNITS else 1))
        assert measure(one, other) >= 0
        if name in SYMMETRIC:
            assert measure(one, other).item() == pytest.approx(measure(other, one).item(), rel=1e-6)
    for measure in (wasserstein, diagonal_wasserstein):
        assert measure(one, third) <= (measure(one, other) + measure(other, third)) * (1 + 1e-9)
    assert diagonal_wasserstein(one, other) <= wasserstein(one, other) * (1 + 1e-9)


@pytest.mark.parametrize("name", ALL)
def test_many_pairs_at_once_give_what_they_give_one_by_one(name):
    pairs = [(normal(seed=seed), normal(seed=seed + 10)) for seed in range(3)]
    stacked = [
        Gaussian(torch.stack([each.mean for each in side]), torch.stack([each.covariance for each in side]))
        for side in zip(*pairs, strict=True)
    ]
    expected = torch.stack([ALL[name](*pair) for pair in pairs])
    torch.testing.assert_close(ALL[name](*stacked), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_gradients(name):
    other = normal(3, seed=2)

    def of(mean, root):
        return ALL[name](Gaussian(mean, root @ root.T), other)

    mean, root = torch.randn(3, dtype=torch.float64), torch.randn(3, 3, dtype=torch.float64) + 2 * torch.eye(3)
    assert torch.autograd.gradcheck(of, (mean.requires_grad_(), root.double().requires_grad_()))


@pytest.mark.parametrize("name", ALL)
def test_dead_constant_and_dependent_channels_and_few_samples_give_finite_values(name):
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 5, 16, generator=generator)
    one[:, 3], other[:, 3] = 0, 1e-3
    one[:, 4] = other[:, 4] = 7
    other[:, 5] = other[:, 6]
    for pair in (
        (one, other),
        (one, one[:1]),
        (torch.zeros(9, 16), torch.zeros(9, 16)),
        (one.double(), other.double()),
    ):
        assert math.isfinite(ALL[name](*map(Gaussian.of, pair)))
    assert ALL[name](*map(Gaussian.of, (torch.zeros(9, 16), torch.zeros(9, 16)))) == 0


def test_covariances_of_few_samples_are_shrunk_towards_the_truth():
    generator = torch.Generator().manual_seed(0)
    truth = torch.eye(40, dtype=torch.float64)
    for samples, shrinks in ((20, True), (400, False)):
        latents = torch.randn(samples, 40, generator=generator, dtype=torch.float64)
        raw = latents.T.cov(correction=0)
        found = Gaussian.of(latents).covariance
        assert found.trace().item() == pytest.approx(raw.trace().item())
        assert torch.equal(found, raw) or (found - truth).norm() < (raw - truth).norm() / 2
        assert shrinks == ((found - raw).abs().max() > 1e-9)


def test_float32_latents_give_what_float64_latents_give():
    latents = torch.randn(2, 500, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3 + 100
    latents[1] += 1
    for measure in ALL.values():
        exact = measure(*map(Gaussian.of, latents)).item()
        assert measure(*map(Gaussian.of, latents.float())).item() == pytest.approx(exact, rel=1e-5)
