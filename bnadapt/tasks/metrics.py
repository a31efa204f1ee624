"""Segmentation metrics, accumulated over all pixels of a set."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassF1Score, MulticlassJaccardIndex, MulticlassPrecision, MulticlassRecall

from bnadapt.data.masks import IGNORED

METRICS = {
    "iou": MulticlassJaccardIndex,
    "dice": MulticlassF1Score,
    "precision": MulticlassPrecision,
    "recall": MulticlassRecall,
}


def segmentation_metrics(num_classes: int) -> MetricCollection:
    """IoU, Dice, precision and recall of every class, over all pixels except those of class 255.

    Takes predicted and true class indices (N, H, W).
    """
    return MetricCollection(
        {
            name: metric(num_classes=num_classes, average="none", ignore_index=IGNORED, validate_args=False)
            for name, metric in METRICS.items()
        }
    )


def named_scores(scores: dict[str, Tensor], classes: Sequence[str], prefix: str) -> dict[str, Tensor]:
    """Scores by tag: the foreground's for two classes; else those of every class and their mean, background included.

    A class that occurs neither in masks nor in predictions has score 0.

    Args:
        scores: (K,) for every metric, as `segmentation_metrics` computes them.
        classes: names of the K classes, background first.
        prefix: stage and domain, such as `test/target`.
    """
    if len(classes) == 2:
        return {f"{prefix}/{name}": values[1] for name, values in scores.items()}
    each = {
        f"{prefix}/{name}/{label}": value
        for name, values in scores.items()
        for label, value in zip(classes, values, strict=True)
    }
    return {f"{prefix}/{name}": values.mean() for name, values in scores.items()} | each


class ScoredSet:
    """A named set that a stage scores, with the metrics accumulated so far."""

    def __init__(self, name: str, classes: Sequence[str], device: torch.device) -> None:
        self.name = name
        self.classes = classes
        self.metrics = segmentation_metrics(len(classes)).to(device)

    def scores(self, stage: str) -> dict[str, Tensor]:
        """The scores of a stage, such as `test`, by tag; the metrics start anew."""
        scores = named_scores(self.metrics.compute(), self.classes, f"{stage}/{self.name}")
        self.metrics.reset()
        return scores


def mean_scores(by_set: Sequence[Mapping[str, Tensor]], prefix: str) -> dict[str, Tensor]:
    """Means over sets of `stage/SET/MEASURE`, without scores by class, as sets may name classes differently."""
    measures = [tag.split("/")[2:] for tag in by_set[0]]
    means = {}
    for number, measure in enumerate(measures):
        if len(measure) == 1:
            means[f"{prefix}/{measure[0]}"] = torch.stack([list(scores.values())[number] for scores in by_set]).mean()
    return means
