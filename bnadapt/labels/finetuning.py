"""Learn from a few labelled tiles of a target, under statistics of all of it."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from bnadapt.batchnorm import Bank, NoBatchNormError
from bnadapt.data.augmentation import AugmentationName
from bnadapt.data.datasets import RandomCrops
from bnadapt.data.masks import IGNORED
from bnadapt.data.prepare import PreparedSection
from bnadapt.errors import InputError
from bnadapt.labels.learning import LearnName, learnt_of
from bnadapt.labels.statistics import RelativeStatistics
from bnadapt.networks import with_background
from bnadapt.tasks.losses import DiceCrossEntropy
from bnadapt.tasks.metrics import METRICS

BATCH = 4  # crops of labelled tiles in a step, and of unlabelled ones, which the statistics are of
CHECKED_EVERY = 20  # steps between two scores of held-out tiles
FEWEST_TO_STOP = 3  # labelled tiles from which on the number of steps is chosen by held-out ones
WARMING_UP = 0.1  # share of the steps


@dataclass(frozen=True)
class LabelledTiles:
    """Tiles of a target with masks.

    Attributes:
        images: (n, C, h, w) float32, as the network takes them.
        masks: (n, h, w) int64 class indices, 255 where there is no label.
    """

    images: Tensor
    masks: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def sections(self) -> list[PreparedSection]:
        """The tiles as sections that crops are taken of."""
        return [
            PreparedSection(f"labelled tile {number}", image.numpy(), mask, mask.shape, np.dtype(np.float32))
            for number, (image, mask) in enumerate(zip(self.images, self.masks.numpy().astype(np.uint8), strict=True))
        ]

    def subset(self, indices: Sequence[int]) -> "LabelledTiles":
        """Some of them."""
        chosen = list(indices)
        return LabelledTiles(self.images[chosen], self.masks[chosen])


@dataclass(frozen=True)
class FineTuning:
    """How a network learns from labelled tiles.

    Args:
        learn: `mixing` (a coefficient of source and target statistics for means and one for standard deviations of each
            layer), `affine` (scales and shifts of BatchNorm layers), `head` (the last layer), or `all` weights. By
            default what the number of tiles can carry.
        steps: of the optimizer, at most.
        folds: of cross-validation, by which the number of steps is chosen where there are three tiles or more; 0 takes
            all steps.
        augmentation: of crops of the labelled tiles, see `bnadapt.data.augmentation`.
        seed: of crops.
    """

    learn: LearnName | None = None
    steps: int = 100
    folds: int = 5
    augmentation: AugmentationName = "moderate"
    seed: int = 0

    def learnt_from(self, tiles: int) -> LearnName:
        """What is learnt from so many tiles."""
        return self.learn or "all"


@dataclass(frozen=True, eq=False)
class FineTuned:
    """What a network has learnt; it is unchanged until that is applied.

    Attributes:
        state: of the network: weights, and statistics of the target's tiles under them.
        learn: what was learnt.
        steps: of the optimizer.
        scores: foreground IoU on tiles that were not learnt from, by steps taken, cross-validated; empty where there
            were too few tiles.
    """

    state: Mapping[str, Tensor]
    learn: LearnName
    steps: int
    scores: Mapping[int, float]

    @property
    def before(self) -> float | None:
        """Foreground IoU on the labelled tiles without learning from any; None if it was not scored."""
        return self.scores.get(0)

    @property
    def after(self) -> float | None:
        """Foreground IoU on tiles that were not learnt from; None if it was not scored."""
        return self.scores.get(self.steps)

    def apply(self, network: nn.Module) -> None:
        """Have the network hold what was learnt."""
        network.load_state_dict(self.state)


def fine_tuned(
    network: nn.Module,
    tiles: Sequence[Tensor],
    labelled: LabelledTiles,
    settings: FineTuning,
    source: Bank | None = None,
) -> FineTuned:
    """Learn from labelled tiles, under statistics of all tiles.

    Args:
        network: that gives logits (n, K, h, w) of images (n, C, h, w); the statistics that it holds are those that it
            starts from. It is left as it was.
        tiles: batches (n, C, h, w) of the target, whose statistics are followed, see `TrackedStatistics`.
        labelled: tiles to learn from.
        settings: how.
        source: the source's statistics, which `mixing` mixes with; by default those that the network holds.

    Raises:
        InputError: there is nothing to learn from.
        NoBatchNormError: the network has no BatchNorm layers, and scales and shifts or mixing are to be learnt.
    """
    _check(labelled)
    learn = settings.learnt_from(len(labelled))
    run = _Run(network, tiles, source, learn, settings)
    scores = _cross_validated(run, labelled, settings) if settings.folds and len(labelled) >= FEWEST_TO_STOP else {}
    steps = max(scores, key=scores.get) if scores else settings.steps
    last = run.copied()
    for _ in last.training(labelled, steps):
        pass
    last.settle()
    return FineTuned(last.network.state_dict(), learn, steps, scores)


class _Run:
    """A copy of a network that learns."""

    def __init__(
        self, network: nn.Module, tiles: Sequence[Tensor], source: Bank | None, learn: LearnName, settings: FineTuning
    ) -> None:
        self.arguments = network, tiles, source, learn, settings
        self.network = copy.deepcopy(network).eval()
        self.settings = settings
        self.device = next(self.network.parameters()).device
        self.tiles = torch.cat(list(tiles))
        self.statistics = self._statistics(tiles, source)
        self.learnt = learnt_of(learn, self.network, self.statistics, self.forward, tiles[0][:1])

    def copied(self) -> "_Run":
        """One that has learnt nothing."""
        return _Run(*self.arguments)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, K, h, w)."""
        return with_background(self.network(images.to(self.device)), 2)

    @torch.enable_grad()
    def training(self, labelled: LabelledTiles, steps: int) -> Iterator[int]:
        """Learn, step by step; gives the number of those taken."""
        self.network.requires_grad_(False)
        for parameter in self.learnt.parameters:
            parameter.requires_grad_(True)
        optimizer = torch.optim.AdamW(self.learnt.parameters, lr=self.learnt.rate, weight_decay=0)
        schedule = OneCycleLR(optimizer, self.learnt.rate, total_steps=self.settings.steps + 1, pct_start=WARMING_UP)
        loss = DiceCrossEntropy()
        for step, (unlabelled, images, masks) in enumerate(self._batches(labelled, steps), start=1):
            optimizer.zero_grad()
            loss(self._logits(unlabelled, images), masks.to(self.device)).backward()
            optimizer.step()
            schedule.step()
            torch.clear_autocast_cache()  # of weights as they were
            yield step

    def settle(self) -> None:
        """Have the network hold the statistics of all tiles under the weights that it has."""
        if self.statistics and self.learnt.moves_features:
            self.statistics.estimated().apply(self.network)

    @torch.no_grad()
    def predicted(self, images: Tensor) -> Iterator[Tensor]:
        """Classes (n, h, w) of tiles, in batches."""
        return (self.forward(batch).argmax(1).cpu() for batch in images.split(BATCH))

    def _statistics(self, tiles: Sequence[Tensor], source: Bank | None) -> RelativeStatistics | None:
        try:
            source = source or Bank.of(self.network)
        except NoBatchNormError:
            return None
        return RelativeStatistics(self.network, self.forward, tiles, source)

    def _logits(self, unlabelled: Tensor, images: Tensor) -> Tensor:
        """Logits of crops, under statistics of crops of unlabelled tiles."""
        if not (self.statistics and self.learnt.moves_features):
            return self.forward(images)
        with self.statistics.of_first(len(unlabelled)):
            return self.forward(torch.cat([unlabelled, images]))[len(unlabelled) :]

    def _batches(self, labelled: LabelledTiles, steps: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Crops of unlabelled tiles, and crops of labelled ones with their masks."""
        side = min(min(labelled.masks.shape[1:]) * 3 // 4, *self.tiles.shape[2:])
        crops = RandomCrops(
            labelled.sections(), side, steps * BATCH, self.settings.seed, augmentation=self.settings.augmentation
        )
        generator = np.random.default_rng(self.settings.seed)
        for step in range(steps):
            items = [crops[step * BATCH + number] for number in range(BATCH)]
            chosen = generator.permutation(len(self.tiles))[:BATCH]
            top, left = (int(generator.integers(extent - side + 1)) for extent in self.tiles.shape[2:])
            unlabelled = self.tiles[chosen, :, top : top + side, left : left + side]
            yield unlabelled, *(torch.stack([each[key] for each in items]) for key in ("image", "mask"))


def _cross_validated(run: _Run, labelled: LabelledTiles, settings: FineTuning) -> dict[int, float]:
    """Foreground IoU on held-out tiles, by steps taken."""
    count = min(settings.folds, len(labelled))
    checks = [0, *range(CHECKED_EVERY, settings.steps + 1, CHECKED_EVERY)]
    classes = run.forward(labelled.images[:1]).shape[1]
    metrics = {step: METRICS["iou"](classes, average="none", ignore_index=IGNORED) for step in checks}
    for fold in range(count):
        held_out = labelled.subset(range(fold, len(labelled), count))
        learnt_from = labelled.subset([index for index in range(len(labelled)) if index % count != fold])
        own = run.copied()

        def score(step: int, own: _Run = own, held_out: LabelledTiles = held_out) -> None:
            for predicted, masks in zip(own.predicted(held_out.images), held_out.masks.split(BATCH), strict=True):
                metrics[step].update(predicted, masks)

        score(0)
        for step in own.training(learnt_from, settings.steps):
            if step in metrics:
                own.settle()
                score(step)
    return {step: float(metric.compute()[1:].mean()) for step, metric in metrics.items()}


def _check(labelled: LabelledTiles) -> None:
    """Refuse tiles that teach nothing."""
    classes = labelled.masks[labelled.masks != IGNORED].unique().tolist()
    if not classes:
        raise InputError("The labelled tiles have no labelled pixel; draw some.")
    if len(classes) == 1:
        raise InputError(
            f"All labelled pixels are of class {classes[0]}, from which nothing can be learnt; label a tile that shows"
            " another class, too."
        )
