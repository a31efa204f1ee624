"""Which BatchNorm layers see the images at their full resolution."""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from bnadapt.batchnorm.isolation import isolated
from bnadapt.batchnorm.layers import batchnorm_layers, watched


def full_resolution_layers(
    network: nn.Module, images: Tensor, forward: Callable[[Tensor], Any] | None = None
) -> list[str]:
    """Names of the BatchNorm layers whose input has the most positions: first and last level of a U-Net.

    The network is run once and left as it was.

    Args:
        network: any module with BatchNorm layers.
        images: (N, C, ...) on its device.
        forward: runs the network on images; the network itself by default.

    Examples:
        >>> network = nn.Sequential(nn.BatchNorm2d(1), nn.MaxPool2d(2), nn.BatchNorm2d(1), nn.Upsample(scale_factor=2))
        >>> full_resolution_layers(network, torch.zeros(1, 1, 8, 8))
        ['0']
    """
    positions: dict[str, int] = {}

    def seen(name: str, features: Tensor) -> None:
        positions[name] = max(positions.get(name, 0), prod(features.shape[2:]))

    with (
        torch.no_grad(),
        isolated(network),
        torch.compiler.set_stance("force_eager"),
        watched(batchnorm_layers(network), seen),
    ):
        (forward or network)(images)
    most = max(positions.values(), default=0)
    return [name for name, count in positions.items() if count == most]
