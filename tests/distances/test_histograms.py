"""Histograms without a range: the same for any partition, and close to what the values themselves give."""

import math

import numpy as np
import ot
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bnadapt.distances import DistanceError, Histograms
from bnadapt.distances.histograms import bhattacharyya_by_row, energy_by_row, wasserstein_by_row


def values(shape=(3000, 3), seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@st.composite
def streams(draw):
    """Values (n, 3), and sizes of the parts they come in."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    sizes = draw(st.lists(st.integers(1, 40), min_size=1, max_size=6))
    offset = draw(st.sampled_from([0.0, 1.0, -1e4, 3e-5]))
    scale = draw(st.sampled_from([0.0, 1e-4, 1.0, 1e4]))
    drawn = torch.randn(sum(sizes), 3, generator=generator) * scale * torch.tensor([1.0, 1e-3, 50.0]) + offset
    return (drawn.double() if draw(st.booleans()) else drawn), sizes


@given(streams())
@settings(max_examples=200, deadline=None)
def test_the_histogram_is_a_function_of_the_values_whatever_the_partition(stream):
    drawn, sizes = stream
    whole, *parts = (Histograms.of(part) for part in (drawn, *drawn.split(sizes)))
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merged(part)
    assert torch.equal(merged.counts, whole.counts)
    assert torch.equal(merged.bins.low, whole.bins.low)
    assert whole.counts.sum(2).tolist() == [[len(drawn)] * 3]
    edges = whole.bins.edges
    assert (edges[:, 0] <= whole.bins.low).all()
    assert (edges[:, -1] > whole.bins.high).all()


def test_groups_are_counted_apart_and_go_together_as_chosen():
    drawn, groups = values((100, 3)), torch.arange(100) % 4
    histograms = Histograms.of(drawn, groups, 4)
    chosen = torch.tensor([[1, 0, 1, 0], [1, 1, 1, 1]])
    together = histograms.of_groups(chosen)
    for counts, rule in zip(together.counts, [groups % 2 == 0, groups >= 0], strict=True):
        own = Histograms.of(drawn[rule]).widened(histograms.bins)
        assert torch.equal(counts.int(), own.counts[0])


def test_quantiles_are_within_a_bin_of_those_of_the_values():
    drawn = values() * torch.tensor([1.0, 1e-3, 1e3]) + torch.tensor([0.0, 5.0, -1e4])
    levels = torch.tensor([0.0, 0.01, 0.3, 0.5, 0.9, 1.0], dtype=torch.float64)
    histograms = Histograms.of(drawn)
    edges = histograms.bins.edges
    expected = torch.quantile(drawn.double(), levels, dim=0).T
    bins = torch.searchsorted(edges, expected).clamp(1, edges.shape[1] - 1)
    widths = edges.diff(dim=1).gather(1, bins - 1)
    assert (widths < (histograms.bins.high - histograms.bins.low)[:, None] / 16).all()
    assert ((histograms.quantiles(levels)[0] - expected).abs() <= widths).all()


def test_a_group_without_values_has_no_quantiles():
    histograms = Histograms.of(values((20, 3)), torch.zeros(20, dtype=torch.int64), 2)
    found = histograms.quantiles(torch.tensor([0.1, 0.5]))
    assert torch.isfinite(found[0]).all()
    assert found[1].isnan().all()


@pytest.mark.parametrize(("scale", "shift"), [(1, 0.5), (2, 0), (0.2, 3), (1, 100), (1, 0.02)])
def test_wasserstein_agrees_with_pot(scale, shift):
    one, other = values().double(), values(seed=1).double() * scale + shift
    expected = ot.wasserstein_1d(one, other, p=2).sqrt()
    found = wasserstein_by_row(Histograms.of(one), Histograms.of(other))[0]
    torch.testing.assert_close(found, expected, rtol=0.02, atol=2e-3)


def test_wasserstein_of_heavy_tails_agrees_with_pot():
    one, other = (values(seed=seed).double() ** 3 for seed in range(2))
    found = wasserstein_by_row(Histograms.of(one), Histograms.of(2 * other))[0]
    torch.testing.assert_close(found, ot.wasserstein_1d(one, 2 * other, p=2).sqrt(), rtol=0.05, atol=0)


@pytest.mark.parametrize(("scale", "shift"), [(1, 0.5), (2, 0), (0.2, 3), (1, 100)])
def test_energy_agrees_with_scipy(scale, shift):
    one, other = values(), values(seed=1) * scale + shift
    found = energy_by_row(Histograms.of(one), Histograms.of(other))[0]
    expected = [scipy.stats.energy_distance(one[:, row], other[:, row]) ** 2 for row in range(3)]
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=1e-4)


def test_bhattacharyya_agrees_with_the_closed_form_of_normals():
    one, other = values((200_000, 1)), values((200_000, 1), seed=1) * 2 + 1
    found = bhattacharyya_by_row(Histograms.of(one), Histograms.of(other)).item()
    expected = 1 / (4 * 5) + math.log(5 / 4) / 2
    assert found == pytest.approx(expected, rel=0.03)


def test_what_does_not_overlap_is_as_far_apart_as_counts_can_tell():
    one, other = values((400, 1)), values((100, 1)) + 1e3
    assert bhattacharyya_by_row(Histograms.of(one), Histograms.of(other)).item() == pytest.approx(math.log(200))


@pytest.mark.parametrize("by_row", [wasserstein_by_row, energy_by_row, bhattacharyya_by_row])
def test_zero_on_itself_symmetric_and_finite_for_constants(by_row):
    one, other = values() + 3, values(seed=1) * 2
    constant = torch.full((50, 3), 0.1)
    one, other, constant = map(Histograms.of, (one, other, constant))
    assert by_row(one, one).abs().max() < 1e-9
    torch.testing.assert_close(by_row(one, other), by_row(other, one))
    for pair in ((constant, constant), (constant, one)):
        assert torch.isfinite(by_row(*pair)).all()
    assert by_row(constant, constant).abs().max() < 1e-9


def test_another_number_of_rows_is_refused():
    with pytest.raises(DistanceError, match="The source has 3 channels, the target 2"):
        wasserstein_by_row(Histograms.of(values()), Histograms.of(values((9, 2))))
