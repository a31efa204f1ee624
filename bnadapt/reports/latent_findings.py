"""Findings in the latent spaces of a network, and sentences about them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from torch import Tensor

from bnadapt.distances import MEASURES, LatentStates, LayerDistance

MAIN = "normalised_wasserstein"
CLEARLY = 2  # standard errors


@dataclass(frozen=True, eq=False)
class LatentFindings:
    """Distances between two domains in all latent spaces of a network.

    Attributes:
        source: name of the domain.
        target: name of the domain.
        tiles: number of tiles read, by `source`, `target` and `adapted`.
        states: the sketches.
        rows: the distances.
        examples: some latents (n, C) by `source`, `target` and `adapted`, and by layer.
    """

    source: str
    target: str
    tiles: Mapping[str, int]
    states: LatentStates
    rows: Sequence[LayerDistance]
    examples: Mapping[str, Mapping[str, Tensor]]

    @property
    def layers(self) -> list[str]:
        """In the order in which the network calls them."""
        return list(self.states.source)

    @property
    def measures(self) -> list[str]:
        """Names of the measures."""
        return list(dict.fromkeys(row.measure for row in self.rows))

    @property
    def adapted(self) -> bool:
        """Whether there is an adapted state."""
        return self.states.adapted is not None

    @property
    def has_noise_floor(self) -> bool:
        """Whether the source had enough tiles for two halves."""
        return not any(math.isnan(row.value) for row in self.of(self.main_measure(), "noise_floor"))

    @property
    def widest(self) -> str:
        """The last of the layers with the most channels: the bottleneck of a U-Net."""
        return max(reversed(self.layers), key=lambda layer: self.states.source[layer].width)

    def of(self, measure: str, state: str) -> list[LayerDistance]:
        """Rows of a measure and a state, in the order of the layers."""
        return [row for row in self.rows if (row.measure, row.state) == (measure, state)]

    def main_measure(self) -> str:
        """The measure of the sentences: the source-normalised Wasserstein distance, or else the first."""
        return MAIN if MAIN in self.measures else self.measures[0]


def by_state(rows: Sequence[LayerDistance]) -> dict[str, dict[str, dict[str, float]]]:
    """Values by state, layer and measure, in plain types."""
    values: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        values.setdefault(row.state, {}).setdefault(row.layer, {})[row.measure] = row.value
    return values


def answer(findings: LatentFindings) -> str:
    """How far apart the domains are, and how much of that adaptation removes, in a sentence."""
    source, target = findings.source, findings.target
    unadapted = findings.of(findings.main_measure(), "unadapted")
    if not findings.has_noise_floor:
        return f"{_farthest(findings)} More tiles of {source} are needed to separate this from chance."
    apart = _apart(findings, "unadapted")
    if not apart:
        none = ": there is no shift that adaptation could remove" if findings.adapted else ""
        return f"{source} and {target} differ no more than two halves of {source}{none}."
    where = f"in {len(apart)} of {len(unadapted)} latent spaces"
    if not findings.adapted:
        return f"{source} and {target} clearly differ {where}. {_farthest(findings)}"
    changed = _removed(median(_left(findings, findings.main_measure(), apart)))
    still = len(set(apart) & set(_apart(findings, "adapted")))
    return (
        f"{source} and {target} clearly differ {where}. There adaptation {changed} of the distance"
        f" ({_title(findings.main_measure())}, median); {still} of these spaces still clearly differ."
    )


def details(findings: LatentFindings) -> list[str]:
    """What shifts most, what adaptation removes and leaves where, and what the other measures say."""
    if not findings.has_noise_floor:
        return []
    lines = [_farthest(findings)] if findings.adapted else []
    apart = _apart(findings, "unadapted")
    if findings.adapted and apart:
        lines += [_extremes(findings, apart), _largest_left(findings, apart)]
        lines += [_by_measure(findings)] if len(findings.measures) > 1 else []
    return lines


def _farthest(findings: LatentFindings) -> str:
    measure, source = findings.main_measure(), findings.source
    worst = max(findings.of(measure, "unadapted"), key=_unbiased)
    halves = f"; between two halves of {source}: {findings.of(measure, 'noise_floor')[worst.depth].value:.2f}"
    return (
        f"{source} and {findings.target} differ most in {worst.layer}: {_with_unit(worst)}"
        f" ({_title(measure)}{halves if findings.has_noise_floor else ''})."
    )


def _extremes(findings: LatentFindings, apart: Sequence[int]) -> str:
    """Where adaptation removes most, and where least."""
    left = dict(zip(apart, _left(findings, findings.main_measure(), apart), strict=True))
    most, least = min(left, key=left.get), max(left, key=left.get)
    return (
        f"Adaptation {_removed(left[most])} of the distance in {findings.layers[most]}, and {_removed(left[least])} in"
        f" {findings.layers[least]}."
    )


def _largest_left(findings: LatentFindings, apart: Sequence[int]) -> str:
    after = findings.of(findings.main_measure(), "adapted")
    largest = max((after[depth] for depth in apart), key=_unbiased)
    return f"The largest remaining distance is in {largest.layer}: {_with_unit(largest)}."


def _by_measure(findings: LatentFindings) -> str:
    """How much adaptation removes in the median latent space, by measure."""
    removed = {}
    for measure in findings.measures:
        before = findings.of(measure, "unadapted")
        if left := _left(findings, measure, [row.depth for row in before if _unbiased(row) > 0]):
            removed[measure] = median(left)
    listed = ", ".join(f"{1 - left:+.0%} {_title(name)}" for name, left in sorted(removed.items(), key=lambda i: i[1]))
    sentence = f"Share of the distance that adaptation removes, by measure (median over latent spaces): {listed}."
    if MAIN in removed:
        sentence += (
            f" ({_title(MAIN)} gives directions in which the source hardly varies the same weight as all others.)"
        )
    return sentence


def _apart(findings: LatentFindings, state: str) -> list[int]:
    """Depths at which the distance exceeds that of two halves of the source by more than their standard errors."""
    measure = findings.main_measure()
    pairs = zip(findings.of(measure, state), findings.of(measure, "noise_floor"), strict=True)
    return [row.depth for row, noise in pairs if _above(row, noise)]


def _left(findings: LatentFindings, measure: str, depths: Sequence[int]) -> list[float]:
    """Share of the distance that adaptation leaves at these depths."""
    before, after = (findings.of(measure, state) for state in ("unadapted", "adapted"))
    return [_unbiased(after[depth]) / _unbiased(before[depth]) for depth in depths]


def _title(measure: str) -> str:
    return MEASURES[measure].title


def _with_unit(row: LayerDistance) -> str:
    return f"{_unbiased(row):.2f}{'' if row.unit == 'none' else f' {row.unit}'}"


def _removed(left: float) -> str:
    return f"removes {1 - left:.0%}" if left <= 1 else f"adds {left - 1:.0%}"


def _above(row: LayerDistance, noise: LayerDistance) -> bool:
    """Whether a distance exceeds that of two halves of the source by more than the standard errors of both."""
    errors = [0 if math.isnan(each.standard_error) else each.standard_error for each in (row, noise)]
    floor = 0 if math.isnan(noise.value) else noise.value
    return _unbiased(row) > 0 and row.value - floor > CLEARLY * math.hypot(*errors)


def _unbiased(row: LayerDistance) -> float:
    """The bias-corrected distance, or the uncorrected one if there is a single group of tiles."""
    return row.value if math.isnan(row.bias_corrected) else row.bias_corrected
