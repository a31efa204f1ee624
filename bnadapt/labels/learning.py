"""Parameters to learn from labelled tiles: mixing coefficients of statistics, scales and shifts, the head, or all."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bnadapt.batchnorm import batchnorm_layers
from bnadapt.data.masks import IGNORED
from bnadapt.labels.statistics import RelativeStatistics
from bnadapt.networks import memory_format, with_background

LearnName = Literal["mixing", "affine", "head", "all"]
CONFIDENCE = 0.85  # probability above which a prediction becomes a pseudo-label


class Learnt(NamedTuple):
    """Parameters to optimise, and the largest learning rate of AdamW."""

    parameters: list[nn.Parameter]
    rate: float


def learnt_of(
    name: LearnName,
    network: nn.Module,
    statistics: RelativeStatistics | None,
    forward: Callable[[Tensor], Any],
    image: Tensor,
) -> Learnt:
    """The parameters to learn.

    Args:
        name: which.
        network: any module.
        statistics: of its BatchNorm layers, if it has any.
        forward: runs it on a batch.
        image: (1, C, h, w), to find the last layer.

    Raises:
        NoBatchNormError: the network has no BatchNorm layers, for `mixing` or `affine`.
    """
    if name in ("mixing", "affine"):
        layers = batchnorm_layers(network)
        if name == "mixing":
            return Learnt([statistics.coefficients], 0.05)
        return Learnt([each for layer in layers.values() for each in layer.parameters()], 3e-3)
    if name == "head":
        return Learnt(list(last_layer(network, forward, image).parameters()), 3e-3)
    return Learnt(list(network.parameters()), 1e-3)


def logits_of(network: nn.Module, images: Tensor) -> Tensor:
    """Logits (n, K, h, w) of images (n, C, h, w) on any device, in the network's type and memory layout."""
    like = next(network.parameters())
    images = images.to(like.device, like.dtype).contiguous(memory_format=memory_format(network))
    return with_background(network(images), 2)


@torch.no_grad()
def pseudo_labels(network: nn.Module, images: Tensor, confidence: float | Tensor = CONFIDENCE) -> Tensor:
    """Classes (n, h, w) that a network predicts for images (n, C, h, w); 255 where its probability is lower.

    Args:
        network: the network.
        images: the images.
        confidence: least probability, of all classes or (K,) of each.
    """
    probabilities = logits_of(network, images).float().softmax(1)
    probability, classes = probabilities.max(1)
    least = torch.as_tensor(confidence, device=classes.device).expand(probabilities.shape[1])[classes]
    return classes.masked_fill(probability < least, IGNORED)


def confidences(logits: Tensor, confidence: float) -> Tensor:
    """A confidence (K,) for each class, at most the given one, that half of the pixels predicted as that class have.

    Otherwise a network that is never sure of one class would learn the pseudo-labels of the others alone; see
    class-balanced self-training, Zou et al., ECCV 2018.

    Args:
        logits: logits (n, K, h, w) of all tiles.
        confidence: the greatest confidence.
    """
    probabilities = logits.softmax(1)
    probability, classes = probabilities.max(1)
    own = [probability[classes == label] for label in range(probabilities.shape[1])]
    return torch.stack(
        [each.median().clamp(max=confidence) if len(each) else each.new_tensor(confidence) for each in own]
    )


def random_crops(generator: np.random.Generator, side: int, count: int, *tiles: Tensor) -> list[Tensor]:
    """Crops (count, ..., side, side) of different tiles (n, ..., h, w) at one random place, the same in all tensors."""
    chosen = generator.permutation(len(tiles[0]))[:count]
    top, left = (int(generator.integers(extent - side + 1)) for extent in tiles[0].shape[-2:])
    return [each[chosen][..., top : top + side, left : left + side] for each in tiles]


@torch.no_grad()
def last_layer(network: nn.Module, forward: Callable[[Tensor], Any], image: Tensor) -> nn.Module:
    """The layer with weights that a forward pass calls last; in a U-Net the one that returns logits."""
    called: list[nn.Module] = []
    own = [each for each in network.modules() if next(each.parameters(recurse=False), None) is not None]
    hooks = [each.register_forward_hook(lambda module, *_: called.append(module)) for each in own]
    try:
        forward(image)
    finally:
        for each in hooks:
            each.remove()
    return called[-1]
