"""Learn from a network's own predictions on a target, without labels, while the statistics stay the target's."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from bnadapt.batchnorm import Bank
from bnadapt.labels.parameters import last_layer, require_weights
from bnadapt.labels.pseudo_labels import BATCH, CONFIDENCE, confidences, logits_of, logits_of_all, pseudo_labels
from bnadapt.labels.settings import check_settings
from bnadapt.labels.training_tiles import random_crops, stacked_tiles
from bnadapt.tasks.losses import DiceCrossEntropy
from bnadapt.tasks.mean_teacher import strongly_augmented

SELF_TRAINED = "self-trained"  # name of a start for learning from labels


@dataclass(frozen=True)
class SelfTraining:
    """How a network learns from its own predictions.

    Args:
        steps: optimizer steps.
        rate: largest learning rate.
        decay: decay of the teacher, the average of past weights.
        confidence: probability from which on the teacher's prediction is learnt; lower for classes that it rarely
            predicts so confidently, see `bnadapt.labels.pseudo_labels.confidences`.
        side: largest side of crops in pixels.
        seed: seed of the crops.

    Raises:
        InputError: a number is out of range.
    """

    steps: int = 120
    rate: float = 1e-3
    decay: float = 0.97
    confidence: float = CONFIDENCE
    side: int = 144
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(self, steps=(1, None), rate=(0, None), side=(1, None), decay=(0, 1), confidence=(0, 1))


def self_train(
    network: nn.Module,
    images: Any,
    settings: SelfTraining = SelfTraining(),
    source_bank: Bank | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Mapping[str, Tensor]:
    """Train a network on confident predictions of the average of its own past weights.

    The student sees every crop with other brightness, contrast, sharpness and noise than the teacher. Both keep the
    network's BatchNorm statistics, which should be the target's.

    Learning from itself, a network tends to predict ever more foreground. With two classes, the bias of its last layer
    is therefore lowered at the end until no more pixels of the target are predicted as foreground than at the start (a
    one-sided prior on class proportions, as in TTAS, arXiv 2205.07983), or than with the source's statistics: where
    the target has more foreground than the source, the target's statistics hide some of it. A last layer without bias
    stays unchanged.

    Args:
        network: maps images (n, C, h, w) to logits (n, K, h, w); it is left unchanged.
        images: images of the target, such as a tensor (n, C, h, w); for others see `bnadapt.batchnorm.estimate`.
        settings: how to learn.
        source_bank: the source's statistics, if they are known.
        progress: wraps the steps, to show progress or to stop.

    Returns:
        State of the teacher, to load into the network.

    Raises:
        InputError: images are missing or differ in size, or the network has no weights.
    """
    require_weights(network)
    tiles = stacked_tiles(images, BATCH)
    logits = logits_of_all(network, tiles)
    least = confidences(logits, settings.confidence)
    share = _most_foreground(network, tiles, logits, source_bank) if logits.shape[1] == 2 else 1.0
    teacher, student = (copy.deepcopy(network).eval().requires_grad_(which) for which in (False, True))
    optimizer = torch.optim.AdamW(student.parameters(), lr=settings.rate, weight_decay=0)
    schedule = OneCycleLR(optimizer, settings.rate, total_steps=settings.steps + 1, pct_start=0.1)
    loss = DiceCrossEntropy()
    with torch.enable_grad(), torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        for _, crops in zip(progress(range(settings.steps)), _crops(tiles, settings), strict=False):
            optimizer.zero_grad()
            labels = pseudo_labels(teacher, crops, least)
            loss(logits_of(student, strongly_augmented(crops)), labels).backward()
            optimizer.step()
            schedule.step()
            torch.clear_autocast_cache()  # it holds earlier weights
            with torch.no_grad():
                for averaged, learnt in zip(teacher.parameters(), student.parameters(), strict=True):
                    averaged.lerp_(learnt, 1 - settings.decay)
    _limit_foreground(teacher, tiles, share)
    return teacher.state_dict()


def _most_foreground(network: nn.Module, tiles: Tensor, logits: Tensor, source_bank: Bank | None) -> float:
    """Share of foreground that the network predicts, or with the source's statistics if that is more."""
    share = _foreground(logits)
    if source_bank is None:
        return share
    unadapted = copy.deepcopy(network).eval()
    source_bank.apply(unadapted)
    return max(share, _foreground(logits_of_all(unadapted, tiles)))


@torch.no_grad()
def _limit_foreground(network: nn.Module, tiles: Tensor, share: float) -> None:
    """Lower the foreground's bias until at most this share of the pixels is predicted as foreground."""
    head = last_layer(network, partial(logits_of, network), tiles[:1])
    logits = logits_of_all(network, tiles)
    bias = getattr(head, "bias", None)
    if bias is None or len(bias) > 2 or _foreground(logits) <= share:
        return
    margins = _margins(logits).flatten()
    bias[-1] -= margins.kthvalue(max(1, round((1 - share) * len(margins)))).values.to(bias)


def _foreground(logits: Tensor) -> float:
    """Share of pixels that are predicted as class 1 rather than 0."""
    return float((_margins(logits) > 0).double().mean())


def _margins(logits: Tensor) -> Tensor:
    """Logits (n, h, w) of class 1 minus those of class 0."""
    return logits[:, 1] - logits[:, 0]


def _crops(tiles: Tensor, settings: SelfTraining) -> Iterator[Tensor]:
    """Endless batches (n, C, s, s) of crops at random places, rotated and flipped at random."""
    side = min(settings.side, *tiles.shape[2:])
    generator = np.random.default_rng(settings.seed)
    while True:
        (crops,) = random_crops(generator, side, BATCH, tiles)
        crops = crops.rot90(int(generator.integers(4)), (2, 3))
        yield crops.flip(3) if generator.integers(2) else crops
