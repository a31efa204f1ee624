"""Run a network on a target under every candidate."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from bnadapt.adaptation import SCANNED_TILES, NetworkRunner, Recipe
from bnadapt.batchnorm import Bank, ClassMoments, Estimate, ProportionCorrection, ProportionEstimate
from bnadapt.data.input_change import InputChange
from bnadapt.gain.candidates import FULL_REPLACEMENT, NONE, RECOMMENDABLE, Candidate
from bnadapt.gain.observation import BATCH, Observation, logits_under, observe
from bnadapt.gain.source_summary import SourceSummary


@dataclass(frozen=True, eq=False)
class CandidateNetwork:
    """The network under a candidate.

    Attributes:
        candidate: the candidate.
        runner: the network behind the candidate's change of images.
        bank: its statistics.
        statistics: statistics of the changed images alone, without the source's.
    """

    candidate: Candidate
    runner: NetworkRunner
    bank: Bank
    statistics: Bank

    def logits(self, images: Tensor) -> Tensor:
        """Logits (n, K, h, w) of images (n, C, h, w), float32 on the CPU."""
        return logits_under(self.runner, images, self.bank)


@dataclass(frozen=True, eq=False)
class CandidateResult(CandidateNetwork):
    """Tiles of a target under a candidate: the network's outputs with the bank, besides the network itself."""

    seen: Observation


@dataclass(frozen=True, eq=False)
class CandidateResults:
    """Results of all candidates on some tiles, by name.

    `proportions` are estimated class proportions, by change of the images; `level` see `Candidate.change`.
    """

    by_name: Mapping[str, CandidateResult]
    proportions: Mapping[InputChange, ProportionEstimate]
    level: float

    def __getitem__(self, name: str) -> CandidateResult:
        return self.by_name[name]

    @property
    def tiles(self) -> Tensor:
        """(n, C, h, w), unchanged."""
        return self.by_name[NONE].seen.images

    def proportions_for(self, candidate: Candidate) -> ProportionEstimate:
        """Estimate for the candidate's images, or for the unchanged ones if there is none."""
        return self.proportions.get(candidate.change(self.level)) or self.proportions[InputChange()]


class CandidateRunner:
    """Builds the network under one candidate after another; shared work is done once.

    Args:
        runner: network with the source's statistics, left unchanged.
        tiles: batches (n, C, h, w) of the target, to estimate statistics on.
        scanned: (m, C, h, w) of the target. Class proportions are estimated on the first of them; for changed images on
            every other one, which halves the work.
        moments: class moments of the source, for corrected candidates.
        level: see `Candidate.change`, for inverted candidates.
        recipe: how statistics are estimated; those for other class proportions are estimated on all tiles.
        proportions: class proportions that are estimated already, by change of the images.
    """

    def __init__(
        self,
        runner: NetworkRunner,
        tiles: Sequence[Tensor],
        scanned: Tensor,
        moments: ClassMoments | None,
        level: float | None,
        recipe: Recipe,
        proportions: Mapping[InputChange, ProportionEstimate] | None = None,
    ) -> None:
        self.runner = runner
        self.batches = [{"image": part} for part in tiles]
        self.scanned = scanned
        self.moments = moments
        self.level = level
        self.recipe = recipe
        self.estimated = dict(proportions or {})
        self._estimates: dict[InputChange, Estimate] = {}

    def network_for(self, candidate: Candidate) -> CandidateNetwork:
        """The network under a candidate.

        Raises:
            BatchNormError: statistics or class proportions cannot be estimated.
        """
        change = candidate.change(self.level)
        behind, own = self._behind(change), self.estimate(change).bank
        if candidate.is_corrected:
            correction = ProportionCorrection(self.moments, self.proportions_for(candidate).chosen.proportions)
            bank = behind.estimate(self.batches, replace(self.recipe, until=None), correction).bank
        elif candidate.policy == FULL_REPLACEMENT:
            bank = own
        elif candidate.policy.source_weight == 1:
            bank = self.runner.source_bank
        else:
            bank = behind.estimate(self.batches, replace(self.recipe, until=None, policy=candidate.policy)).bank
        return CandidateNetwork(candidate, behind, bank, own)

    def estimate(self, change: InputChange) -> Estimate:
        """Statistics of changed images."""
        if change not in self._estimates:
            self._estimates[change] = self._behind(change).estimate(self.batches, self.recipe)
        return self._estimates[change]

    def proportions_for(self, candidate: Candidate) -> ProportionEstimate:
        """Estimated class proportions of a candidate's images."""
        change = candidate.change(self.level)
        if change not in self.estimated:
            tiles = self.scanned[:: 2 if change else 1][:SCANNED_TILES]
            recipe = Recipe(FULL_REPLACEMENT, class_proportions="estimated")
            _, self.estimated[change] = self._behind(change).correction([{"image": tiles}], recipe, self.moments)
        return self.estimated[change]

    def _behind(self, change: InputChange) -> NetworkRunner:
        return self.runner.with_forward(change.around(self.runner.forward))


def run_candidates(
    runner: NetworkRunner,
    tiles: Tensor,
    source: SourceSummary,
    candidates: Mapping[str, Candidate] = RECOMMENDABLE,
    progress: Callable[[Iterable], Iterable] = iter,
) -> CandidateResults:
    """Run the network on tiles under every candidate; it is left unchanged.

    Corrected candidates are left out if the estimate of class proportions is unreliable.

    Args:
        runner: network with the source's statistics.
        tiles: (n, C, h, w) of the target; for class proportions see `CandidateRunner`.
        source: summary of the source.
        candidates: by name; one must keep the images unchanged.
        progress: wraps the names of the candidates to show progress.
    """
    level = source.intensities.mean + float(tiles.double().mean())
    networks = CandidateRunner(runner, tiles.split(BATCH), tiles, source.moments, level, Recipe(FULL_REPLACEMENT))
    by_name = {}
    for name in progress(list(candidates)):
        candidate = candidates[name]
        if candidate.is_corrected and networks.proportions_for(candidate).reason is not None:
            continue
        network = networks.network_for(candidate)
        by_name[name] = CandidateResult(**vars(network), seen=observe(network.runner, tiles, network.bank))
    return CandidateResults(by_name, networks.estimated, level)
