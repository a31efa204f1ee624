"""Preview a target with a task's network: some regions of it under every candidate."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches

import torch
from torch.utils.data import DataLoader

from bnadapt.adaptation import SCANNED_TILES, Recipe
from bnadapt.data import DomainPair, InputChange
from bnadapt.errors import InputError
from bnadapt.gain import CANDIDATES, RECOMMENDABLE, Candidate, CandidateRunner
from bnadapt.reports.preview import Preview
from bnadapt.tasks import AdaptableTask

CLASS_MOMENTS, MEAN = "class moments of the source", "the mean intensity of the source"


def check_preview(data: DomainPair, regions: int, candidates: Sequence[str] | None) -> None:
    """Refuse what cannot be previewed, before any work.

    Raises:
        InputError: there is no target, no region, no candidate, or a candidate that is unknown.
    """
    if data.target is None:
        raise InputError("preview: there is no target; give --data.target.")
    if regions < 1:
        raise InputError(f"preview: regions is {regions}; set --regions to at least 1.")
    if data.requested_change is not None:
        raise InputError("preview: every candidate decides on --data.target_change; leave it out.")
    if data.adaptation_tiles is None:
        raise InputError(
            "preview: the tiles that adaptation reads are held in memory, and all of the target may be too much; set"
            " --data.adaptation_tiles to a number, such as 64."
        )
    if candidates is not None and not candidates:
        raise InputError(f"preview: --candidates names none; give some of {', '.join(CANDIDATES)}, or leave it out.")
    for name in candidates or ():
        if name not in CANDIDATES:
            near = get_close_matches(name, CANDIDATES, 1)
            remedy = f"did you mean {near[0]}" if near else f"take some of {', '.join(CANDIDATES)}"
            raise InputError(f"preview: there is no candidate {name!r}; {remedy}.")


def preview_target(
    task: AdaptableTask,
    data: DomainPair,
    recipe: Recipe,
    regions: int = 6,
    candidates: Sequence[str] | None = None,
    seed: int = 0,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Preview:
    """Look at some regions of the target of a data module under candidates.

    Statistics are estimated on as many tiles as `adapt` reads, and class proportions on as many as there.

    Args:
        task: the trained network.
        data: whose target is looked at, without masks.
        recipe: how statistics are estimated, class proportions apart.
        regions: tiles to look at, at most.
        candidates: their names; by default all that need nothing but what is known of the source.
        seed: of the draw of the regions.
        progress: wraps the candidates, to show how far it is.

    Raises:
        InputError: images of the target cannot be used, or a named candidate needs what is not known.
        BatchNormError: statistics cannot be estimated.
    """
    left_out = _left_out(task, candidates)
    unchanged = InputChange()  # not that of an earlier adaptation
    drawn = data.unlabelled_tiles("target", regions, seed=seed, change=unchanged)
    shown, places = zip(*drawn.with_places(), strict=True)
    images = torch.stack([tile["image"] for tile in shown])
    read = data.unlabelled_tiles("target", data.adaptation_tiles, change=unchanged)
    tiles = [batch["image"] for batch in DataLoader(read, batch_size=data.batch_size)]
    networks = _candidate_runner(task, tiles, recipe)
    probabilities = {
        name: networks.network_for(CANDIDATES[name]).logits(images).softmax(1)
        for name in progress([name for name in candidates or CANDIDATES if name not in left_out])
    }
    can_be_judged = task.source_summary is not None and task.hparams.num_classes == 2
    options = {
        name: ["--choose", name] if can_be_judged and name in RECOMMENDABLE else _options(CANDIDATES[name], networks)
        for name in probabilities
    }
    read_tiles = sum(map(len, tiles))
    return Preview(data.target.name, images, places, probabilities, left_out, read_tiles, options, can_be_judged)


def _candidate_runner(task: AdaptableTask, tiles: Sequence[torch.Tensor], recipe: Recipe) -> CandidateRunner:
    scanned = torch.cat(tiles[:SCANNED_TILES])[:SCANNED_TILES]
    summary = task.source_summary
    level = None if summary is None else summary.intensities.mean + float(scanned.double().mean())
    return CandidateRunner(task.runner(), tiles, scanned, task.class_moments, level, recipe)


def _left_out(task: AdaptableTask, candidates: Sequence[str] | None) -> dict[str, str]:
    """Candidates that cannot be run, with what is not known of the source; a candidate that was named is refused."""
    unknown = {name: _not_known(CANDIDATES[name], task) for name in candidates or CANDIDATES}
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
    change, policy = candidate.change(networks.level), candidate.policy
    proportions = "source"
    if candidate.is_corrected:
        proportions = json.dumps(list(networks.proportions_for(candidate).chosen.proportions))
    given: Mapping[str, object] = {
        "class_proportions": proportions,
        "policy.source_weight": policy.source_weight,
        "policy.layers": policy.layers if policy.is_of_group else None,
        "data.target_change.inverted_about": change.inverted_about,
        "data.target_change.zoom": change.zoom if change.zoom != 1 else None,
    }
    return [f"--{name}={value}" for name, value in given.items() if value is not None]
