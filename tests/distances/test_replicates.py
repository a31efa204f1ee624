"""Jackknife replicates without eigenvalues have the standard errors and bias corrections of exact ones."""

import pytest
import torch

from bnadapt.distances import MEASURES, Sketch, compare, noise_floor, replicates
from bnadapt.distances.measures import Pair
from bnadapt.distances.roots import RootFit

CHANNELS, TILES, POSITIONS = 48, 32, 60
WITH_CORRELATIONS = ("normalised_wasserstein", "gaussian_wasserstein", "frechet", "bhattacharyya")
MEASURED = {name: MEASURES[name] for name in WITH_CORRELATIONS}


def sketch(seed, stretched=(1.0, 1.0), dead=(), shift=0.0):
    """Of correlated latents, variances of which fall by 3 orders of magnitude, from tiles of different contrast."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.linalg.qr(torch.randn(CHANNELS, CHANNELS, generator=torch.Generator().manual_seed(0))).Q
    deviations = torch.logspace(0, -1.5, CHANNELS) * torch.linspace(*stretched, CHANNELS)
    contrast = 1 + torch.rand(TILES, 1, 1, generator=generator)
    latents = contrast * torch.randn(TILES, POSITIONS, CHANNELS, generator=generator) * deviations @ mixing + shift
    latents[:, :, list(dead)] = 0
    return Sketch.of(latents.flatten(0, 1), torch.arange(TILES).repeat_interleave(POSITIONS))


@pytest.fixture
def wide(monkeypatch):
    """Layers of any width are taken for wide ones."""
    monkeypatch.setattr(replicates, "EXACT_UP_TO", 0)


def agree(found, exact):
    for name, distance in exact.items():
        assert found[name].value == pytest.approx(distance.value, rel=1e-9), name
        assert found[name].standard_error == pytest.approx(distance.standard_error, rel=0.02), name
        difference = abs(found[name].bias_corrected - distance.bias_corrected)
        assert difference < 0.1 * distance.standard_error, name


@pytest.mark.parametrize("stretched", [(1.0, 3.0), (0.6, 0.3)])
@pytest.mark.parametrize("dead", [(), (3, 7)])
def test_standard_errors_and_bias_corrections_are_those_of_exact_replicates(stretched, dead, monkeypatch):
    source, target = sketch(1, dead=dead[:1]), sketch(2, stretched, dead)
    exact = compare(source, target, MEASURED)
    monkeypatch.setattr(replicates, "EXACT_UP_TO", 0)
    monkeypatch.setattr(replicates.gaussian, "squared_wasserstein", None)  # which near pairs do without
    agree(compare(source, target, MEASURED), exact)


def test_small_distances_have_exact_replicates_where_no_ridge_is_part_of_the_measure(monkeypatch):
    exact = noise_floor(sketch(1), MEASURED)
    monkeypatch.setattr(replicates, "EXACT_UP_TO", 0)
    found = noise_floor(sketch(1), MEASURED)
    agree(found, exact)
    for name in ("gaussian_wasserstein", "frechet"):
        assert found[name].standard_error == pytest.approx(exact[name].standard_error, rel=1e-9)


def test_narrow_layers_have_exact_replicates():
    pair = Pair(sketch(1).distribution(), sketch(2).distribution())
    for measure in MEASURED.values():
        assert measure.with_replicates(pair)[1] is measure.between


def test_standard_errors_that_rounding_would_change_have_exact_replicates(monkeypatch):
    source, target = sketch(1), sketch(2, shift=1e3)
    exact = compare(source, target, MEASURED)
    monkeypatch.setattr(replicates, "EXACT_UP_TO", 0)
    found = compare(source, target, MEASURED)["gaussian_wasserstein"]
    assert found.standard_error == pytest.approx(exact["gaussian_wasserstein"].standard_error, rel=1e-9)


def test_dead_layers_have_no_distance(wide):
    dead = Sketch.of(torch.zeros(64, 5), torch.arange(64))
    for distance in compare(dead, dead, MEASURED).values():
        assert (distance.value, distance.standard_error) == (0, 0)


def test_the_fit_gives_the_change_of_the_sum_of_roots():
    eigenvalues = torch.logspace(-3, 1, 60, dtype=torch.float64)
    fit = RootFit.around(eigenvalues)

    def summed(values):
        return fit.sum(values.sum(), (values.unsqueeze(-1) + fit.shifts).log().sum(0))

    for factor in (0.6, 1.2):
        change = (factor * eigenvalues).sqrt().sum() - eigenvalues.sqrt().sum()
        assert (summed(factor * eigenvalues) - summed(eigenvalues)).item() == pytest.approx(change.item(), rel=2e-3)
