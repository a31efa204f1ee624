"""What to do with a target, by a task's network: which candidate to take, and whether that helps."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from bnadapt.actions.adapt import Progress
from bnadapt.actions.labelled import labelled_by_hand, labelled_of_train_block
from bnadapt.actions.summarise import class_moments_of, source_summary_of
from bnadapt.adaptation import Recipe
from bnadapt.data import DomainPair
from bnadapt.data.input_change import InputChange
from bnadapt.errors import InputError
from bnadapt.gain import CANDIDATES, CandidateResults, SourceSummary, Verdict, judge
from bnadapt.gain.annotation import check_annotation, measured
from bnadapt.gain.judging import verdict_on
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
    data.target_change = data.requested_change or InputChange()  # not that of another target
    labelled = _labelled(task, data, annotated, proposed)
    summary = task.source_summary or _measured_summary(task, data)
    images = torch.stack([item["image"] for item in data.unlabelled_tiles("target", tiles)])
    verdict, results = judge(task.runner().without_group(), images, summary, progress=progress)
    if labelled:
        scores = measured(results, labelled.images, labelled.masks)
        verdict = verdict_on(summary, results, verdict.prediction, scores, len(labelled))
    return Judgement(verdict, results, summary)


def _labelled(task: AdaptableTask, data: DomainPair, annotated: int, proposed: Path | None) -> LabelledTiles | None:
    """The tiles to score candidates on, if any are asked for."""
    if not (annotated or proposed):
        return None
    if proposed:
        labelled = labelled_by_hand(data, proposed, task.hparams.num_classes)
    else:
        labelled = labelled_of_train_block(data, annotated)
    check_annotation(labelled.masks)
    return labelled


def _measured_summary(task: AdaptableTask, data: DomainPair) -> SourceSummary:
    if data.source is None:
        raise InputError(
            "recommend: the checkpoint holds no summary of its source; give --data.source with masks, or add it by"
            " bnadapt source_summary."
        )
    return source_summary_of(task, data, task.class_moments or class_moments_of(task, data))
