"""Learn from a few labelled tiles of a target, with BatchNorm statistics of the whole target."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from bnadapt.batchnorm import Bank
from bnadapt.labels.cross_validation import FEWEST_TO_STOP, held_out_scores, most_steps
from bnadapt.labels.learner import FineTuning, Learner
from bnadapt.labels.parameters import LearnName, require_weights
from bnadapt.labels.pseudo_labels import BATCH
from bnadapt.labels.training_tiles import LabelledTiles, stacked_tiles


@dataclass(frozen=True, eq=False)
class FineTuned:
    """Weights and statistics that were learnt; the network itself changes on `apply`.

    Attributes:
        state: weights, and statistics of the target's tiles under them.
        learn: what was learnt.
        steps: optimizer steps.
        scores: cross-validated foreground IoU by steps; empty if there were too few tiles.
    """

    state: Mapping[str, Tensor]
    learn: LearnName
    steps: int
    scores: Mapping[int, float]

    @property
    def before(self) -> float | None:
        """Foreground IoU on the labelled tiles before learning; None if it was not scored."""
        return self.scores.get(0)

    @property
    def after(self) -> float | None:
        """Foreground IoU on held-out tiles; None if it was not scored."""
        return self.scores.get(self.steps)

    def apply(self, network: nn.Module) -> None:
        """Load what was learnt into the network."""
        network.load_state_dict(self.state)


def finetune(
    network: nn.Module,
    images: Any,
    labelled: LabelledTiles,
    settings: FineTuning | None = None,
    source: Bank | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> FineTuned:
    """Learn from labelled tiles of a target, with BatchNorm statistics of all its tiles.

    Every step normalises labelled crops by the statistics of unlabelled ones, and gradients include how these change
    with the weights; at the end they are estimated on all unlabelled tiles. The loss also counts the unlabelled crops,
    labelled by the network as it was at the start wherever it was confident: without these pseudo-labels a single
    labelled tile makes it forget how to segment the others.

    Args:
        network: maps images (n, C, h, w) to logits (n, K, h, w). Learning starts from its weights and statistics; it is
            left unchanged.
        images: images of the target, such as a tensor (n, C, h, w); for others see `bnadapt.batchnorm.estimate`.
        labelled: tiles to learn from.
        settings: how to learn; `FineTuning()` by default.
        source: the source's statistics, for `mixing`; by default those of the network.
        progress: wraps the steps, those of cross-validation included, to show progress.

    Raises:
        InputError: there is nothing to learn from or to change, images are too small or differ in size or channels, or
            masks have other classes than the network.
        BatchNormError: statistics cannot be estimated, or the network has no BatchNorm layers for `mixing` or `affine`.

    Examples:
        >>> network = nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 1))
        >>> images = torch.randn(6, 1, 32, 32)
        >>> labelled = LabelledTiles(images[:2], (images[:2, 0] > 0).long())
        >>> tuned = finetune(network, images, labelled, FineTuning("all", steps=5))
        >>> tuned.apply(network)
        >>> tuned.steps, tuned.after
        (5, None)
    """
    settings = settings or FineTuning()
    labelled.check()
    require_weights(network)
    tiles = stacked_tiles(images, BATCH)
    labelled.check_beside(tiles)
    learner = Learner(network, tiles, source, settings)
    learner.check(labelled)
    folds = min(settings.folds, len(labelled)) if len(labelled) >= FEWEST_TO_STOP else 0
    advance = partial(next, iter(progress(range((folds + 1) * settings.steps))), None)
    scores = held_out_scores(learner, labelled, folds, advance) if folds else {}
    steps = most_steps(scores) if scores else settings.steps
    for _ in learner.training(labelled, steps):
        advance()
    learner.update_statistics()
    ious = {step: each.iou for step, each in scores.items()}
    return FineTuned(learner.network.state_dict(), settings.learn, steps, ious)
