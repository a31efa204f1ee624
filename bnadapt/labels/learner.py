"""Steps of learning from labelled crops, with BatchNorm statistics and pseudo-labels of unlabelled ones."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from bnadapt.batchnorm import Bank, NoBatchNormError, batchnorm_layers
from bnadapt.data.augmentation import AugmentationName
from bnadapt.data.masks import IGNORED
from bnadapt.data.random_crops import RandomCrops
from bnadapt.errors import InputError
from bnadapt.labels.parameters import LearnName, learnt_of
from bnadapt.labels.pseudo_labels import BATCH, logits_of, logits_of_all, pseudo_labels
from bnadapt.labels.settings import check_choices, check_settings
from bnadapt.labels.statistics import RelativeStatistics
from bnadapt.labels.training_tiles import LabelledTiles, random_crops
from bnadapt.tasks.losses import DiceCrossEntropy

WARMING_UP = 0.1  # share of the steps
CROP = 0.75  # side of crops as a share of that of labelled tiles


@dataclass(frozen=True)
class FineTuning:
    """How a network learns from labelled tiles.

    Args:
        learn: `mixing` (one coefficient of source and target statistics for means and one for standard deviations of
            each layer), `affine` (scales and shifts of BatchNorm layers), `head` (the last layer), or `all` weights.
        steps: greatest number of optimizer steps.
        rate: largest learning rate; by default one that suits `learn`.
        folds: folds of cross-validation, which may choose fewer steps if there are three tiles or more; 0 takes all
            steps.
        augmentation: augmentation of the labelled crops, see `bnadapt.data.augmentation`.
        seed: seed of the crops.
        pseudo_label_weight: weight of the loss on unlabelled crops, where labels are the confident predictions of the
            network at the start; 0 for an untrained network.

    Raises:
        InputError: a name is unknown, or a number out of range.
    """

    learn: LearnName = "all"
    steps: int = 100
    rate: float | None = None
    folds: int = 5
    augmentation: AugmentationName = "moderate"
    seed: int = 0
    pseudo_label_weight: float = 1.0

    def __post_init__(self) -> None:
        check_choices(self, learn=get_args(LearnName), augmentation=get_args(AugmentationName))
        unlimited = {"steps": 1, "folds": 0, "pseudo_label_weight": 0} | ({} if self.rate is None else {"rate": 0})
        check_settings(self, **{name: (least, None) for name, least in unlimited.items()})
        if self.folds == 1:
            raise InputError("FineTuning: folds is 1, which leaves no tile to learn from; give 0, or at least 2.")


class Learner:
    """A copy of a network that learns."""

    def __init__(self, network: nn.Module, tiles: Tensor, source: Bank | None, settings: FineTuning) -> None:
        self.network = copy.deepcopy(network).eval()
        self.tiles = tiles
        self.settings = settings
        self.device = next(self.network.parameters()).device
        self.statistics = (
            None if settings.learn == "head" else self._statistics(source)
        )  # a head leaves features, and so statistics, unchanged
        masks = torch.cat([pseudo_labels(self.network, batch).cpu() for batch in tiles.split(BATCH)])
        self.pseudo_labelled = LabelledTiles(tiles, masks)  # by the network of the start, also in cross-validation
        self.learnt = learnt_of(settings.learn, self.network, self.statistics, self.forward, tiles[:1])

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, K, h, w)."""
        return logits_of(self.network, images)

    @torch.no_grad()
    def check(self, labelled: LabelledTiles) -> None:
        """Refuse a network without the parameters to learn, and classes that it does not have."""
        if not self.learnt.parameters:
            raise InputError(f"The network has no weights to learn as {self.settings.learn!r}; choose other ones.")
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
        rate = self.learnt.rate if self.settings.rate is None else self.settings.rate
        optimizer = torch.optim.AdamW(self.learnt.parameters, lr=rate, weight_decay=0)
        schedule = OneCycleLR(optimizer, rate, total_steps=self.settings.steps + 1, pct_start=WARMING_UP)
        loss = DiceCrossEntropy()
        for step, batches in enumerate(self._batches(labelled, steps), start=1):
            optimizer.zero_grad()
            logits = self._logits(*(each.images for each in batches))
            of_pseudo, of_labels = (
                loss(of_crops, each.masks.to(self.device)) for of_crops, each in zip(logits, batches, strict=True)
            )
            (self.settings.pseudo_label_weight * of_pseudo + of_labels).backward()
            optimizer.step()
            schedule.step()
            torch.clear_autocast_cache()  # it holds earlier weights
            yield step

    def update_statistics(self) -> None:
        """Set the statistics of all tiles under the current weights."""
        if self.statistics:
            self.statistics.estimated().apply(self.network)

    @torch.no_grad()
    def overlaps(self, tiles: LabelledTiles) -> Tensor:
        """Pixels (2, K - 1) of intersection and union of every foreground class."""
        logits = logits_of_all(self.network, tiles.images)
        labelled, predicted = tiles.masks != IGNORED, logits.argmax(1)
        both = [((predicted == label) & (tiles.masks == label)).sum() for label in range(1, logits.shape[1])]
        either = [
            (((predicted == label) | (tiles.masks == label)) & labelled).sum() for label in range(1, logits.shape[1])
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
        side = min(int(min(labelled.masks.shape[1:]) * CROP), *self.tiles.shape[2:])
        crops = RandomCrops(
            labelled.sections(), side, steps * BATCH, self.settings.seed, augmentation=self.settings.augmentation
        )
        generator = np.random.default_rng(self.settings.seed)
        for step in range(steps):
            items = [crops[step * BATCH + number] for number in range(BATCH)]
            images, masks = random_crops(generator, side, BATCH, self.tiles, self.pseudo_labelled.masks)
            cropped = (torch.stack([each[key] for each in items]) for key in ("image", "mask"))
            yield LabelledTiles(images, masks), LabelledTiles(*cropped)
