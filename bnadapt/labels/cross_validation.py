"""The number of steps to learn for, chosen by scores on tiles held out."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from bnadapt.labels.learner import Learner
from bnadapt.labels.training_tiles import LabelledTiles

CHECKED_EVERY = 20  # steps between two scores of held-out tiles
FEWEST_TO_STOP = 3  # labelled tiles from which on held-out ones choose the number of steps


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Scores on parts of the labelled tiles, each by a network that has learnt from the others.

    Attributes:
        overlaps: (parts, 2, K - 1) pixels of intersection and union of every foreground class.
    """

    overlaps: Tensor

    @property
    def iou(self) -> float:
        """Foreground IoU over all parts, mean over classes; 0 for a class that occurs nowhere."""
        return float(_iou(self.overlaps.sum(0)))

    def is_clearly_worse(self, other: "HeldOut") -> bool:
        """Whether the IoU is below another by more than a standard error, by the jackknife over parts."""
        parts = len(self.overlaps)
        if parts < 2:
            return self.iou < other.iou
        apart = torch.stack([_iou(other._without(part)) - _iou(self._without(part)) for part in range(parts)])
        error = ((parts - 1) * (apart - apart.mean()).square().mean()).sqrt()
        return other.iou - self.iou > float(error)

    def _without(self, part: int) -> Tensor:
        return self.overlaps.sum(0) - self.overlaps[part]


def held_out_scores(
    learner: Learner, labelled: LabelledTiles, count: int, advance: Callable[[], object]
) -> dict[int, HeldOut]:
    """Held-out scores by steps; empty if the remaining tiles never show every class."""
    overlaps: dict[int, list[Tensor]] = {}
    for fold in range(count):
        held_out = labelled.subset(range(fold, len(labelled), count))
        rest = labelled.subset([index for index in range(len(labelled)) if index % count != fold])
        if rest.classes != labelled.classes:
            continue
        fold_learner = copy.deepcopy(learner)
        for step in chain([0], fold_learner.training(rest, learner.settings.steps)):
            advance()
            if step % CHECKED_EVERY == 0 or step == learner.settings.steps:
                fold_learner.update_statistics()
                overlaps.setdefault(step, []).append(fold_learner.overlaps(held_out))
    return {step: HeldOut(torch.stack(each)) for step, each in overlaps.items()}


def most_steps(scores: Mapping[int, HeldOut]) -> int:
    """The most steps that do not score clearly below the best; never 0, because few tiles can be too easy."""
    learnt = {step: each for step, each in scores.items() if step}
    best = max(learnt.values(), key=lambda each: each.iou)
    return max(step for step, each in learnt.items() if not each.is_clearly_worse(best))


def _iou(overlaps: Tensor) -> Tensor:
    both, either = overlaps.double()
    return (both / either.clamp(min=1)).mean()
