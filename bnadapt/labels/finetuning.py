"""Learn from a few labelled tiles of a target, with BatchNorm statistics of the whole target."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from bnadapt.batchnorm import Bank, NoBatchNormError, batchnorm_layers
from bnadapt.batchnorm.batches import batches_of
from bnadapt.data.augmentation import AugmentationName
from bnadapt.data.datasets import RandomCrops
from bnadapt.data.masks import IGNORED
from bnadapt.data.prepare import PreparedSection
from bnadapt.errors import InputError
from bnadapt.labels.learning import LearnName, learnt_of, logits_of, pseudo_labels, random_crops
from bnadapt.labels.statistics import RelativeStatistics
from bnadapt.tasks.losses import DiceCrossEntropy

BATCH = 4  # labelled crops in a step, and unlabelled ones for the statistics
CHECKED_EVERY = 20  # steps between two scores of held-out tiles
FEWEST_TO_STOP = 3  # labelled tiles from which on held-out ones choose the number of steps
WARMING_UP = 0.1  # share of the steps


@dataclass(frozen=True)
class LabelledTiles:
    """Tiles of a target with masks.

    Attributes:
        images: (n, C, h, w) float32, as the network takes them.
        masks: (n, h, w) int64 class indices, 255 for unlabelled pixels.
    """

    images: Tensor
    masks: Tensor

    def __len__(self) -> int:
        return len(self.images)

    @property
    def classes(self) -> list[int]:
        """Classes that occur."""
        return self.masks[self.masks != IGNORED].unique().tolist()

    def sections(self) -> list[PreparedSection]:
        """The tiles as sections to crop."""
        return [
            PreparedSection(f"labelled tile {number}", image.numpy(), mask, mask.shape, np.dtype(np.float32))
            for number, (image, mask) in enumerate(zip(self.images, self.masks.numpy().astype(np.uint8), strict=True))
        ]

    def subset(self, indices: Sequence[int]) -> "LabelledTiles":
        """Some of the tiles."""
        chosen = list(indices)
        return LabelledTiles(self.images[chosen], self.masks[chosen])


@dataclass(frozen=True)
class FineTuning:
    """How a network learns from labelled tiles.

    Args:
        learn: `mixing` (one coefficient of source and target statistics for means and one for standard deviations of
            each layer), `affine` (scales and shifts of BatchNorm layers), `head` (the last layer), or `all` weights.
        steps: greatest number of optimizer steps.
        rate: largest learning rate; by default that of what is learnt.
        folds: folds of cross-validation, which may choose fewer steps if there are three tiles or more; 0 takes all
            steps.
        augmentation: augmentation of the labelled crops, see `bnadapt.data.augmentation`.
        seed: seed of the crops.
        pseudo_label_weight: weight of the loss on unlabelled crops, where labels are what the network predicted with
            confidence at the start; 0 for a network that has learnt nothing yet.
    """

    learn: LearnName = "all"
    steps: int = 100
    rate: float | None = None
    folds: int = 5
    augmentation: AugmentationName = "moderate"
    seed: int = 0
    pseudo_label_weight: float = 1.0


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


@dataclass(frozen=True, eq=False)
class FineTuned:
    """What a network has learnt; the network itself changes on `apply`.

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
    settings: FineTuning = FineTuning(),
    source: Bank | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> FineTuned:
    """Learn from labelled tiles of a target, with BatchNorm statistics of all its tiles.

    Every step normalises labelled crops by the statistics of unlabelled ones, and gradients include how these change
    with the weights; at the end they are estimated on all unlabelled tiles. The loss also counts the unlabelled crops,
    labelled by the network as it was at the start wherever it was confident: without these pseudo-labels a single
    labelled tile makes it forget what it knew of the others.

    Args:
        network: maps images (n, C, h, w) to logits (n, K, h, w). Learning starts from its weights and statistics; it is
            left unchanged.
        images: images of the target, such as a tensor (n, C, h, w); for others see `bnadapt.batchnorm.estimate`.
        labelled: tiles to learn from.
        settings: how to learn.
        source: the source's statistics, for `mixing`; by default those of the network.
        progress: wraps the steps, those of cross-validation included, to show progress.

    Raises:
        InputError: there is nothing to learn from, masks differ in size from images, or have other classes than the
            network.
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
    _check(labelled)
    tiles = torch.cat(list(batches_of(images, None, BATCH)))
    run = _Run(network, tiles, source, settings)
    run.check_classes(labelled)
    folds = min(settings.folds, len(labelled)) if len(labelled) >= FEWEST_TO_STOP else 0
    advance = partial(next, iter(progress(range((folds + 1) * settings.steps))), None)
    scores = _cross_validated(run, labelled, settings, folds, advance) if folds else {}
    steps = _chosen(scores) if scores else settings.steps
    for _ in run.training(labelled, steps):
        advance()
    run.settle()
    return FineTuned(run.network.state_dict(), settings.learn, steps, {step: each.iou for step, each in scores.items()})


def _chosen(scores: Mapping[int, HeldOut]) -> int:
    """The most steps whose score is not clearly below the best; never 0, because few tiles can be too easy."""
    taken = {step: each for step, each in scores.items() if step}
    best = max(taken.values(), key=lambda each: each.iou)
    return max(step for step, each in taken.items() if not each.is_clearly_worse(best))


def _iou(overlaps: Tensor) -> Tensor:
    both, either = overlaps.double()
    return (both / either.clamp(min=1)).mean()


class _Run:
    """A copy of a network that learns."""

    def __init__(self, network: nn.Module, tiles: Tensor, source: Bank | None, settings: FineTuning) -> None:
        self.network = copy.deepcopy(network).eval()
        self.tiles = tiles
        self.settings = settings
        self.device = next(self.network.parameters()).device
        self.statistics = None if settings.learn == "head" else self._statistics(source)  # which stay where features do
        masks = torch.cat([pseudo_labels(self.network, batch).cpu() for batch in tiles.split(BATCH)])
        self.pseudo_labelled = LabelledTiles(tiles, masks)  # by the network of the start, also in cross-validation
        self.learnt = learnt_of(settings.learn, self.network, self.statistics, self.forward, tiles[:1])

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, K, h, w)."""
        return logits_of(self.network, images)

    @torch.no_grad()
    def check_classes(self, labelled: LabelledTiles) -> None:
        """Refuse classes that the network does not have."""
        count = self.forward(labelled.images[:1]).shape[1]
        if surplus := set(labelled.classes) - set(range(count)):
            raise InputError(
                f"The labelled tiles have pixels of class {max(surplus)}, and the network has {count} classes;"
                f" give masks of 0 to {count - 1}, and 255 where nothing is labelled."
            )

    @torch.enable_grad()
    def training(self, labelled: LabelledTiles, steps: int) -> Iterator[int]:
        """Learn, yielding the number of steps taken."""
        self.network.requires_grad_(False)
        for parameter in self.learnt.parameters:
            parameter.requires_grad_(True)
        rate = self.settings.rate or self.learnt.rate
        optimizer = torch.optim.AdamW(self.learnt.parameters, lr=rate, weight_decay=0)
        schedule = OneCycleLR(optimizer, rate, total_steps=self.settings.steps + 1, pct_start=WARMING_UP)
        loss = DiceCrossEntropy()
        for step, batches in enumerate(self._batches(labelled, steps), start=1):
            optimizer.zero_grad()
            logits = self._logits(*(each.images for each in batches))
            of_pseudo, of_labels = (
                loss(own, each.masks.to(self.device)) for own, each in zip(logits, batches, strict=True)
            )
            (self.settings.pseudo_label_weight * of_pseudo + of_labels).backward()
            optimizer.step()
            schedule.step()
            torch.clear_autocast_cache()  # of weights as they were
            yield step

    def settle(self) -> None:
        """Set the statistics of all tiles under the current weights."""
        if self.statistics:
            self.statistics.estimated().apply(self.network)

    @torch.no_grad()
    def overlaps(self, tiles: LabelledTiles) -> Tensor:
        """Pixels (2, K - 1) of intersection and union of every foreground class."""
        logits = torch.cat([self.forward(batch).float().cpu() for batch in tiles.images.split(BATCH)])
        known, predicted = tiles.masks != IGNORED, logits.argmax(1)
        both = [((predicted == label) & (tiles.masks == label)).sum() for label in range(1, logits.shape[1])]
        either = [
            (((predicted == label) | (tiles.masks == label)) & known).sum() for label in range(1, logits.shape[1])
        ]
        return torch.stack([torch.stack(both), torch.stack(either)])

    def _statistics(self, source: Bank | None) -> RelativeStatistics | None:
        try:
            batchnorm_layers(self.network)
        except NoBatchNormError:
            return None
        return RelativeStatistics(self.network, self.forward, self.tiles, source or Bank.of(self.network))

    def _logits(self, unlabelled: Tensor, labelled: Tensor) -> Sequence[Tensor]:
        """Logits of both, under the statistics of the unlabelled crops."""
        with self.statistics.of_first(len(unlabelled)) if self.statistics else nullcontext():
            return self.forward(torch.cat([unlabelled, labelled])).split([len(unlabelled), len(labelled)])

    def _batches(self, labelled: LabelledTiles, steps: int) -> Iterator[tuple[LabelledTiles, LabelledTiles]]:
        """Crops with pseudo-labels, and augmented crops of labelled tiles."""
        side = min(min(labelled.masks.shape[1:]) * 3 // 4, *self.tiles.shape[2:])
        crops = RandomCrops(
            labelled.sections(), side, steps * BATCH, self.settings.seed, augmentation=self.settings.augmentation
        )
        generator = np.random.default_rng(self.settings.seed)
        for step in range(steps):
            items = [crops[step * BATCH + number] for number in range(BATCH)]
            images, masks = random_crops(generator, side, BATCH, self.tiles, self.pseudo_labelled.masks)
            cropped = (torch.stack([each[key] for each in items]) for key in ("image", "mask"))
            yield LabelledTiles(images, masks), LabelledTiles(*cropped)


def _cross_validated(
    run: _Run, labelled: LabelledTiles, settings: FineTuning, count: int, advance: Callable[[], object]
) -> dict[int, HeldOut]:
    """Held-out scores by steps; empty if the remaining tiles never show every class."""
    overlaps: dict[int, list[Tensor]] = {}
    for fold in range(count):
        held_out = labelled.subset(range(fold, len(labelled), count))
        others = labelled.subset([index for index in range(len(labelled)) if index % count != fold])
        if others.classes != labelled.classes:
            continue
        own = copy.deepcopy(run)
        for step in chain([0], own.training(others, settings.steps)):
            advance()
            if step % CHECKED_EVERY == 0 or step == settings.steps:
                own.settle()
                overlaps.setdefault(step, []).append(own.overlaps(held_out))
    return {step: HeldOut(torch.stack(each)) for step, each in overlaps.items()}


def _check(labelled: LabelledTiles) -> None:
    """Refuse tiles that cannot be learnt from."""
    if labelled.images[:, 0].shape != labelled.masks.shape:
        raise InputError(
            f"The labelled tiles have images of {tuple(labelled.images.shape)} and masks of"
            f" {tuple(labelled.masks.shape)}; give a mask (h, w) of each image (C, h, w)."
        )
    if not labelled.classes:
        raise InputError("The labelled tiles have no labelled pixel; draw some.")
    if len(labelled.classes) == 1:
        raise InputError(
            f"All labelled pixels are of class {labelled.classes[0]}, from which nothing can be learnt; label a tile"
            " that shows another class, too."
        )
