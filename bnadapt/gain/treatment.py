"""Treat unlabelled tiles by every candidate, and look at what the network then does."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from bnadapt.adaptation import SCANNED_TILES, AdaptationPass, Recipe
from bnadapt.batchnorm import Bank, ProportionCorrection, ProportionScan
from bnadapt.gain.candidates import CANDIDATES, Candidate, InputChange, with_odds
from bnadapt.gain.observation import BATCH, Observation, observe
from bnadapt.gain.source_summary import SourceSummary


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
    """

    treated: Mapping[str, Treated]
    scans: Mapping[InputChange, ProportionScan]
    level: float

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
        tiles: (n, C, h, w) of the target; those that class proportions are estimated from are the first of them.
        source: of the source.
        candidates: by name.
    """
    level = source.intensity + float(tiles.double().mean())
    changes = {candidate.change: _behind(runs, candidate.change, level) for candidate in candidates.values()}
    batches = [{"image": part} for part in tiles.split(BATCH)]
    statistics = {change: behind.estimate(batches, Recipe()).bank for change, behind in changes.items()}
    corrected = dict.fromkeys(each.change for each in candidates.values() if each.odds is not None)
    scans = {change: _scan(changes[change], tiles, source) for change in corrected}
    treated = {}
    for name, candidate in candidates.items():
        behind, own = changes[candidate.change], statistics[candidate.change]
        if candidate.odds is None:
            bank = own.blended(runs.source_bank, candidate.source_weight)
        else:
            wanted = with_odds(scans[candidate.change].chosen.proportions, candidate.odds)
            bank = behind.estimate(batches, Recipe(), ProportionCorrection(source.moments, wanted)).bank
        treated[name] = Treated(candidate, behind, bank, own, observe(behind, tiles, bank))
    return Trials(treated, scans, level)


def _behind(runs: AdaptationPass, change: InputChange, level: float) -> AdaptationPass:
    forward = change.around(runs.forward, level)
    return AdaptationPass(runs.network, forward, runs.source_bank, runs.positions_per_tile, runs.layers, runs.group)


def _scan(runs: AdaptationPass, tiles: Tensor, source: SourceSummary) -> ProportionScan:
    estimated = Recipe(class_proportions="estimated")
    _, scan = runs.correction([{"image": tiles[:SCANNED_TILES]}], estimated, source.moments)
    return scan
