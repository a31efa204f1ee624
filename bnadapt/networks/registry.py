"""Networks by name."""

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from bnadapt.errors import InputError
from bnadapt.networks.smp import SegmentationModel, outlined
from bnadapt.networks.unet import InstanceNormUNet, UNet

NETWORKS: dict[str, Callable[..., nn.Module]] = {"unet": UNet, "unet-instance-norm": InstanceNormUNet}
SMP = "smp/"
LAZY_BATCH = 2, 64  # images, and their side in pixels, that give lazy layers their shape


def is_import_path(name: str) -> bool:
    """Whether a network's name is an import path, and not a registered name."""
    return name not in NETWORKS and not name.startswith(SMP)


def build_network(name: str, in_channels: int, num_classes: int, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a network that maps images (N, C, H, W) to logits (N, K, H, W).

    Args:
        name: `unet` or `unet-instance-norm`; `smp/ARCHITECTURE` for one of segmentation-models-pytorch, such as
            `smp/fpn`; or the import path of your class, such as `my_package.MyNetwork`, which is called with
            `in_channels` and `num_classes` by keyword, as far as it accepts them.
        in_channels: C.
        num_classes: K.
        arguments: further keyword arguments.

    Raises:
        InputError: the network does not exist, or does not accept these arguments.

    Examples:
        >>> network = build_network("unet", 1, 2, {"base_channels": 4})
        >>> network(torch.zeros(1, 1, 50, 70)).shape
        torch.Size([1, 2, 50, 70])
    """
    return built(_maker(name), name, in_channels, num_classes, arguments)


def outlined_network(name: str, in_channels: int, num_classes: int, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a registered network for a device without memory; its weights are never fetched.

    Raises:
        InputError: the network does not accept these arguments.
    """
    make = partial(outlined, name.removeprefix(SMP)) if name.startswith(SMP) else NETWORKS[name]
    return built(make, name, in_channels, num_classes, arguments)


def built(
    make: Callable[..., nn.Module], name: str, in_channels: int, num_classes: int, arguments: Mapping[str, Any]
) -> nn.Module:
    """Call a class or function with these arguments and, as far as it accepts them, channels and classes.

    Raises:
        InputError: it does not accept these arguments.
    """
    try:
        network = make(**_accepted_arguments(make, in_channels=in_channels, num_classes=num_classes), **arguments)
        _give_shape(network, in_channels)
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(
            f"network {name} cannot be built with {dict(arguments)}: {' '.join(str(error).split())}. Check"
            " --model.network and --model.network_args."
        ) from error
    return network


def with_background(logits: Tensor, num_classes: int) -> Tensor:
    """Logits (N, K, H, W); a single logit for two classes gets a background logit of 0."""
    if num_classes == 2 and isinstance(logits, Tensor) and logits.ndim == 4 and logits.shape[1] == 1:
        return torch.cat([torch.zeros_like(logits), logits], dim=1)
    return logits


def _maker(name: str) -> Callable[..., nn.Module]:
    if name in NETWORKS:
        return NETWORKS[name]
    if name.startswith(SMP):
        return partial(SegmentationModel, name.removeprefix(SMP))
    module, _, attribute = name.rpartition(".")
    try:
        network = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        near = get_close_matches(name, [*NETWORKS, "smp/unet", "smp/unetplusplus", "smp/fpn"], 1)
        raise InputError(
            f"network {name}: not found ({error}). "
            + (f"Did you mean {near[0]}? Else give" if near else "Give")
            + " `unet`, `smp/ARCHITECTURE` such as `smp/unetplusplus`, or the import path of your class."
        ) from error
    if not (isinstance(network, type) and issubclass(network, nn.Module)):
        raise InputError(f"network {name}: is not a class of torch.nn.Module; give the import path of one.")
    return network


def _accepted_arguments(make: Callable[..., nn.Module], **arguments: int) -> dict[str, int]:
    """The arguments that a network accepts; external networks may name them differently."""
    parameters = inspect.signature(make).parameters
    takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    return {name: value for name, value in arguments.items() if takes_all or name in parameters}


@torch.no_grad()
def _give_shape(network: nn.Module, in_channels: int) -> None:
    """Run a network once to give its lazy layers their shapes."""
    if any(nn.parameter.is_lazy(each) for each in network.parameters()):
        images, side = LAZY_BATCH
        network.eval()(torch.zeros(images, in_channels, side, side))
        network.train()
