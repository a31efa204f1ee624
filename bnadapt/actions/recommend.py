"""What to do with a target, by a task's network: which candidate to take, and whether that helps."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from bnadapt.actions.adapt import Progress
from bnadapt.actions.labelled import labelled_by_hand
from bnadapt.actions.summarise import class_moments_of, source_summary_of
from bnadapt.adaptation import Recipe
from bnadapt.data import DomainPair
from bnadapt.data.input_change import InputChange
from bnadapt.errors import InputError
from bnadapt.gain import CANDIDATES, CandidateResults, SourceSummary, Verdict, judge
from bnadapt.gain.annotation import FEWEST, measured
from bnadapt.gain.judging import verdict_on
from bnadapt.gain.source_summary import images_and_masks
from bnadapt.labels import LabelledTiles
from bnadapt.tasks import AdaptableTask


@dataclass(frozen=True)
class Judgement:
    """A verdict on a target, and what it rests on.

    Attributes:
        verdict: the choice among candidates.
        results: of all candidates.
        summary: of the source.
    """

    verdict: Verdict
    results: CandidateResults
    summary: SourceSummary

    def choosing(self, name: str) -> "Judgement":
        """This judgement with a candidate that its user has chosen, one of `RECOMMENDABLE`."""
        verdict = verdict_on(self.summary, self.results, self.verdict.prediction, choice=name)
        return replace(self, verdict=verdict)

    def recipe(self, recipe: Recipe) -> Recipe:
        """Recipe of the choice: its policy, and all else of the given recipe."""
        return replace(recipe, policy=CANDIDATES[self.verdict.choice].policy, class_proportions="source")

    @property
    def change(self) -> InputChange:
        """Change of the target's images that belongs to the choice."""
        return CANDIDATES[self.verdict.choice].change(self.results.level)


def check_recommendation(tiles: int, annotated: int, proposed: str | None) -> None:
    """Refuse numbers of tiles that are too small, and labels from two places.

    Raises:
        InputError: they are refused.
    """
    if tiles < 1 or annotated < 0:
        raise InputError(f"recommend: tiles is {tiles}, annotated {annotated}; give at least 1 and 0.")
    if annotated and proposed:
        raise InputError("recommend: there are --annotated and --proposed; leave out one of them.")


def judge_target(
    task: AdaptableTask,
    data: DomainPair,
    tiles: int,
    annotated: int = 0,
    proposed: Path | None = None,
    progress: Progress = iter,
) -> Judgement:
    """Judge the target of a data module.

    Args:
        task: the trained network.
        data: whose target is looked at, changed as asked for, but not as an earlier adaptation has left it.
        tiles: to look at.
        annotated: labelled tiles of the target's train block to score candidates on, instead of predicting; at most.
        proposed: folder of `propose` with tiles that were drawn on, instead of those of the train block.
        progress: wraps the candidates, to show how far it is.

    Raises:
        InputError: there is no target, or nothing is known of the source.
        BatchNormError: statistics cannot be estimated.
    """
    if task.hparams.num_classes != 2:
        raise InputError(
            f"recommend: the network has {task.hparams.num_classes} classes; its predictions rest on networks of two."
        )
    summary = task.source_summary or _measured_summary(task, data)
    change = data.requested_change or InputChange()
    images = torch.stack([item["image"] for item in data.unlabelled_tiles("target", tiles, change=change)])
    verdict, results = judge(task.runner().without_group(), images, summary, progress=progress)
    if proposed:
        data.target_change = change  # not that of another target
        labelled = labelled_by_hand(data, proposed, task.hparams.num_classes)
    elif annotated:
        labelled = LabelledTiles(*images_and_masks(data.labelled_tiles("target", "train", annotated, change=change)))
    else:
        return Judgement(verdict, results, summary)
    if len(labelled) < FEWEST:
        raise InputError(f"recommend: needs {FEWEST} labelled tiles of the target at least; give more.")
    scores = measured(results, labelled.images, labelled.masks)
    return Judgement(verdict_on(summary, results, verdict.prediction, scores, len(labelled)), results, summary)


def _measured_summary(task: AdaptableTask, data: DomainPair) -> SourceSummary:
    if data.source is None:
        raise InputError(
            "recommend: the checkpoint holds no summary of its source; give --data.source with masks, or add it by"
            " bnadapt source_summary."
        )
    return source_summary_of(task, data, task.class_moments or class_moments_of(task, data))
