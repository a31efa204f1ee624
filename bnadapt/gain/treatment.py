"""Treat unlabelled tiles by every candidate, and look at what the network then does."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from bnadapt.adaptation import SCANNED_TILES, AdaptationPass, Recipe
from bnadapt.batchnorm import Bank, Convergence, ProportionCorrection, ProportionScan, UntilConverged
from bnadapt.gain.candidates import CANDIDATES, Candidate, InputChange, with_odds
from bnadapt.gain.observation import BATCH, Observation, observe
from bnadapt.gain.source_summary import SourceSummary

TILE_BY_TILE = UntilConverged(1e-9, min_tiles=2)  # of all tiles, told apart, so that there are standard errors


@dataclass(frozen=True, eq=False)
class Treated:
    """Tiles of a target under a candidate.

    Attributes:
        candidate: which.
        runs: the network behind the candidate's change of images.
        bank: of statistics.
        statistics: the changed images' own, without anything of the source.
        seen: what the network does with the bank.
    """

    candidate: Candidate
    runs: AdaptationPass
    bank: Bank
    statistics: Bank
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


def try_all(
    runs: AdaptationPass,
    tiles: Tensor,
    source: SourceSummary,
    candidates: Mapping[str, Candidate] = CANDIDATES,
) -> Trials:
    """Treat tiles by every candidate; the network is left as it was.

    Args:
        runs: the network, with the source's statistics.
        tiles: (n, C, h, w) of the target. Class proportions are estimated from the first of them, those of changed
            images from every other one, which is half the work.
        source: of the source.
        candidates: by name; one must leave the images as they are.
    """
    level = source.intensities.mean + float(tiles.double().mean())
    changes = {candidate.change: _behind(runs, candidate.change, level) for candidate in candidates.values()}
    batches = [{"image": part} for part in tiles.split(BATCH)]
    recipe = Recipe(until=TILE_BY_TILE if len(tiles) > 1 else None)
    estimates = {change: behind.estimate(batches, recipe) for change, behind in changes.items()}
    corrected = dict.fromkeys(each.change for each in candidates.values() if each.odds is not None)
    scans = {change: _scan(changes[change], tiles[:: 2 if change else 1], source) for change in corrected}
    treated = {}
    for name, candidate in candidates.items():
        behind, own = changes[candidate.change], estimates[candidate.change].bank
        if candidate.odds is None:
            bank = own.blended(runs.source_bank, candidate.source_weight)
        else:
            wanted = with_odds(scans[candidate.change].chosen.proportions, candidate.odds)
            bank = behind.estimate(batches, Recipe(), ProportionCorrection(source.moments, wanted)).bank
        treated[name] = Treated(candidate, behind, bank, own, observe(behind, tiles, bank))
    return Trials(treated, scans, level, _worst(estimates[InputChange()].convergence))


def _behind(runs: AdaptationPass, change: InputChange, level: float) -> AdaptationPass:
    forward = change.around(runs.forward, level)
    return AdaptationPass(runs.network, forward, runs.source_bank, runs.positions_per_tile, runs.layers, runs.group)


def _worst(convergence: Convergence) -> float:
    return max(errors[-1] for curves in (convergence.mean, convergence.log_variance) for errors in curves.values())


def _scan(runs: AdaptationPass, tiles: Tensor, source: SourceSummary) -> ProportionScan:
    estimated = Recipe(class_proportions="estimated")
    _, scan = runs.correction([{"image": tiles[:SCANNED_TILES]}], estimated, source.moments)
    return scan
