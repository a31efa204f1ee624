"""Measure the class moments of a source."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from bnadapt.batchnorm.batches import labelled_batches_of
from bnadapt.batchnorm.class_moments import ClassMoments
from bnadapt.batchnorm.isolation import isolated
from bnadapt.batchnorm.layers import StatisticsError, batchnorm_layers
from bnadapt.batchnorm.outputs import MOST_CLASSES, bins_of, boundaries, margins, output_bins
from bnadapt.batchnorm.processes import gathered_objects
from bnadapt.batchnorm.watching import watched

POOLINGS = {1: functional.adaptive_avg_pool1d, 2: functional.adaptive_avg_pool2d, 3: functional.adaptive_avg_pool3d}


def measure_class_moments(
    network: nn.Module,
    batches: Iterable,
    classes: int = 2,
    *,
    ignored: int = 255,
    forward: Callable[[Tensor], Any] | None = None,
    group: distributed.ProcessGroup | None = None,
) -> ClassMoments:
    """Measure mean and variance of every BatchNorm layer's input by class, in eval mode. The network is left unchanged.

    A position counts for each class by that class's share of the labelled pixels it covers. Sums are in float64 and
    merged by the law of total variance, so the batch size does not matter.

    Args:
        network: network with the source's statistics.
        batches: images (N, C, ...) with masks (N, ...) of class indices, see
            `bnadapt.batchnorm.batches.labelled_batches_of`.
        classes: number of classes.
        ignored: mask value of unlabelled pixels.
        forward: runs the network on a batch; the network itself by default.
        group: processes that share the batches.

    Raises:
        NoBatchNormError: the network has no BatchNorm statistics.
        StatisticsError: a class has no labelled pixel, features are not finite, or positions of a layer's input do not
            map to the mask.

    Examples:
        >>> network = nn.Sequential(nn.BatchNorm2d(1))
        >>> masks = torch.arange(2).repeat(4, 8, 4)
        >>> moments = measure_class_moments(network, [(masks.unsqueeze(1) * 3.0, masks)])
        >>> moments.mean["0"].tolist(), moments.proportions.tolist()
        ([[0.0], [3.0]], [0.5, 0.5])
    """
    layers = batchnorm_layers(network)
    device = next(iter(layers.values())).running_mean.device
    measured: list[ClassMoments] = []
    with isolated(network), torch.no_grad(), torch.compiler.set_stance("force_eager"):
        for images, masks in labelled_batches_of(batches):
            batch = _Batch(masks, classes, ignored)
            with watched(forward or network, layers, batch.take) as run:
                logits = run(images.to(device, non_blocking=True))
            measured = [reduce(ClassMoments.merged, measured, batch.moments(logits))]
    parts = [part for measured_there in gathered_objects(measured, group) for part in measured_there]
    if not parts:
        raise StatisticsError("No labelled image was given, so there are no class moments; give images with masks.")
    moments = reduce(ClassMoments.merged, parts)
    _check(moments, layers)
    return moments


class _Batch:
    """Inputs of the layers for one batch, by class."""

    def __init__(self, masks: Tensor, classes: int, ignored: int) -> None:
        labelled = masks != ignored
        if labelled.any() and not 0 <= masks[labelled].min() <= masks[labelled].max() < classes:
            raise StatisticsError(
                f"The masks hold values from {masks[labelled].min()} to {masks[labelled].max()}; give classes 0 to"
                f" {classes - 1}, or {ignored} for ignored pixels."
            )
        labels = torch.arange(classes, device=masks.device).view(-1, *[1] * (masks.ndim - 1))
        self.masks = masks
        self.shares = (masks.unsqueeze(1) == labels).double()
        self.pooled: dict[tuple[int, ...], Tensor] = {}
        self.calls: list[tuple[str, Tensor, Tensor, Tensor]] = []

    def take(self, layer: str, features: Tensor) -> None:
        """Add the input (N, C, ...) of a layer."""
        shares = self._shares_of(layer, features).flatten(2)
        values = features.flatten(2) if features.ndim > 2 else features.unsqueeze(2)
        values = (values.cpu() if values.device.type == "mps" else values).double()
        shares = shares.to(values.device)
        weight = shares.sum((0, 2))
        divisor = weight.clamp(min=torch.finfo(torch.float64).tiny).unsqueeze(1)
        centre = values.mean((0, 2))
        values = values - centre.unsqueeze(1)
        mean = torch.einsum("nkp,ncp->kc", shares, values) / divisor
        squares = torch.einsum("nkp,ncp->kc", shares, values.square()) / divisor
        self.calls.append((layer, (mean + centre).cpu(), (squares - mean.square()).clamp(min=0).cpu(), weight.cpu()))

    def moments(self, logits: Any) -> ClassMoments:
        """Class moments of the whole batch; a layer called several times counts as often.

        Outputs other than logits have no margin.
        """
        pixels = self.shares.sum((0, *range(2, self.shares.ndim))).cpu()
        none = torch.zeros_like(pixels)
        parts = [ClassMoments({layer: m}, {layer: v}, {layer: w}, none) for layer, m, v, w in self.calls]
        total = ClassMoments({}, {}, {}, pixels)
        if isinstance(logits, Tensor) and logits.shape == self.shares.shape:
            total = replace(
                total,
                margin=self._margin(logits),
                outputs=self._outputs(logits),
                boundaries=_share(*boundaries(logits).tolist()),
            )
        return reduce(ClassMoments.merged, parts, total)

    def _margin(self, logits: Tensor) -> float:
        """Mean difference of the two largest logits over labelled pixels."""
        labelled = self.shares.sum(1).to(logits.device) > 0
        return float(margins(logits)[labelled].double().mean())

    def _outputs(self, logits: Tensor) -> Tensor | None:
        """Labelled pixels (K, B) by class and `output_bins`."""
        classes = logits.shape[1]
        if classes > MOST_CLASSES:
            return None
        bins, masks, count = output_bins(logits), self.masks.to(logits.device), bins_of(classes)
        of_classes = [torch.bincount(bins[masks == label], minlength=count) for label in range(classes)]
        return torch.stack(of_classes).cpu().double()

    def _shares_of(self, layer: str, features: Tensor) -> Tensor:
        """Share (N, K, ...) of every class at every position of the features."""
        size = tuple(features.shape[2:])
        if len(features) != len(self.shares) or (size and len(size) != self.shares.ndim - 2):
            raise StatisticsError(
                f"The BatchNorm layer {layer} gets an input of shape {tuple(features.shape)}, which cannot be aligned"
                f" with masks of shape {(len(self.shares), *self.shares.shape[2:])}; class moments cannot be"
                " measured in this network."
            )
        if size not in self.pooled:
            pool = POOLINGS[len(size)] if size else lambda shares, _: shares.flatten(2).mean(2)
            self.pooled[size] = pool(self.shares, size)
        return self.pooled[size]


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _check(moments: ClassMoments, layers: Mapping[str, nn.Module]) -> None:
    if not moments.pixels.all():
        missing = [str(index) for index, pixels in enumerate(moments.pixels.tolist()) if not pixels]
        raise StatisticsError(
            f"The source has no pixel of class {', '.join(missing)}, so it has no moments of that class; give"
            " tiles of all classes."
        )
    if broken := [layer for layer in moments.mean if not torch.isfinite(moments.variance[layer]).all()]:
        raise StatisticsError(
            f"The input of the BatchNorm layer {broken[0]} is NaN or infinite; look at the images, and at the weights"
            " in front of it."
        )
