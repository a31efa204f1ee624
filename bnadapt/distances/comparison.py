"""Distances between two sketches, with standard errors and corrected for the bias of finite samples."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bnadapt.distances.measures import MEASURES, Measure, Pair
from bnadapt.distances.sketch import GROUPS, Distribution, Sketch

ROUNDED = 0.01  # standard errors of less than this share of the distance take exact replicates


@dataclass(frozen=True)
class Distance:
    """A measured distance.

    Attributes:
        value: distance between the samples; too large, since two samples of one distribution differ too.
        bias_corrected: with the first order of this bias removed, at least zero; for a `Measure.is_root` through its
            square. NaN, like the next, if a domain has fewer than two groups of tiles.
        standard_error: of `value`, over tiles.
    """

    value: float
    bias_corrected: float
    standard_error: float


def compare(source: Sketch, target: Sketch, measures: Mapping[str, Measure] = MEASURES) -> dict[str, Distance]:
    r"""Distances between two sketches by measure.

    Bias and standard error are those of the delete-a-group jackknife (Quenouille 1956; Kott 2001) over groups of tiles,
    because the positions of a tile resemble each other. With g groups, and :math:`d_{-i}` without the i-th group of
    source and target,

    .. math:: \mathrm{bias\ corrected} = g d - (g - 1) \bar d, \quad
              SE^2 = \frac{g - 1}{g} \sum_i (d_{-i} - \bar d)^2

    where g is the smaller number of groups of the two; the other's are joined to as many. The measures are computed g +
    1 times, in wide layers g times without eigenvalues (`bnadapt.distances.replicates`).

    Raises:
        DistanceError: the numbers of channels differ.
    """
    return compare_each(source, [target], measures)[0]


def compare_each(
    source: Sketch, targets: Sequence[Sketch], measures: Mapping[str, Measure] = MEASURES
) -> list[dict[str, Distance]]:
    """Distances as by `compare` for each of several targets; the source's part is computed once.

    Raises:
        DistanceError: the numbers of channels differ.
    """
    counts = [min(len(source.groups), len(target.groups)) for target in targets]
    of_source = {count: _Samples.of(source, source.groups, count) for count in counts}
    return [
        _compared(of_source[count], _Samples.of(target, target.groups, count), measures)
        for target, count in zip(targets, counts, strict=True)
    ]


def noise_floor(sketch: Sketch, measures: Mapping[str, Measure] = MEASURES) -> dict[str, Distance]:
    """Distances between two halves of a domain's tiles: the distances without any difference of domains.

    Since the halves have half as many tiles, their distances are somewhat larger than those of two full samples. All
    are NaN if there are fewer than two groups of tiles.
    """
    halves = sketch.groups[::2], sketch.groups[1::2]
    count = min(map(len, halves))
    if not count:
        return dict.fromkeys(measures, Distance(math.nan, math.nan, math.nan))
    return _compared(*(_Samples.of(sketch, half, count) for half in halves), measures)


@dataclass(frozen=True, eq=False)
class _Samples:
    """The distribution of some groups, and those without one after the other, in parts."""

    whole: Distribution
    left_out: list[Distribution]

    @classmethod
    def of(cls, sketch: Sketch, groups: Sequence[int], count: int) -> "_Samples":
        chosen = _left_out(groups, count)
        left_out = list(sketch.distributions(chosen[1:])) if len(chosen) > 1 else []
        return cls(sketch.distribution(chosen[:1]), left_out)


def _compared(source: _Samples, target: _Samples, measures: Mapping[str, Measure]) -> dict[str, Distance]:
    """Distances over all groups, and leaving out one after the other."""
    whole = Pair(source.whole, target.whole)
    replicates = [Pair(*pair) for pair in zip(source.left_out, target.left_out, strict=True)]
    distances = {}
    for name, measure in measures.items():
        value, near = measure.with_replicates(whole)
        distance = _jackknifed(torch.cat([value, *map(near, replicates)]), measure.is_root)
        if near is not measure.between and distance.standard_error < ROUNDED * distance.value:
            distance = _jackknifed(torch.cat([value, *map(measure.between, replicates)]), measure.is_root)
        distances[name] = distance
    return distances


def _left_out(groups: Sequence[int], count: int) -> Tensor:
    """Choices (1 + count, 8): all groups, and all but one of `count` parts of them; a single part only as a whole."""
    chosen = torch.zeros(1 + count if count > 1 else 1, GROUPS)
    for number, group in enumerate(groups):
        chosen[:, group] = 1
        if count > 1:
            chosen[1 + number % count, group] = 0
    return chosen


def _jackknifed(values: Tensor, is_root: bool) -> Distance:
    """Distance with bias and error, from the values over all groups and without each of them."""
    value, *parts = values.tolist()
    count = len(parts)
    if not count:
        return Distance(value, math.nan, math.nan)
    centre = sum(parts) / count
    error = math.sqrt((count - 1) / count * sum((part - centre) ** 2 for part in parts))
    power = 2 if is_root else 1
    unbiased = count * value**power - (count - 1) * sum(part**power for part in parts) / count
    return Distance(value, max(unbiased, 0.0) ** (1 / power), error)
