"""Scores of the foreground, over all pixels of a set."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bnadapt.data.masks import IGNORED
from bnadapt.tasks.metrics import segmentation_metrics

Batches = Sequence[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Scores:
    """Scores of the foreground, over all pixels of a set.

    Attributes:
        iou: intersection over union.
        predicted: share of the pixels that are predicted as foreground.
        true: share of the pixels that are foreground.
    """

    iou: float
    predicted: float
    true: float


def scored(forward: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]) -> Scores:
    """Scores of a network's output for batches of images and masks."""
    metrics = segmentation_metrics(2)
    counts = torch.zeros(3, dtype=torch.int64)
    for images, masks in batches:
        predicted = forward(images).argmax(1).cpu()
        metrics.update(predicted, masks)
        labelled = masks != IGNORED
        counts += torch.stack([labelled.sum(), (predicted[labelled] == 1).sum(), (masks[labelled] == 1).sum()])
    total, foreground, true = counts.tolist()
    return Scores(float(metrics.compute()["iou"][1]), foreground / total, true / total)


def evenly_spread(batches: Batches, count: int) -> Batches:
    """At most `count` of the tiles, evenly spread, in batches of 8."""
    images, masks = (torch.cat(parts) for parts in zip(*batches, strict=True))
    indices = torch.linspace(0, len(images) - 1, min(count, len(images))).round().long()
    return [(images[part], masks[part]) for part in indices.split(8)]
