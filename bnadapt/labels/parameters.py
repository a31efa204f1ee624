"""What can be learnt from labelled tiles: mixing coefficients of statistics, scales and shifts, the head, or all."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from bnadapt.batchnorm import batchnorm_layers
from bnadapt.errors import InputError
from bnadapt.labels.statistics import RelativeStatistics

LearnName = Literal["mixing", "affine", "head", "all"]


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
        statistics: statistics of its BatchNorm layers, if it has any.
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


def require_weights(network: nn.Module) -> None:
    """Refuse a network without weights."""
    if next(network.parameters(), None) is None:
        raise InputError("The network has no weights to learn; give one that has.")


@torch.no_grad()
def last_layer(network: nn.Module, forward: Callable[[Tensor], Any], image: Tensor) -> nn.Module:
    """The layer with weights that a forward pass calls last; in a U-Net the one that returns logits."""
    called: list[nn.Module] = []
    weighted = [each for each in network.modules() if next(each.parameters(recurse=False), None) is not None]
    hooks = [each.register_forward_hook(lambda module, *_: called.append(module)) for each in weighted]
    try:
        forward(image)
    finally:
        for each in hooks:
            each.remove()
    if not called:
        raise InputError(
            "The network calls none of its layers with weights, so it has no last one; learn something else."
        )
    return called[-1]
