"""The U-Net of Ronneberger et al. (MICCAI 2015) with BatchNorm, as the field uses it."""

import itertools
from collections import OrderedDict

import torch
from torch import Tensor, nn

from bnadapt.networks.padding import crop_to, pad_to_multiple


def double_convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two 3x3 convolutions, each followed by BatchNorm and ReLU; the size stays."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            norm1=nn.BatchNorm2d(out_channels),
            relu1=nn.ReLU(inplace=True),
            conv2=nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            norm2=nn.BatchNorm2d(out_channels),
            relu2=nn.ReLU(inplace=True),
        )
    )


class UNet(nn.Module):
    """U-Net with 4 poolings, transposed convolutions and skip connections.

    Layers are named along the data's way: `encoder.0` to `encoder.3`, `bottleneck`, `decoder.0` to
    `decoder.3`, `head`; each has two BatchNorm layers, `norm1` and `norm2`, so there are 18.

    Args:
        in_channels: image channels C.
        num_classes: classes K of the output, background included.
        base_channels: width of the first level; every level doubles it (64 gives 64 to 1024).

    Shapes:
        images (N, C, H, W) of any size, padded inside to a multiple of 16 -> logits (N, K, H, W).

    Reference:
        Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image
        Segmentation", MICCAI 2015. As in most later work, convolutions are padded and normalised.
    """

    poolings = 4

    def __init__(self, in_channels: int = 1, num_classes: int = 2, base_channels: int = 64) -> None:
        super().__init__()
        widths = [base_channels * 2**level for level in range(self.poolings + 1)]
        inputs = [in_channels, *widths[: self.poolings - 1]]
        self.encoder = nn.ModuleList(map(double_convolution, inputs, widths[:-1]))
        self.pool = nn.MaxPool2d(2)
        self.bottleneck = double_convolution(widths[-2], widths[-1])
        rising = list(reversed(widths))
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(below, above, 2, stride=2) for below, above in itertools.pairwise(rising)
        )
        self.decoder = nn.ModuleList(double_convolution(2 * above, above) for above in rising[1:])
        self.head = nn.Conv2d(base_channels, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        latents = pad_to_multiple(images, 2**self.poolings)
        skips = []
        for level in self.encoder:
            latents = level(latents)
            skips.append(latents)
            latents = self.pool(latents)
        latents = self.bottleneck(latents)
        for upsample, level in zip(self.upsample, self.decoder, strict=True):
            latents = level(torch.cat([skips.pop(), upsample(latents)], dim=1))
        return crop_to(self.head(latents), images.shape[-2:])
