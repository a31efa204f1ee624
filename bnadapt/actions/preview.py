"""Preview a target with a task's network: some regions of it under every candidate."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

import torch
from torch.utils.data import DataLoader

from bnadapt.actions.adapt import Progress
from bnadapt.actions.checks import require_domains, require_tiles_in_memory
from bnadapt.adaptation import SCANNED_TILES, Recipe
from bnadapt.batchnorm import Bank, Policy
from bnadapt.data import DomainPair, InputChange
from bnadapt.data.drawn_tiles import Place
from bnadapt.errors import InputError
from bnadapt.gain import CANDIDATES, PREVIEWED, RECOMMENDABLE, Candidate, CandidateNetwork, CandidateRunner
from bnadapt.gain.observation import logits_under
from bnadapt.reports.preview import Preview
from bnadapt.tasks import AdaptableTask

CLASS_MOMENTS, MEAN = "class moments of the source", "the mean intensity of the source"


@dataclass(frozen=True, eq=False)
class CandidateNetworks:
    """A task's network as the candidates run it on a target, for any regions of it.

    Attributes:
        target: name of the domain.
        by_name: networks by the candidate's name.
        source: the network's own statistics.
        left_out: what is not known that a candidate needs, by its name.
        tiles: of the target that statistics rest on.
        options: of `bnadapt adapt` that take a candidate, by its name.
        can_be_judged: whether `recommend` needs no more than the checkpoint.
    """

    target: str
    by_name: Mapping[str, CandidateNetwork]
    source: Bank
    left_out: Mapping[str, str]
    tiles: int
    options: Mapping[str, Sequence[str]]
    can_be_judged: bool

    def preview(self, images: torch.Tensor, places: Sequence[Place], progress: Progress = iter) -> Preview:
        """What the candidates make of regions.

        Args:
            images: (n, C, h, w) of the regions, as they are.
            places: where they lie.
            progress: wraps the candidates' names, to show how far it is.
        """
        probabilities = {name: self.by_name[name].logits(images).softmax(1) for name in progress(list(self.by_name))}
        return Preview(
            self.target, images, places, probabilities, self.left_out, self.tiles, self.options, self.can_be_judged
        )

    def weighted(self, source_weight: float, images: torch.Tensor) -> torch.Tensor:
        """Probabilities (n, K, h, w) with a share of the source's statistics in all layers, in one forward pass.

        Statistics are those of the candidates at their shares, and on straight lines between them; `adapt
        --policy.source_weight` estimates them anew.

        Args:
            source_weight: 0 for the target's statistics alone, 1 for the source's.
            images: (n, C, h, w) of regions.

        Raises:
            InputError: no candidate adapts all layers to the images as they are.
        """
        known = {
            each.candidate.policy.source_weight: each for each in self.by_name.values() if _is_plain(each.candidate)
        }
        if not known:
            raise InputError("No candidate adapts all layers to the images as they are; look at such a one, too.")
        runner = next(iter(known.values())).runner
        banks = {1.0: self.source} | {weight: each.bank for weight, each in known.items()}
        below = max((weight for weight in banks if weight <= source_weight), default=min(banks))
        above = min(weight for weight in banks if weight >= source_weight)
        share = (source_weight - below) / (above - below) if above > below else 0.0
        return logits_under(runner, images, banks[below].between(banks[above], share)).softmax(1)


def _is_plain(candidate: Candidate) -> bool:
    """Whether a candidate mixes the statistics of all layers, and nothing else."""
    return (
        replace(candidate, title="", label="", policy=Policy()) == Candidate("", "")
        and candidate.policy.layers == Policy().layers
    )


def check_preview(data: DomainPair, regions: int, candidates: Sequence[str] | None) -> None:
    """Refuse what cannot be previewed, before any work.

    Raises:
        InputError: the target is missing, or no region or candidate is asked for, or an unknown candidate.
    """
    require_domains(data, "preview", "target")
    if regions < 1:
        raise InputError(f"preview: regions is {regions}; set --regions to at least 1.")
    if data.requested_change is not None:
        raise InputError("preview: every candidate decides on --data.target_change; leave it out.")
    require_tiles_in_memory(data, "preview")
    if candidates is not None and not candidates:
        raise InputError(f"preview: --candidates is empty; give some of {', '.join(CANDIDATES)}, or leave it out.")
    for name in candidates or ():
        if name not in CANDIDATES:
            near = get_close_matches(name, CANDIDATES, 1)
            remedy = f"did you mean {near[0]}" if near else f"take some of {', '.join(CANDIDATES)}"
            raise InputError(f"preview: the candidate {name!r} is unknown; {remedy}.")


def preview_target(
    task: AdaptableTask,
    data: DomainPair,
    recipe: Recipe,
    regions: int = 6,
    candidates: Sequence[str] | None = None,
    seed: int = 0,
    progress: Progress = iter,
) -> Preview:
    """Look at some regions of the target of a data module under candidates.

    Statistics are estimated on as many tiles as `adapt` reads, and class proportions on as many as there.

    Args:
        task: the trained network.
        data: whose target is looked at, without masks.
        recipe: how statistics are estimated, class proportions apart.
        regions: tiles to look at, at most.
        candidates: their names; by default those of `PREVIEWED` for which enough is known of the source.
        seed: of the draw of the regions.
        progress: wraps the candidates, to show how far it is.

    Raises:
        InputError: images of the target cannot be used, or a named candidate needs what is not known.
        BatchNormError: statistics cannot be estimated.
    """
    drawn = data.unlabelled_tiles("target", regions, seed=seed, change=InputChange())
    shown, places = zip(*drawn.with_places(), strict=True)
    images = torch.stack([tile["image"] for tile in shown])
    return candidate_networks(task, data, recipe, candidates, progress).preview(images, places)


def candidate_networks(
    task: AdaptableTask,
    data: DomainPair,
    recipe: Recipe,
    candidates: Sequence[str] | None = None,
    progress: Progress = iter,
) -> CandidateNetworks:
    """Estimate the statistics of a target under candidates; see `preview_target`."""
    left_out = _left_out(task, candidates)
    unchanged = InputChange()  # not that of an earlier adaptation
    read = data.unlabelled_tiles("target", data.adaptation_tiles, change=unchanged)
    tiles = [batch["image"] for batch in DataLoader(read, batch_size=data.batch_size)]
    scanned = torch.cat(tiles[:SCANNED_TILES])[:SCANNED_TILES]
    summary = task.source_summary
    level = None if summary is None else summary.intensities.mean + float(scanned.double().mean())
    runner = CandidateRunner(task.runner(), tiles, scanned, task.class_moments, level, recipe)
    names = [name for name in candidates or PREVIEWED if name not in left_out]
    by_name = {name: runner.network_for(CANDIDATES[name]) for name in progress(names)}
    can_be_judged = summary is not None and task.hparams.num_classes == 2
    options = {
        name: ["--choose", name] if can_be_judged and name in RECOMMENDABLE else _options(CANDIDATES[name], runner)
        for name in by_name
    }
    source, read_tiles = runner.runner.source_bank, sum(map(len, tiles))
    return CandidateNetworks(data.target.name, by_name, source, left_out, read_tiles, options, can_be_judged)


def _left_out(task: AdaptableTask, candidates: Sequence[str] | None) -> dict[str, str]:
    """Candidates that cannot be run, with what is not known of the source; a candidate that was named is refused."""
    unknown = {name: _not_known(CANDIDATES[name], task) for name in candidates or PREVIEWED}
    left_out = {name: what for name, what in unknown.items() if what}
    if candidates and left_out:
        name, what = next(iter(left_out.items()))
        raise InputError(
            f"preview: {name} needs {what}, which the checkpoint does not hold; add it by bnadapt source_summary, or"
            " leave the candidate out."
        )
    return left_out


def _not_known(candidate: Candidate, task: AdaptableTask) -> str | None:
    """Name of what a candidate needs and is not known; class proportions need outputs of the network by class."""
    moments = task.class_moments
    if candidate.is_corrected and (moments is None or moments.outputs is None):
        return CLASS_MOMENTS
    return MEAN if candidate.is_inverted and task.source_summary is None else None


def _options(candidate: Candidate, networks: CandidateRunner) -> list[str]:
    """Options of `bnadapt adapt` that do what the candidate does, where it cannot be named."""
    change = candidate.change(networks.level)
    proportions = "source"
    if candidate.is_corrected:
        proportions = json.dumps(list(networks.proportions_for(candidate).chosen.proportions))
    given: Mapping[str, object] = {
        "class_proportions": proportions,
        "data.target_change.inverted_about": change.inverted_about,
        "data.target_change.zoom": change.zoom if change.zoom != 1 else None,
    }
    return [*candidate.policy_options, *(f"--{name}={value}" for name, value in given.items() if value is not None)]
