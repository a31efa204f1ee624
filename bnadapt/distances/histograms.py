"""Histograms of many streams of numbers at once, which need no range beforehand and merge exactly."""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor, distributed

from bnadapt.distances.latents import as_latents, check_same_width

BINS = 512
HALF = BINS // 2
LEVELS = 512
SMALLEST_EXPONENT = -100
DIGITS = 28  # bins are numbered by at most so many binary digits, enough for neighbours in float32
LINEAR = -12  # below 2^-12 the scale of the bins is linear, above it logarithmic


@dataclass(frozen=True, eq=False)
class Histograms:
    """One histogram for every row, of values that may have come in any order, in any parts.

    Bins are counted on a scale of octaves (`_octaves`), so that a few values far from all others leave fine bins to
    these, as long as their mean is within some 20 standard deviations of zero. The bins of a row are 2^k octaves wide,
    with the smallest k at which the values fit into 512 bins; the first bin is a multiple of 256 widths from zero. So
    the bins are a function of the smallest and the greatest value alone, wider ones are made of narrower ones without
    a remainder, and the result is the same for every partition of the values. At least 128 bins lie between smallest
    and greatest value, unless they are neighbours in float32. Within a bin values are taken as evenly spread.

    Attributes:
        low: (R,) float64, smallest values.
        high: (R,) float64, greatest values.
        counts: (G, R, 512) whole numbers; rows are counted separately in G groups.
    """

    low: Tensor
    high: Tensor
    counts: Tensor

    @classmethod
    def empty(cls, groups: int, rows: int, device: torch.device | str = "cpu") -> "Histograms":
        """Histograms of no values."""
        infinite = torch.full((rows,), torch.inf, dtype=torch.float64, device=device)
        return cls(infinite, -infinite, torch.zeros(groups, rows, BINS, dtype=torch.int32, device=device))

    @classmethod
    def of(cls, values: Tensor, groups: Tensor | None = None, count: int = 1) -> "Histograms":
        """Histograms of values.

        Args:
            values: (n, R), finite numbers of any real type, n >= 1.
            groups: (n,) group of every value, below `count`; by default all are of one.
            count: of groups.

        Raises:
            DistanceError: there are no values, or some are not finite.
        """
        values = as_latents(values)
        low, high = (each.double() for each in values.aminmax(dim=0))
        exponent, first = _window(low, high)
        rows = values.shape[1]
        start = (torch.arange(rows, device=values.device) * BINS - first).int()
        position = _octaves(values).mul_(torch.exp2(-exponent.double())).floor_().int() + start
        if groups is not None:
            position += (groups * (rows * BINS)).int().unsqueeze(1)
        counts = torch.bincount(position.flatten(), minlength=count * rows * BINS).int()
        return cls(low, high, counts.view(count, rows, BINS))

    def merged(self, other: "Histograms") -> "Histograms":
        """Histograms of the values of both."""
        low, high = torch.minimum(self.low, other.low), torch.maximum(self.high, other.high)
        return Histograms(low, high, self.widened(low, high).counts + other.widened(low, high).counts)

    def widened(self, low: Tensor, high: Tensor) -> "Histograms":
        """The same values in the bins of a range (R,) to (R,) that holds theirs."""
        if torch.equal(low, self.low) and torch.equal(high, self.high):
            return self
        moved = self._moved(low, high)
        if not moved.any():
            return Histograms(low, high, self.counts)
        before, after = self.window, _window(low, high)
        bins = torch.arange(BINS, device=low.device)
        shifts = after[0] - before[0]
        there = ((before[1].unsqueeze(1) + bins) >> shifts.unsqueeze(1)) - after[1].unsqueeze(1)
        there = there[moved].clamp(0, BINS - 1)  # bins that no value is in may lie outside
        counts = self.counts.clone()
        parts = self.counts[:, moved]
        counts[:, moved] = torch.zeros_like(parts).scatter_add_(2, there.expand_as(parts), parts)
        return Histograms(low, high, counts)

    def pooled(self, group: distributed.ProcessGroup) -> "Histograms":
        """Histograms of the values of all processes (a collective)."""
        low, high = self.low.clone(), self.high.clone()
        distributed.all_reduce(low, distributed.ReduceOp.MIN, group)
        distributed.all_reduce(high, distributed.ReduceOp.MAX, group)
        counts = self.widened(low, high).counts.clone()
        distributed.all_reduce(counts, group=group)
        return Histograms(low, high, counts)

    def of_groups(self, chosen: Tensor) -> "Histograms":
        """The values of some groups as one.

        Args:
            chosen: (M, G) of 0 and 1, the groups that every one of the M new groups is made of.
        """
        counts = chosen.to(self.low) @ self.counts.double().flatten(1)
        return Histograms(self.low, self.high, counts.view(-1, *self.counts.shape[1:]))

    def of_rows(self, chosen: slice | Tensor) -> "Histograms":
        """Some of the rows."""
        return Histograms(self.low[chosen], self.high[chosen], self.counts[:, chosen])

    @cached_property
    def window(self) -> tuple[Tensor, Tensor]:
        """Exponent k and number of the first bin, (R,) int64 each; bins are 2^k octaves wide."""
        return _window(self.low, self.high)

    def edges(self) -> Tensor:
        """(R, 513) float64, where bins begin and end."""
        exponent, first = self.window
        bins = first.unsqueeze(1) + torch.arange(BINS + 1, device=self.low.device)
        return _values(bins * torch.exp2(exponent.double()).unsqueeze(1))

    def shares(self) -> Tensor:
        """(G, R, 512) float64, the part of the values that is in every bin; NaN where there are none."""
        counts = self.counts.double()
        return counts / counts.sum(2, keepdim=True)

    def quantiles(self, levels: Tensor) -> Tensor:
        """Values (G, R, M) below which the shares `levels` (M,), rising, of a group's row lie."""
        reached = self.low.new_zeros(*self.counts.shape[:2], BINS + 1)
        torch.cumsum(self.counts, 2, dtype=reached.dtype, out=reached[:, :, 1:])
        empty = reached[:, :, -1:] == 0
        rows = torch.arange(reached.shape[1], device=reached.device).unsqueeze(1)
        reached.div_(reached[:, :, -1:].clamp(min=1)).add_(rows)  # rows one after the other, as one rising function
        wanted, edges = (each.flatten().cpu().numpy() for each in (rows + levels.to(reached), self.edges()))
        of_groups = [torch.from_numpy(np.interp(wanted, each, edges)) for each in reached.flatten(1).cpu().numpy()]
        values = torch.stack(of_groups).to(reached).view(len(reached), -1, len(levels))
        values = values.clamp_(self.low.unsqueeze(1), self.high.unsqueeze(1))
        return values.masked_fill_(empty, torch.nan)

    def spread_quantiles(self, low: Tensor, high: Tensor) -> Tensor:
        """Quantiles (G, R, 512) at levels that stand closest at the tails, in the bins of a range (R,) to (R,).

        Those of rows that have these bins already are computed once.
        """
        moved = self._moved(low, high)
        if not moved.any():
            return self._own_quantiles
        rows = self.of_rows(moved)
        wider = rows.widened(low[moved], high[moved]).quantiles(_spread_levels(low.device)[0])
        quantiles = self._own_quantiles.clone()
        quantiles[:, moved] = wider.clamp_(rows.low.unsqueeze(1), rows.high.unsqueeze(1))
        return quantiles

    @cached_property
    def _own_quantiles(self) -> Tensor:
        return self.quantiles(_spread_levels(self.low.device)[0])

    def _moved(self, low: Tensor, high: Tensor) -> Tensor:
        """Which rows (R,) have other bins in a range."""
        before, after = self.window, _window(low, high)
        return (before[0] != after[0]) | (before[1] != after[1])


def in_same_bins(source: Histograms, target: Histograms) -> tuple[Histograms, Histograms]:
    """Both in the bins of their common range.

    Raises:
        DistanceError: they differ in their number of rows.
    """
    low, high = _common_range(source, target)
    return source.widened(low, high), target.widened(low, high)


def wasserstein_by_row(source: Histograms, target: Histograms) -> Tensor:
    r"""2-Wasserstein distance of every group's rows, (G, R), in the values' unit.

    .. math:: W_2^2 = \int_0^1 (Q_s(t) - Q_t(t))^2\, dt

    by the midpoint rule at 512 levels :math:`t = \sin^2(\theta)`, which stand closest at the tails.
    """
    low, high = _common_range(source, target)
    difference = source.spread_quantiles(low, high) - target.spread_quantiles(low, high)
    return (difference.square_() @ _spread_levels(low.device)[1]).sqrt()


def energy_by_row(source: Histograms, target: Histograms) -> Tensor:
    r"""Squared energy distance of every group's rows, (G, R), in the values' unit.

    .. math:: D^2 = 2\, E|X - Y| - E|X - X'| - E|Y - Y'| = 2 \int (F_s(x) - F_t(x))^2\, dx

    (Szekely and Rizzo 2013), over bins in which both distribution functions rise evenly.
    """
    source, target = in_same_bins(source, target)
    difference = (source.shares() - target.shares()).cumsum(2)
    before = torch.nn.functional.pad(difference, (1, 0))[:, :, :-1]
    between = (before.square() + before * difference + difference.square()) / 3
    return 2 * (source.edges().diff(dim=1) * between).sum(2)


def bhattacharyya_by_row(source: Histograms, target: Histograms) -> Tensor:
    r"""Bhattacharyya distance of the histograms of every group's rows, (G, R), without unit.

    .. math:: D_B = -\ln \sum_b \sqrt{p_b q_b}

    (Bhattacharyya 1943), in 64 to 256 bins over the common range, pairs of neighbours. n and m values do not
    resolve an overlap below :math:`1 / \sqrt{n m}`, which it is taken for if there is none.
    """
    source, target = in_same_bins(source, target)
    one, other = ((each.counts[:, :, ::2] + each.counts[:, :, 1::2]).double() for each in (source, target))
    least = (one.sum(2) * other.sum(2)).rsqrt()
    return -((one * other).sqrt_().sum(2).clamp(min=1) * least).clamp(max=1).log()


def _common_range(source: Histograms, target: Histograms) -> tuple[Tensor, Tensor]:
    check_same_width(len(source.low), len(target.low))
    return torch.minimum(source.low, target.low), torch.maximum(source.high, target.high)


@lru_cache
def _spread_levels(device: torch.device) -> tuple[Tensor, Tensor]:
    """Levels (512,) between 0 and 1 that stand closest at both ends, and the share that each stands for."""
    angles = torch.linspace(0, math.pi / 2, LEVELS + 1, dtype=torch.float64, device=device)
    return torch.sin((angles[1:] + angles[:-1]) / 2).square(), torch.sin(angles).square().diff()


def _window(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Exponent of the width of the bins and number of the first one, (R,) int64 each, of ranges from low to high."""
    empty = low > high
    low, high = (_octaves(torch.where(empty, 0, each)) for each in (low, high))
    largest = _exponent(torch.maximum(low.abs(), high.abs()))
    exponent = torch.maximum(_exponent((high - low) / BINS) - 1, largest - DIGITS).clamp(min=SMALLEST_EXPONENT)
    while True:
        width = torch.exp2(exponent.double())
        first = torch.floor(low / width / HALF) * HALF
        outside = torch.floor(high / width) >= first + BINS
        if not outside.any():
            return exponent, first.long()
        exponent = exponent + outside


def _octaves(values: Tensor) -> Tensor:
    """Numbers on a scale that rises by 1 from every power of 2 to the next, linear about zero: float64.

    It is exact, and its inverse too (`_values`), for numbers of float32.
    """
    values = values.double()
    size = values.abs() * 2.0**-LINEAR
    mantissa, exponent = torch.frexp(size)  # mantissa from 1/2 on
    return torch.where(size < 1, size, exponent + 2 * mantissa - 1).copysign(values)


def _values(octaves: Tensor) -> Tensor:
    """Numbers at places on the scale of `_octaves`."""
    size = octaves.abs()
    whole = size.floor().clamp(min=1)
    values = torch.where(size < 1, size, (1 + size - whole) * torch.exp2(whole - 1))
    return (values * 2.0**LINEAR).copysign(octaves)


def _exponent(values: Tensor) -> Tensor:
    """The k of 2^(k-1) <= value < 2^k; that of the narrowest bins for zero."""
    return torch.where(values > 0, torch.frexp(values).exponent, SMALLEST_EXPONENT).long()
