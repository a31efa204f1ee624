"""Learn scale and shift of BatchNorm layers on a target by the entropy of what the network predicts (TENT)."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bnadapt.batchnorm.isolation import isolated
from bnadapt.batchnorm.layers import batchnorm_layers


def minimise_entropy(
    network: nn.Module,
    batches: Iterable[Tensor],
    *,
    learning_rate: float = 1e-3,
    forward: Callable[[Tensor], Tensor] | None = None,
) -> list[float]:
    """Change scale and shift of all BatchNorm layers so that predictions on the target become more certain.

    A step of Adam for every batch, on the mean over pixels of -sum_k p_k log p_k, while the layers normalise by the
    batch at hand. Running statistics and all other weights stay as they are; re-estimate the statistics afterwards, for
    what reaches every layer but the first has changed.

    Args:
        network: with BatchNorm layers.
        batches: images (N, C, ...) of the target on the network's device.
        learning_rate: of Adam.
        forward: runs the network on a batch and gives logits (N, K, ...); the network itself by default.

    Returns:
        The entropy, in nats per pixel, of every batch before its step.

    Raises:
        NoBatchNormError: the network has no BatchNorm statistics.

    Reference:
        Wang, Shelhamer, Liu, Olshausen, Darrell, "Tent: fully test-time adaptation by entropy minimization", ICLR 2021.

    Examples:
        >>> network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
        >>> entropies = minimise_entropy(network, [torch.rand(4, 1, 8, 8)] * 20, learning_rate=0.1)
        >>> entropies[-1] < entropies[0]
        True
    """
    layers = batchnorm_layers(network).values()
    scales = [parameter for layer in layers for parameter in (layer.weight, layer.bias) if parameter is not None]
    entropies = []
    with isolated(network), _trained_alone(network, scales):
        for layer in layers:
            layer.training = True
        optimizer = torch.optim.Adam(scales, lr=learning_rate)
        for images in batches:
            log_probabilities = (forward or network)(images).float().log_softmax(1)
            entropy = -(log_probabilities.exp() * log_probabilities).sum(1).mean()
            optimizer.zero_grad()
            entropy.backward()
            optimizer.step()
            entropies.append(entropy.item())
        optimizer.zero_grad()
    return entropies


@contextmanager
def _trained_alone(network: nn.Module, parameters: list[nn.Parameter]) -> Iterator[None]:
    """Gradients of these parameters only."""
    needed: dict[Any, bool] = {each: each.requires_grad for each in network.parameters()}
    try:
        network.requires_grad_(False)
        for each in parameters:
            each.requires_grad_(True)
        with torch.enable_grad():
            yield
    finally:
        for each, need in needed.items():
            each.requires_grad_(need)
