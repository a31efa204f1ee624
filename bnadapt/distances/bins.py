"""Bins that are determined by a range of values alone."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

BINS = 512
HALF = BINS // 2
SMALLEST_EXPONENT = -100
DIGITS = 28  # most binary digits of a bin's number, enough for neighbours in float32
TOGETHER = 2**16  # values that are placed at a time, so that their float64 copies fit into a cache
LINEAR = -12  # the scale of the bins is linear below 2^-12 and logarithmic above


@dataclass(frozen=True, eq=False)
class Bins:
    """The 512 bins of every row, on a scale of octaves (`octaves`).

    Attributes:
        low: (R,) float64, smallest values.
        high: (R,) float64, largest values.
        exponent: (R,) int64, k of bins 2^k octaves wide.
        first: (R,) int64, number of the first bin, counted from zero on the scale.
    """

    low: Tensor
    high: Tensor
    exponent: Tensor
    first: Tensor

    @classmethod
    def of_range(cls, low: Tensor, high: Tensor) -> "Bins":
        """The narrowest bins (R,) that hold values from low to high."""
        return cls(low, high, *_window(low, high))

    def common(self, other: "Bins") -> "Bins":
        """Bins for the range of both."""
        return Bins.of_range(torch.minimum(self.low, other.low), torch.maximum(self.high, other.high))

    def of_rows(self, chosen: slice | Tensor) -> "Bins":
        """Select rows."""
        return Bins(self.low[chosen], self.high[chosen], self.exponent[chosen], self.first[chosen])

    def differing(self, other: "Bins") -> Tensor:
        """Rows (R,) whose bins differ."""
        return (self.exponent != other.exponent) | (self.first != other.first)

    def places(self, values: Tensor) -> Tensor:
        """Index (n, R) int32 of the bin of every value."""
        scale = torch.exp2(-self.exponent.double())
        parts = values.split(max(1, TOGETHER // values.shape[1]))
        return torch.cat([octaves(part).mul_(scale).floor_().sub_(self.first).int() for part in parts])

    def places_of(self, narrower: "Bins") -> Tensor:
        """Index (R, 512) of the bin that holds each of narrower bins; the outermost for those out of range."""
        numbers = narrower.first.unsqueeze(1) + torch.arange(BINS, device=self.low.device)
        there = (numbers >> (self.exponent - narrower.exponent).unsqueeze(1)) - self.first.unsqueeze(1)
        return there.clamp(0, BINS - 1)

    @cached_property
    def edges(self) -> Tensor:
        """(R, 513) float64, edges of the bins."""
        bins = self.first.unsqueeze(1) + torch.arange(BINS + 1, device=self.low.device)
        return _values(bins * torch.exp2(self.exponent.double()).unsqueeze(1))


def octaves(values: Tensor) -> Tensor:
    """Map numbers to a float64 scale that rises by 1 from each power of 2 to the next, and is linear around zero.

    The map and its inverse (`_values`) are exact for float32.
    """
    values = values.double()
    size = values.abs().mul_(2.0**-LINEAR)
    bits = size.view(torch.int64) - (1022 << 52)  # exponent and fraction, one number that rises evenly within an octave
    return torch.where(size < 1, size, bits.double().mul_(2.0**-52)).copysign_(values)


def _window(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Exponent of the width of the bins and number of the first one, (R,) int64 each, for ranges from low to high."""
    empty = low > high
    low, high = (octaves(torch.where(empty, 0, each)) for each in (low, high))
    largest = _exponent(torch.maximum(low.abs(), high.abs()))
    exponent = torch.maximum(_exponent((high - low) / BINS) - 1, largest - DIGITS).clamp(min=SMALLEST_EXPONENT)
    while True:
        width = torch.exp2(exponent.double())
        first = torch.floor(low / width / HALF) * HALF
        outside = torch.floor(high / width) >= first + BINS
        if not outside.any():
            return exponent, first.long()
        exponent = exponent + outside


def _values(octaves: Tensor) -> Tensor:
    """The inverse of `octaves`."""
    size = octaves.abs()
    whole = size.floor().clamp(min=1)
    values = torch.where(size < 1, size, (1 + size - whole) * torch.exp2(whole - 1))
    return (values * 2.0**LINEAR).copysign(octaves)


def _exponent(values: Tensor) -> Tensor:
    """The k of 2^(k-1) <= value < 2^k; for zero that of the narrowest bins."""
    return torch.where(values > 0, torch.frexp(values).exponent, SMALLEST_EXPONENT).long()
