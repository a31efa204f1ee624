"""Groups of BatchNorm layers by resolution: full resolution, encoder, decoder."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor, distributed, nn

from bnadapt.batchnorm.isolation import isolated
from bnadapt.batchnorm.layers import BatchNormError, NoImageError, batchnorm_layers
from bnadapt.batchnorm.policy import DECODER, ENCODER, FULL_RESOLUTION, Policy
from bnadapt.batchnorm.processes import known_to_all
from bnadapt.batchnorm.watching import watched


def resolved_policy(
    policy: Policy,
    network: nn.Module,
    batches: Sequence[Tensor],
    forward: Callable[[Tensor], Any] | None = None,
    group: distributed.ProcessGroup | None = None,
) -> Policy:
    """The policy with the names of its layers in a network, where it names a group.

    Args:
        policy: any policy.
        network: network with BatchNorm layers.
        batches: (N, C, ...) each; the first image is enough. A process may have none, if another has one.
        forward: runs the network on a batch; the network itself by default.
        group: processes that must agree.

    Raises:
        NoImageError: no process has a batch.
        BatchNormError: no layer of the network belongs to the group.
    """
    if not policy.is_of_group:
        return policy
    if not known_to_all(["batches"] if batches else [], group):
        raise NoImageError
    device = next(iter(batchnorm_layers(network).values())).running_mean.device
    names = layer_groups(network, batches[0][:1].to(device), forward)[policy.layers] if batches else []
    layers = known_to_all(names, group)
    if not layers:
        raise BatchNormError(
            f"layers is {policy.layers!r}, but no BatchNorm layer of the network is; give patterns of names, of"
            f" {', '.join(batchnorm_layers(network))}."
        )
    return replace(policy, layers=layers)


def layer_groups(
    network: nn.Module, images: Tensor, forward: Callable[[Tensor], Any] | None = None
) -> dict[str, list[str]]:
    """Names of the BatchNorm layers by group, from the number of positions in their inputs.

    `full_resolution` are those with the most positions (first and last level of a U-Net), `encoder` those up to the
    last one with the fewest positions, in call order, and `decoder` those behind it. The network is run once on images
    (N, C, ...) and left unchanged.

    Args:
        network: any module with BatchNorm layers.
        images: (N, C, ...) on its device.
        forward: runs the network on images; the network itself by default.

    Examples:
        >>> network = nn.Sequential(nn.BatchNorm2d(1), nn.MaxPool2d(2), nn.BatchNorm2d(1), nn.Upsample(scale_factor=2))
        >>> layer_groups(network, torch.zeros(1, 1, 8, 8))
        {'full_resolution': ['0'], 'encoder': ['0', '2'], 'decoder': []}
    """
    positions: dict[str, int] = {}

    def count_positions(name: str, features: Tensor) -> None:
        positions[name] = max(positions.get(name, 0), prod(features.shape[2:]))

    with (
        torch.no_grad(),
        isolated(network),
        torch.compiler.set_stance("force_eager"),
        watched(forward or network, batchnorm_layers(network), count_positions) as run,
    ):
        run(images)
    names, counts = list(positions), list(positions.values())
    most, fewest = max(counts, default=0), min(counts, default=0)
    first_of_decoder = max((index + 1 for index, count in enumerate(counts) if count == fewest), default=0)
    return {
        FULL_RESOLUTION: [name for name, count in positions.items() if count == most],
        ENCODER: names[:first_of_decoder],
        DECODER: names[first_of_decoder:],
    }
