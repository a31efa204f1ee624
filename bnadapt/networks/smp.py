"""Any architecture and encoder of segmentation-models-pytorch, for images of any size."""

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bnadapt.errors import InputError
from bnadapt.networks.padding import crop_to, pad_to_multiple

DEEPEST_STRIDE = 32
DOWNLOADED = "encoder_weights"  # the argument that names weights to download


class SegmentationModel(nn.Module):
    """A network of segmentation-models-pytorch by name; pads its input to a multiple of the encoder's stride.

    Args:
        architecture: `unet`, `unetplusplus`, `fpn`, `deeplabv3plus`, ... as `smp.create_model` names them.
        in_channels: image channels C.
        num_classes: classes K, background included.
        encoder_name: encoder, such as `resnet18`.
        encoder_weights: pretrained weights; none by default; `imagenet` is downloaded.
        **options: further arguments of the architecture.

    Shapes:
        images (N, C, H, W) of any size -> logits (N, K, H, W).
    """

    def __init__(
        self,
        architecture: str,
        in_channels: int = 1,
        num_classes: int = 2,
        encoder_name: str = "resnet34",
        encoder_weights: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        import segmentation_models_pytorch

        self.model = segmentation_models_pytorch.create_model(
            architecture,
            encoder_name=encoder_name,
            encoder_weights=encoder_weights,
            in_channels=in_channels,
            classes=num_classes,
            **options,
        )

    def forward(self, images: Tensor) -> Tensor:
        return crop_to(self.model(pad_to_multiple(images, DEEPEST_STRIDE)), images.shape[-2:])


def outlined(architecture: str, in_channels: int, num_classes: int, **arguments: Any) -> nn.Module:
    """The module inside a `SegmentationModel`, built by its class without downloading weights.

    Raises:
        KeyError: the architecture does not exist.
    """
    import segmentation_models_pytorch

    make = segmentation_models_pytorch.MODEL_ARCHITECTURES_MAPPING[architecture.lower()]
    model = make(**arguments, encoder_weights=None, in_channels=in_channels, classes=num_classes)
    return nn.ModuleDict({"model": model})


def arguments_without_download(architecture: str, arguments: Mapping[str, Any], source: Path | str) -> dict[str, Any]:
    """The arguments of a network as a file states them, without weights to download.

    Args:
        architecture: see `SegmentationModel`.
        arguments: further arguments, as the file states them.
        source: the file, for messages.

    Raises:
        InputError: the encoder is not installed, or an argument does not belong to the architecture and could make the
            encoder read another file.
    """
    import segmentation_models_pytorch

    encoder = arguments.get("encoder_name", "resnet34")
    if not _is_installed(encoder):
        raise InputError(
            f"{source}: names the encoder {encoder}, which neither segmentation-models-pytorch nor timm has; a file"
            " may name no other."
        )
    make = segmentation_models_pytorch.MODEL_ARCHITECTURES_MAPPING.get(architecture.lower())
    accepted = inspect.signature(make).parameters if make else {}
    for name, value in arguments.items():
        if name not in accepted and not isinstance(value, bool | int | float):
            raise InputError(
                f"{source}: gives the network smp/{architecture} the argument {name}, which it does not take from a"
                " file; leave it out."
            )
    return {name: value for name, value in arguments.items() if name != DOWNLOADED}


def _is_installed(encoder: object) -> bool:
    import timm
    from segmentation_models_pytorch.encoders import encoders

    if not isinstance(encoder, str) or encoder in encoders:
        return isinstance(encoder, str)
    name = re.fullmatch(r"(tu|timm)-([\w.-]+)", encoder)
    return name is not None and any(timm.is_model(prefix + name[2]) for prefix in ("", "tf_"))
