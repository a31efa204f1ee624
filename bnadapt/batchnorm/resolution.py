"""Which BatchNorm layers see the images at their full resolution."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor, distributed, nn

from bnadapt.batchnorm.isolation import isolated
from bnadapt.batchnorm.layers import batchnorm_layers
from bnadapt.batchnorm.policy import FULL_RESOLUTION, Policy
from bnadapt.batchnorm.processes import known_to_all
from bnadapt.batchnorm.watching import watched


def in_network(
    policy: Policy,
    network: nn.Module,
    batches: Sequence[Tensor],
    forward: Callable[[Tensor], Any] | None = None,
    group: distributed.ProcessGroup | None = None,
) -> Policy:
    """The policy with the names of the layers that it means in a network.

    Args:
        policy: any.
        network: with BatchNorm layers.
        batches: (N, C, ...) each; the first image is enough. A process may have none, if another has one.
        forward: runs the network on a batch; the network itself by default.
        group: processes that must agree.
    """
    if policy.layers != FULL_RESOLUTION:
        return policy
    device = next(iter(batchnorm_layers(network).values())).running_mean.device
    layers = full_resolution_layers(network, batches[0][:1].to(device), forward) if batches else []
    return replace(policy, layers=known_to_all(layers, group))


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
        watched(forward or network, batchnorm_layers(network), seen) as run,
    ):
        run(images)
    most = max(positions.values(), default=0)
    return [name for name, count in positions.items() if count == most]
