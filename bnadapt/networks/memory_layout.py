"""The memory layout of a network's weights and images."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bnadapt.batchnorm.isolation import isolated

WATCHED = 2, 64  # images, and their side in pixels, that a network is watched on


def laid_out(network: nn.Module, in_channels: int) -> nn.Module:
    """A network with weights in the faster layout: channels last, unless torch may not be able to train it so.

    On CPUs, torch (2.14.1 at least) corrupts memory in the backward pass of 1 x 1 convolutions with a stride and fewer
    than 16 input channels in channels last. One forward pass shows whether the network has any, in layers or in code;
    a network that cannot be run on images of 64 x 64 pixels stays contiguous.

    Args:
        network: network of images (N, C, H, W).
        in_channels: C.
    """
    images, side = WATCHED
    watch = _CrashingConvolutions()
    try:
        with isolated(network), torch.no_grad(), watch:
            network(torch.zeros(images, in_channels, side, side))
    except Exception:  # any error of a user's network: its use will report it
        watch.found = True
    return network.to(memory_format=torch.contiguous_format if watch.found else torch.channels_last)


def memory_format(network: nn.Module) -> torch.memory_format:
    """The memory layout of a network's weights, for its images."""
    last = {"memory_format": torch.channels_last}
    weights = (each for each in network.parameters() if each.ndim == 4)
    is_last = any(each.is_contiguous(**last) and not each.is_contiguous() for each in weights)
    return torch.channels_last if is_last else torch.contiguous_format


class _CrashingConvolutions(TorchDispatchMode):
    """Watches for convolutions whose backward pass crashes in channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.found = False

    def __torch_dispatch__(
        self, operator: Any, types: Sequence[type], args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if operator is torch.ops.aten.convolution.default:
            images, weight, _, stride, *_, is_transposed, _, _ = args
            self.found |= _crashes(images, weight, stride) and not is_transposed
        return operator(*args, **(kwargs or {}))


def _crashes(images: Tensor, weight: Tensor, stride: Sequence[int]) -> bool:
    return set(weight.shape[2:]) == {1} and max(stride) > 1 and images.shape[1] < 16
