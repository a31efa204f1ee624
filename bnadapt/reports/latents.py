"""What was found in the latent spaces of a network, and what it says in sentences."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from torch import Tensor

from bnadapt.distances import LatentStates, LayerDistance

MAIN = "normalised_wasserstein"
CLEARLY = 2  # standard errors


@dataclass(frozen=True)
class LatentFindings:
    """Distances between two domains in all latent spaces of a network.

    Attributes:
        source: name of the domain.
        target: name of the domain.
        tiles: that were read, by `source`, `target` and `adapted`.
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
        """Those that were taken."""
        return list(dict.fromkeys(row.measure for row in self.rows))

    @property
    def adapted(self) -> bool:
        """Whether there is an adapted state."""
        return self.states.adapted is not None

    @property
    def has_noise_floor(self) -> bool:
        """Whether the source had tiles enough for two halves."""
        return not any(math.isnan(row.value) for row in self.of(self.main_measure(), "noise_floor"))

    @property
    def widest(self) -> str:
        """The last of the layers with the most channels: the bottleneck of a U-Net."""
        return max(reversed(self.layers), key=lambda layer: self.states.source[layer].width)

    def of(self, measure: str, state: str) -> list[LayerDistance]:
        """Rows of a measure and a state, in the order of the layers."""
        return [row for row in self.rows if (row.measure, row.state) == (measure, state)]

    def main_measure(self) -> str:
        """What sentences are about: the source-normalised Wasserstein distance, or the first that was taken."""
        return MAIN if MAIN in self.measures else self.measures[0]


def by_state(rows: Sequence[LayerDistance]) -> dict[str, dict[str, dict[str, float]]]:
    """Values by state, layer and measure, in plain types."""
    values: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        values.setdefault(row.state, {}).setdefault(row.layer, {})[row.measure] = row.value
    return values


def sentences(findings: LatentFindings) -> list[str]:
    """What shifts, what adaptation removes and what it leaves, in the main measure, freed of the samples' bias."""
    measure = findings.main_measure()
    unadapted, floor = findings.of(measure, "unadapted"), findings.of(measure, "noise_floor")
    unit = "" if unadapted[0].unit == "none" else f" {unadapted[0].unit}"
    worst = max(unadapted, key=_unbiased)
    lines = [
        f"{findings.source} and {findings.target} lie farthest apart in {worst.layer}: {_unbiased(worst):.2f}{unit}"
        f" ({measure})."
    ]
    if not findings.has_noise_floor:
        return [*lines, f"More tiles of {findings.source} are needed to tell what of it is chance."]
    lines[0] = f"{lines[0][:-2]}; two halves of {findings.source} lie {floor[worst.depth].value:.2f} apart there)."
    apart = [row for row, noise in zip(unadapted, floor, strict=True) if _above(row, noise)]
    lines.append(f"In {len(apart)} of {len(unadapted)} latent spaces they are clearly farther apart than those halves.")
    if findings.adapted:
        lines += _removal(apart, [findings.of(measure, "adapted")[row.depth] for row in apart], floor, unit)
    if findings.adapted and apart and len(findings.measures) > 1:
        lines.append(_by_measure(findings))
    return lines


def _removal(
    before: Sequence[LayerDistance], after: Sequence[LayerDistance], floor: Sequence[LayerDistance], unit: str
) -> list[str]:
    if not before:
        return ["There is no shift that adaptation could remove."]
    left = [_unbiased(row) / _unbiased(old) for row, old in zip(after, before, strict=True)]
    order = sorted(range(len(left)), key=left.__getitem__)
    most, least = order[0], order[-1]
    largest = max(after, key=_unbiased)
    lines = [
        f"There adaptation {_removed(median(left))} of the distance in the median space; it {_removed(left[most])} in"
        f" {before[most].layer} and {_removed(left[least])} in {before[least].layer}.",
        f"What it leaves is largest in {largest.layer}: {_unbiased(largest):.2f}{unit}.",
    ]
    remaining = sum(_above(row, floor[row.depth]) for row in after)
    lines.append(f"After adaptation {remaining} of these {len(before)} spaces are still clearly apart.")
    return lines


def _by_measure(findings: LatentFindings) -> str:
    """How much adaptation removes in the median latent space, as every measure sees it."""
    removed = {}
    for measure in findings.measures:
        pairs = zip(findings.of(measure, "unadapted"), findings.of(measure, "adapted"), strict=True)
        left = [_unbiased(after) / _unbiased(before) for before, after in pairs if _unbiased(before) > 0]
        if left:
            removed[measure] = 1 - median(left)
    listed = ", ".join(f"{share:.0%} of {name}" for name, share in sorted(removed.items(), key=lambda each: -each[1]))
    sentence = f"By measure, in the median of all latent spaces, adaptation removes {listed}."
    if MAIN in removed:
        sentence += f" ({MAIN} weighs directions in which the source hardly varies as much as all others.)"
    return sentence


def _removed(left: float) -> str:
    return f"removes {1 - left:.0%}" if left <= 1 else f"adds {left - 1:.0%}"


def _above(row: LayerDistance, noise: LayerDistance) -> bool:
    """Whether a distance is above that of two halves of the source by more than the standard errors of both."""
    errors = [0 if math.isnan(each.standard_error) else each.standard_error for each in (row, noise)]
    floor = 0 if math.isnan(noise.value) else noise.value
    return _unbiased(row) > 0 and row.value - floor > CLEARLY * math.hypot(*errors)


def _unbiased(row: LayerDistance) -> float:
    """The distance without bias, where there is more than one group of tiles."""
    return row.value if math.isnan(row.bias_corrected) else row.bias_corrected
