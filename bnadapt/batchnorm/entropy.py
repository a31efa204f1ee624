"""Learn scale and shift of BatchNorm layers by minimising the entropy of predictions on a target (TENT)."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bnadapt.batchnorm.isolation import isolated
from bnadapt.batchnorm.layers import StatisticsError, batchnorm_layers


def minimise_entropy(
    network: nn.Module,
    batches: Iterable[Tensor],
    *,
    learning_rate: float = 1e-3,
    forward: Callable[[Tensor], Tensor] | None = None,
) -> list[float]:
    """Change scale and shift of all BatchNorm layers to make predictions on the target more certain.

    One Adam step per batch on the mean over pixels of -sum_k p_k log p_k, while the layers normalise by the batch.
    Running statistics and all other weights stay; re-estimate the statistics afterwards, since the inputs of all but
    the first layer have changed. After an exception scale and shift are restored.

    Args:
        network: network with BatchNorm layers.
        batches: images (N, C, ...) of the target on the network's device.
        learning_rate: learning rate of Adam.
        forward: runs the network on a batch and returns logits (N, K, ...); the network itself by default.

    Returns:
        The entropy of every batch before its step, in nats per pixel.

    Raises:
        NoBatchNormError: the network has no BatchNorm statistics.
        StatisticsError: its layers have neither scale nor shift, it was created in torch's inference mode, or it does
            not return finite logits of two or more classes.

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
    if not scales:
        raise StatisticsError(
            "The BatchNorm layers of this network have neither scale nor shift (affine=False), so there is nothing to"
            " learn; re-estimate their statistics instead."
        )
    if any(each.is_inference() for each in network.parameters()):
        raise StatisticsError(
            "The network was created in torch's inference mode, in which nothing can be learnt; create it outside of"
            " that mode, or take copy.deepcopy of it."
        )
    entropies = []
    with torch.inference_mode(False), isolated(network), _training_only(network, scales):
        for layer in layers:
            layer.training = True
        optimizer = torch.optim.Adam(scales, lr=learning_rate)
        for images in batches:
            entropy = _entropy((forward or network)(images.clone() if images.is_inference() else images))
            optimizer.zero_grad()
            entropy.backward()
            optimizer.step()
            entropies.append(entropy.item())
        optimizer.zero_grad()
    return entropies


def _entropy(logits: Any) -> Tensor:
    """Mean entropy over pixels of logits (N, K, ...); refuses outputs that are not finite logits with gradients."""
    if not isinstance(logits, Tensor) or logits.ndim < 2 or logits.shape[1] < 2:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise StatisticsError(
            f"The network gives {shape} and not logits (N, K, ...) of two or more classes; give a `forward` that does."
        )
    if not logits.requires_grad:
        raise StatisticsError("The network runs without gradients; give a `forward` that is not under torch.no_grad.")
    log_probabilities = logits.float().log_softmax(1)
    entropy = -(log_probabilities.exp() * log_probabilities).sum(1).mean()
    if not entropy.isfinite():
        raise StatisticsError(
            "The network's logits are NaN or infinite; look at the images, at the weights, and take a lower"
            " learning_rate."
        )
    return entropy


@contextmanager
def _training_only(network: nn.Module, parameters: list[nn.Parameter]) -> Iterator[None]:
    """Require gradients of these parameters only, and restore their values after an exception."""
    needed: dict[Any, bool] = {each: each.requires_grad for each in network.parameters()}
    values = [each.detach().clone() for each in parameters]
    try:
        with torch.enable_grad():
            network.requires_grad_(False)
            for each in parameters:
                each.requires_grad_(True)
            yield
    except BaseException:
        with torch.no_grad():
            for each, value in zip(parameters, values, strict=True):
                each.copy_(value)
        raise
    finally:
        for each, need in needed.items():
            each.requires_grad_(need)
