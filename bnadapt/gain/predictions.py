"""Statistics of predictions that need no labels; classes above 0 are foreground."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from bnadapt.batchnorm.outputs import margins
from bnadapt.gain.observation import Observation

TINY = 1e-4  # share of the pixels that counts as none


def foreground(outputs: Observation) -> float:
    """Share of the pixels predicted as foreground."""
    return _share(outputs.classes > 0)


def confidence(outputs: Observation) -> float:
    """Mean of the largest probability (Hendrycks and Gimpel 2017)."""
    return float(outputs.probabilities.amax(1).double().mean())


def entropy(outputs: Observation) -> float:
    """Mean entropy of the pixels' probabilities, relative to uniform ones."""
    probabilities = outputs.probabilities
    return float(-(probabilities * probabilities.clamp(min=1e-12).log()).sum(1).double().mean()) / _most(outputs)


def collapse(outputs: Observation) -> float:
    """1 - relative entropy of the mean probabilities: 1 where every pixel is of one class (AETTA)."""
    mean = outputs.probabilities.double().mean((0, 2, 3))
    return 1 - float(-(mean * mean.clamp(min=1e-12).log()).sum()) / _most(outputs)


def consistency(outputs: Observation) -> float:
    """IoU of the foreground of images and of turned images (CRank, arXiv 2503.00450); 1 if both have none."""
    return overlap(outputs.classes, outputs.flipped.argmax(1))


def boundaries(outputs: Observation) -> float:
    """Pairs of neighbouring pixels with different classes, per pixel: total variation."""
    return sum(float(each.sum()) for each in _boundary(outputs.classes)) / outputs.classes.numel()


def edge_alignment(outputs: Observation) -> float:
    """Mean absolute image gradient across boundaries, over that between all neighbours; 1 without boundaries."""
    steps = [outputs.images.mean(1).diff(dim=axis).abs().double() for axis in (1, 2)]
    boundary = _boundary(outputs.classes)
    count = sum(float(each.sum()) for each in boundary)
    everywhere = sum(float(each.sum()) for each in steps) / sum(each.numel() for each in steps)
    if not count or not everywhere:
        return 1.0
    across = sum(float(step[there].sum()) for step, there in zip(steps, boundary, strict=True)) / count
    return across / everywhere


def width(outputs: Observation) -> float:
    """Thickness of objects, see `thickness`."""
    return thickness(outputs.classes)


def thickness(classes: Tensor) -> float:
    """Foreground pixels of class maps (n, h, w) per pair of neighbours with different classes; 0 without any."""
    length = sum(float(each.sum()) for each in _boundary(classes))
    return float((classes > 0).sum()) / length if length else 0.0


def sharpness(outputs: Observation) -> float:
    """Mean absolute difference of neighbouring pixels of the images, over their standard deviation."""
    images = outputs.images.mean(1).double()
    spread = float(images.std())
    steps = [images.diff(dim=axis).abs() for axis in (1, 2)]
    return sum(float(each.mean()) for each in steps) / 2 / spread if spread else 0.0


def polarity(outputs: Observation) -> float:
    """Mean intensity of the foreground minus that of the background, in standard deviations of the image."""
    inside = outputs.classes > 0
    if inside.all() or not inside.any():
        return 0.0
    values = outputs.images.mean(1).double()
    spread = float(values.std())
    return float(values[inside].mean() - values[~inside].mean()) / spread if spread else 0.0


def nuclear_norm(outputs: Observation) -> float:
    """Nuclear norm of the probabilities of 4096 pixels, over its upper bound (Deng et al. 2023)."""
    rows = outputs.probabilities.permute(0, 2, 3, 1).flatten(0, 2)
    rows = rows[:: max(1, len(rows) // 4096)].double()
    bound = math.sqrt(min(rows.shape) * len(rows))
    return float(torch.linalg.svdvals(rows).sum()) / bound


def disagreement(outputs: Observation) -> float:
    """Share of the pixels whose class changes by dropout in front of the last layer (AETTA, Lee et al. 2024)."""
    return outputs.disagreement


STATISTICS: Mapping[str, Callable[[Observation], float]] = {
    each.__name__: each
    for each in (
        foreground,
        confidence,
        entropy,
        collapse,
        consistency,
        boundaries,
        edge_alignment,
        width,
        sharpness,
        polarity,
        nuclear_norm,
        disagreement,
    )
}
"""Statistics of predictions alone, by name."""


def uncertainty(outputs: Observation, margin: float) -> float:
    """Pixels whose two largest logits differ by less than `margin`, per pair of neighbours with different classes.

    Infinite without such pairs.
    """
    count = sum(float(each.sum()) for each in _boundary(outputs.classes))
    return float((margins(outputs.logits) < margin).sum()) / count if count else math.inf


def overlap(one: Tensor, other: Tensor) -> float:
    """Foreground IoU of two class maps; 1 if neither has foreground."""
    first, second = one > 0, other > 0
    union = float((first | second).sum())
    return float((first & second).sum()) / union if union else 1.0


def log_odds(share: float) -> float:
    """log(share / (1 - share)), with shares clipped away from 0 and 1."""
    clipped = min(max(share, TINY), 1 - TINY)
    return math.log(clipped / (1 - clipped))


def soft_iou(logits: Tensor, temperatures: Tensor) -> float:
    """Expected foreground IoU, after dividing every pixel's logits by its class's temperature.

    Class-specific confidence (Li et al., MICCAI 2022): the foreground's probability p, summed over the predicted
    foreground, counts as right, 1 - p there and p elsewhere as wrong. 1 if there is neither.

    Args:
        logits: (n, K, h, w).
        temperatures: (K,), for the pixels predicted as every class.
    """
    classes = logits.argmax(1)
    probability = 1 - (logits / temperatures.to(logits)[classes].unsqueeze(1)).softmax(1)[:, 0].double()
    inside = classes > 0
    right, all_of_it = float(probability[inside].sum()), float(inside.sum() + probability[~inside].sum())
    return right / all_of_it if all_of_it else 1.0


def _boundary(classes: Tensor) -> list[Tensor]:
    """Whether neighbours differ, along both axes."""
    return [classes.diff(dim=axis) != 0 for axis in (1, 2)]


def _share(chosen: Tensor) -> float:
    return float(chosen.double().mean())


def _most(outputs: Observation) -> float:
    return math.log(outputs.logits.shape[1])
