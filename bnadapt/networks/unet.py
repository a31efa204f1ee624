"""The U-Net of Ronneberger et al. (MICCAI 2015) with BatchNorm, as is common today."""

import itertools
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from bnadapt.networks.padding import crop_to, pad_to_multiple

Normalisation = Callable[[int], nn.Module]


def double_convolution(
    in_channels: int, out_channels: int, normalisation: Normalisation = nn.BatchNorm2d
) -> nn.Sequential:
    """Two 3x3 convolutions, each followed by a normalisation and ReLU, which keep the size."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            norm1=normalisation(out_channels),
            relu1=nn.ReLU(inplace=True),
            conv2=nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            norm2=normalisation(out_channels),
            relu2=nn.ReLU(inplace=True),
        )
    )


class UNet(nn.Module):
    """U-Net with 4 poolings, transposed convolutions and skip connections.

    Layers are named in forward order: `encoder.0` to `encoder.3`, `bottleneck`, `decoder.0` to `decoder.3`, `head`. All
    but the head have two BatchNorm layers, `norm1` and `norm2`: 18 in total.

    Args:
        in_channels: image channels C.
        num_classes: classes K of the output, background included.
        base_channels: width of the first level, doubled by every level (64 gives 64 to 1024).

    Shapes:
        images (N, C, H, W) of any size, padded inside to a multiple of 16 -> logits (N, K, H, W).

    Reference:
        Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015. As
        in most later work, convolutions are padded and normalised.
    """

    poolings: ClassVar[int] = 4
    normalisation: ClassVar[Normalisation] = nn.BatchNorm2d

    def __init__(self, in_channels: int = 1, num_classes: int = 2, base_channels: int = 64) -> None:
        super().__init__()
        widths = [base_channels * 2**level for level in range(self.poolings + 1)]
        inputs = [in_channels, *widths[: self.poolings - 1]]
        level = partial(double_convolution, normalisation=self.normalisation)
        self.encoder = nn.ModuleList(map(level, inputs, widths[:-1]))
        self.pool = nn.MaxPool2d(2)
        self.bottleneck = level(widths[-2], widths[-1])
        rising = list(reversed(widths))
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(below, above, 2, stride=2) for below, above in itertools.pairwise(rising)
        )
        self.decoder = nn.ModuleList(level(2 * above, above) for above in rising[1:])
        self.head = nn.Conv2d(base_channels, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        latents, skips = self.encoded(pad_to_multiple(images, 2**self.poolings))
        return crop_to(self.decoded(latents, skips), images.shape[-2:])

    def encoded(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The bottleneck's and the encoder's latents of images; their sides must be multiples of 16."""
        latents, skips = images, []
        for level in self.encoder:
            latents = level(latents)
            skips.append(latents)
            latents = self.pool(latents)
        return self.bottleneck(latents), skips

    def decoded(self, latents: Tensor, skips: list[Tensor]) -> Tensor:
        """Logits from the latents of `encoded`."""
        for upsample, level, skip in zip(self.upsample, self.decoder, reversed(skips), strict=True):
            latents = level(torch.cat([skip, upsample(latents)], dim=1))
        return self.head(latents)


class InstanceNormUNet(UNet):
    """`UNet` with InstanceNorm in place of BatchNorm: every image is normalised by itself, with nothing to adapt.

    Args:
        in_channels: see `UNet`.
        num_classes: see `UNet`.
        base_channels: see `UNet`.
    """

    normalisation: ClassVar[Normalisation] = staticmethod(partial(nn.InstanceNorm2d, affine=True))


class ReconstructionDecoder(nn.Module):
    """A decoder as wide as a U-Net's, without skip connections, that reconstructs images from the bottleneck.

    Args:
        channels: channels of the images.
        base_channels: base channels of the U-Net.

    Shapes:
        latents (N, 16 base_channels, H / 16, W / 16) -> images (N, channels, H, W), unbounded.

    Reference:
        Roels et al., "Domain adaptive segmentation in volume electron microscopy imaging", ISBI 2019 (Y-Net).
    """

    def __init__(self, channels: int = 1, base_channels: int = 64) -> None:
        super().__init__()
        rising = [base_channels * 2**level for level in range(UNet.poolings, -1, -1)]
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(below, above, 2, stride=2) for below, above in itertools.pairwise(rising)
        )
        self.levels = nn.ModuleList(double_convolution(above, above) for above in rising[1:])
        self.head = nn.Conv2d(base_channels, channels, 1)

    def forward(self, latents: Tensor) -> Tensor:
        for upsample, level in zip(self.upsample, self.levels, strict=True):
            latents = level(upsample(latents))
        return self.head(latents)
