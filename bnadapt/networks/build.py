"""Networks by name."""

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

from torch import nn

from bnadapt.errors import InputError
from bnadapt.networks.smp import SegmentationModel
from bnadapt.networks.unet import UNet


def build_network(name: str, in_channels: int, num_classes: int, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a network that maps images (N, C, H, W) to logits (N, K, H, W).

    Args:
        name: `unet`; `smp/ARCHITECTURE` for one of segmentation-models-pytorch, such as `smp/fpn`;
            or the import path of a class or function of your own, such as `my_package.MyNetwork`,
            that takes `in_channels` and `num_classes` by keyword.
        in_channels: C.
        num_classes: K.
        arguments: further keyword arguments.

    Raises:
        InputError: there is no such network, or it does not take these arguments.
    """
    make = _maker(name)
    try:
        return make(in_channels=in_channels, num_classes=num_classes, **arguments)
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(
            f"network {name} cannot be built with {dict(arguments)}: {' '.join(str(error).split())}. Check"
            " --model.network and --model.network_args."
        ) from error


def _maker(name: str) -> Callable[..., nn.Module]:
    if name == "unet":
        return UNet
    if name.startswith("smp/"):
        return partial(SegmentationModel, name.removeprefix("smp/"))
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"network {name}: not found ({error}). Give `unet`, `smp/ARCHITECTURE` such as `smp/unetplusplus`, or"
            " the import path of a class of your own."
        ) from error
