"""Treat unlabelled tiles by every candidate, and look at what the network then does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from bnadapt.adaptation import SCANNED_TILES, AdaptationPass, Recipe
from bnadapt.batchnorm import (
    Bank,
    ClassMoments,
    Convergence,
    Estimate,
    ProportionCorrection,
    ProportionScan,
    UntilConverged,
)
from bnadapt.gain.candidates import CANDIDATES, FULL_REPLACEMENT, Candidate, InputChange, with_odds
from bnadapt.gain.observation import BATCH, Observation, logits_under, observe
from bnadapt.gain.source_summary import SourceSummary

TILE_BY_TILE = UntilConverged(1e-9, min_tiles=2)  # of all tiles, told apart, so that there are standard errors


@dataclass(frozen=True, eq=False)
class Treatment:
    """How a target is treated for a candidate.

    Attributes:
        candidate: which.
        runs: the network behind the candidate's change of images.
        bank: of statistics.
        statistics: the changed images' own, without anything of the source.
    """

    candidate: Candidate
    runs: AdaptationPass
    bank: Bank
    statistics: Bank

    def logits(self, images: Tensor) -> Tensor:
        """Logits (n, K, h, w) of images (n, C, h, w), float32 on the CPU."""
        return logits_under(self.runs, images, self.bank)


@dataclass(frozen=True, eq=False)
class Treated(Treatment):
    """Tiles of a target under a candidate.

    Attributes:
        seen: what the network does with the bank.
    """

    seen: Observation


@dataclass(frozen=True, eq=False)
class Trials:
    """What all candidates make of some tiles.

    Attributes:
        treated: by the candidate's name.
        scans: of class proportions, by what was done to the images.
        level: see `InputChange.around`.
        standard_error: of the unchanged images' statistics in the worst layer, see `bnadapt.batchnorm.Convergence`;
            infinite for a single tile.
    """

    treated: Mapping[str, Treated]
    scans: Mapping[InputChange, ProportionScan]
    level: float
    standard_error: float

    def scan_for(self, candidate: Candidate) -> ProportionScan:
        """Of the candidate's images, or if there is none, of the unchanged ones."""
        return self.scans.get(candidate.change) or self.scans[InputChange()]


class Treatments:
    """Treats a target by one candidate after another; what they have in common is done once.

    Args:
        runs: the network, with the source's statistics; it is left as it was.
        tiles: (n, C, h, w) of the target, whose statistics are estimated.
        scanned: (m, C, h, w) of the target. Class proportions are estimated from the first of them, those of changed
            images from every other one, which is half the work.
        moments: class moments of the source; candidates with `odds` need them.
        level: see `InputChange.around`; inverted candidates need it.
        recipe: how statistics are estimated; those for other class proportions are estimated from all tiles.

    Attributes:
        scans: of class proportions so far, by what was done to the images.
    """

    def __init__(
        self,
        runs: AdaptationPass,
        tiles: Sequence[Tensor],
        scanned: Tensor,
        moments: ClassMoments | None,
        level: float | None,
        recipe: Recipe,
    ) -> None:
        self.runs = runs
        self.batches = [{"image": part} for part in tiles]
        self.scanned = scanned
        self.moments = moments
        self.level = level
        self.recipe = recipe
        self.scans: dict[InputChange, ProportionScan] = {}
        self._estimates: dict[InputChange, Estimate] = {}

    def of(self, candidate: Candidate) -> Treatment:
        """How the target is treated for a candidate.

        Raises:
            BatchNormError: statistics or class proportions cannot be estimated.
        """
        behind, own = self._behind(candidate.change), self.estimate(candidate.change).bank
        if candidate.odds is None:
            bank = self._without_correction(candidate, behind, own)
        else:
            correction = ProportionCorrection(self.moments, self.proportions(candidate))
            bank = behind.estimate(self.batches, replace(self.recipe, until=None), correction).bank
        return Treatment(candidate, behind, bank, own)

    def _without_correction(self, candidate: Candidate, behind: AdaptationPass, own: Bank) -> Bank:
        if candidate.policy == FULL_REPLACEMENT:
            return own
        if candidate.policy.source_weight == 1:
            return self.runs.source_bank
        return behind.estimate(self.batches, replace(self.recipe, until=None, policy=candidate.policy)).bank

    def estimate(self, change: InputChange) -> Estimate:
        """The statistics of changed images."""
        if change not in self._estimates:
            self._estimates[change] = self._behind(change).estimate(self.batches, self.recipe)
        return self._estimates[change]

    def proportions(self, candidate: Candidate) -> list[float]:
        """Class proportions that statistics are corrected for, of a candidate with `odds`."""
        change = candidate.change
        if change not in self.scans:
            tiles = self.scanned[:: 2 if change else 1][:SCANNED_TILES]
            estimated = Recipe(class_proportions="estimated")
            _, self.scans[change] = self._behind(change).correction([{"image": tiles}], estimated, self.moments)
        return with_odds(self.scans[change].chosen.proportions, candidate.odds)

    def _behind(self, change: InputChange) -> AdaptationPass:
        runs = self.runs
        forward = change.around(runs.forward, self.level)
        return AdaptationPass(runs.network, forward, runs.source_bank, runs.positions_per_tile, runs.layers, runs.group)


def try_all(
    runs: AdaptationPass,
    tiles: Tensor,
    source: SourceSummary,
    candidates: Mapping[str, Candidate] = CANDIDATES,
) -> Trials:
    """Treat tiles by every candidate; the network is left as it was.

    Args:
        runs: the network, with the source's statistics.
        tiles: (n, C, h, w) of the target; for class proportions see `Treatments`.
        source: of the source.
        candidates: by name; one must leave the images as they are.
    """
    level = source.intensities.mean + float(tiles.double().mean())
    recipe = Recipe(until=TILE_BY_TILE if len(tiles) > 1 else None)
    treatments = Treatments(runs, tiles.split(BATCH), tiles, source.moments, level, recipe)
    treated = {}
    for name, candidate in candidates.items():
        treatment = treatments.of(candidate)
        treated[name] = Treated(**vars(treatment), seen=observe(treatment.runs, tiles, treatment.bank))
    return Trials(treated, treatments.scans, level, _worst(treatments.estimate(InputChange()).convergence))


def _worst(convergence: Convergence) -> float:
    return max(errors[-1] for curves in (convergence.mean, convergence.log_variance) for errors in curves.values())
