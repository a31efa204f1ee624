"""Any architecture and encoder of segmentation-models-pytorch, for images of any size."""

from typing import Any

from torch import Tensor, nn

from bnadapt.networks.padding import crop_to, pad_to_multiple

DEEPEST_STRIDE = 32


class SegmentationModel(nn.Module):
    """A network of segmentation-models-pytorch by name; pads its input to what its encoder can halve.

    Args:
        architecture: `unet`, `unetplusplus`, `fpn`, `deeplabv3plus`, ... as `smp.create_model` names them.
        in_channels: image channels C.
        num_classes: classes K, background included.
        encoder_name: such as `resnet18`.
        encoder_weights: none by default; `imagenet` is downloaded.
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
