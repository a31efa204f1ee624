"""Histograms of many streams of numbers at once, which need no range in advance and merge exactly."""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor, distributed

from bnadapt.distances.bins import BINS, Bins
from bnadapt.distances.latents import as_latents, check_same_width

LEVELS = 512


@dataclass(frozen=True, eq=False)
class Histograms:
    """One histogram per row, independent of the order and partition of the values.

    Bins are counted on a scale of octaves (`bnadapt.distances.bins`), so that a few outliers leave fine bins to the
    other values, as long as their mean is within some 20 standard deviations of zero. The bins of a row are 2^k octaves
    wide, with the smallest k at which the values fit into 512 bins, and the first bin is a multiple of 256 widths from
    zero. So the bins depend on the smallest and the largest value alone, and wider bins are unions of narrower ones. At
    least 128 bins lie between smallest and largest value, unless these are neighbours in float32. Values count as
    evenly spread within a bin.

    Attributes:
        bins: bins of R rows, from the smallest to the largest value.
        counts: (G, R, 512) whole numbers, in G groups.
    """

    bins: Bins
    counts: Tensor

    @classmethod
    def empty(cls, groups: int, rows: int, device: torch.device | str = "cpu") -> "Histograms":
        """Histograms without values."""
        infinite = torch.full((rows,), torch.inf, dtype=torch.float64, device=device)
        counts = torch.zeros(groups, rows, BINS, dtype=torch.int32, device=device)
        return cls(Bins.of_range(infinite, -infinite), counts)

    @classmethod
    def of(cls, values: Tensor, groups: Tensor | None = None, count: int = 1) -> "Histograms":
        """Histograms of values.

        Args:
            values: (n, R), finite numbers of any real type, n >= 1.
            groups: (n,) group of every value, below `count`; by default all are in one.
            count: number of groups.

        Raises:
            DistanceError: there are no values, or some are not finite.
        """
        values = as_latents(values)
        bins = Bins.of_range(values.amin(0).double(), values.amax(0).double())
        rows = values.shape[1]
        position = bins.places(values) + torch.arange(0, rows * BINS, BINS, dtype=torch.int32, device=values.device)
        if groups is not None:
            position += (groups * (rows * BINS)).int().unsqueeze(1)
        counts = torch.bincount(position.flatten(), minlength=count * rows * BINS).int()
        return cls(bins, counts.view(count, rows, BINS))

    def merged(self, other: "Histograms") -> "Histograms":
        """Histograms of both."""
        bins = self.bins.common(other.bins)
        return Histograms(bins, self.widened(bins).counts + other.widened(bins).counts)

    def widened(self, bins: Bins) -> "Histograms":
        """The same values in the bins of a range that includes theirs."""
        if bins is self.bins:
            return self
        moved = bins.differing(self.bins)
        if not moved.any():
            return Histograms(bins, self.counts)
        there = bins.of_rows(moved).places_of(self.bins.of_rows(moved))
        counts = self.counts.clone()
        parts = self.counts[:, moved]
        counts[:, moved] = torch.zeros_like(parts).scatter_add_(2, there.expand_as(parts), parts)
        return Histograms(bins, counts)

    def pooled(self, group: distributed.ProcessGroup) -> "Histograms":
        """Histograms of all processes (a collective)."""
        low, high = self.bins.low.clone(), self.bins.high.clone()
        distributed.all_reduce(low, distributed.ReduceOp.MIN, group)
        distributed.all_reduce(high, distributed.ReduceOp.MAX, group)
        bins = Bins.of_range(low, high)
        counts = self.widened(bins).counts.clone()
        distributed.all_reduce(counts, group=group)
        return Histograms(bins, counts)

    def of_groups(self, chosen: Tensor) -> "Histograms":
        """Merge groups: `chosen` (M, G) of 0 and 1 gives the groups that make up each of M new ones."""
        counts = chosen.to(self.bins.low) @ self.counts.double().flatten(1)
        return Histograms(self.bins, counts.view(-1, *self.counts.shape[1:]))

    def of_rows(self, chosen: slice | Tensor) -> "Histograms":
        """Select rows."""
        return Histograms(self.bins.of_rows(chosen), self.counts[:, chosen])

    def shares(self) -> Tensor:
        """(G, R, 512) float64, share of the values in every bin; NaN for an empty group."""
        counts = self.counts.double()
        return counts / counts.sum(2, keepdim=True)

    def quantiles(self, levels: Tensor) -> Tensor:
        """Quantiles (G, R, M) of every group's row at rising levels (M,)."""
        reached = self.bins.low.new_zeros(*self.counts.shape[:2], BINS + 1)
        torch.cumsum(self.counts, 2, dtype=reached.dtype, out=reached[:, :, 1:])
        empty = reached[:, :, -1:] == 0
        rows = torch.arange(0, 2 * reached.shape[1], 2, device=reached.device).unsqueeze(1)
        reached.div_(reached[:, :, -1:].clamp(min=1)).add_(rows)  # from 0 to 1, 2 to 3, and so on: one rising function
        wanted, edges = (each.flatten().cpu().numpy() for each in (rows + levels.to(reached), self.bins.edges))
        of_groups = [torch.from_numpy(np.interp(wanted, each, edges)) for each in reached.flatten(1).cpu().numpy()]
        values = torch.stack(of_groups).to(reached).view(len(reached), -1, len(levels))
        values = values.clamp_(self.bins.low.unsqueeze(1), self.bins.high.unsqueeze(1))
        return values.masked_fill_(empty, torch.nan)

    def spread_quantiles(self, bins: Bins) -> Tensor:
        """Quantiles (G, R, 512) at levels that are closest together at the tails, after widening to `bins`.

        Rows that have these bins already are computed once.
        """
        moved = bins.differing(self.bins)
        if not moved.any():
            return self._own_quantiles
        rows = self.of_rows(moved)
        wider = rows.widened(bins.of_rows(moved)).quantiles(_spread_levels(self.bins.low.device)[0])
        quantiles = self._own_quantiles.clone()
        quantiles[:, moved] = wider.clamp_(rows.bins.low.unsqueeze(1), rows.bins.high.unsqueeze(1))
        return quantiles

    @cached_property
    def _own_quantiles(self) -> Tensor:
        return self.quantiles(_spread_levels(self.bins.low.device)[0])


def in_same_bins(source: Histograms, target: Histograms) -> tuple[Histograms, Histograms]:
    """Both in the bins of their common range.

    Raises:
        DistanceError: the numbers of rows differ.
    """
    bins = _common_bins(source, target)
    return source.widened(bins), target.widened(bins)


def wasserstein_by_row(source: Histograms, target: Histograms) -> Tensor:
    r"""2-Wasserstein distance (G, R) of every group's rows, in the values' unit.

    .. math:: W_2^2 = \int_0^1 (Q_s(t) - Q_t(t))^2\, dt

    by the midpoint rule at 512 levels :math:`t = \sin^2(\theta)`, which are closest together at the tails.
    """
    bins = _common_bins(source, target)
    difference = source.spread_quantiles(bins) - target.spread_quantiles(bins)
    return (difference.square_() @ _spread_levels(bins.low.device)[1]).sqrt()


def energy_by_row(source: Histograms, target: Histograms) -> Tensor:
    r"""Squared energy distance (G, R) of every group's rows, in the values' unit.

    .. math:: D^2 = 2\, E|X - Y| - E|X - X'| - E|Y - Y'| = 2 \int (F_s(x) - F_t(x))^2\, dx

    (Szekely and Rizzo 2013), over bins in which both distribution functions rise evenly.
    """
    source, target = in_same_bins(source, target)
    difference = (source.shares() - target.shares()).cumsum(2)
    before = torch.nn.functional.pad(difference, (1, 0))[:, :, :-1]
    between = (before.square() + before * difference + difference.square()) / 3
    return 2 * (source.bins.edges.diff(dim=1) * between).sum(2)


def bhattacharyya_by_row(source: Histograms, target: Histograms) -> Tensor:
    r"""Bhattacharyya distance (G, R) of the histograms of every group's rows, without unit.

    .. math:: D_B = -\ln \sum_b \sqrt{p_b q_b}

    (Bhattacharyya 1943), in 64 to 256 bins over the common range, pairs of neighbours. n and m values do not resolve an
    overlap below :math:`1 / \sqrt{n m}`, which is assumed if there is none.
    """
    source, target = in_same_bins(source, target)
    one, other = ((each.counts[:, :, ::2] + each.counts[:, :, 1::2]).double() for each in (source, target))
    least = (one.sum(2) * other.sum(2)).rsqrt()
    return -((one * other).sqrt_().sum(2).clamp(min=1) * least).clamp(max=1).log()


def _common_bins(source: Histograms, target: Histograms) -> Bins:
    check_same_width(len(source.bins.low), len(target.bins.low))
    return source.bins if source.bins is target.bins else source.bins.common(target.bins)


@lru_cache
def _spread_levels(device: torch.device) -> tuple[Tensor, Tensor]:
    """Levels (512,) in 0..1, closest together at both ends, and the share that each represents."""
    angles = torch.linspace(0, math.pi / 2, LEVELS + 1, dtype=torch.float64, device=device)
    return torch.sin((angles[1:] + angles[:-1]) / 2).square(), torch.sin(angles).square().diff()
