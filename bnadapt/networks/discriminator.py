"""A discriminator of class maps."""

from itertools import pairwise

from torch import nn


class MapDiscriminator(nn.Sequential):
    """Classifies the domain of class maps patch by patch: five 4x4 convolutions of stride 2, LeakyReLU, no norm.

    Args:
        channels: channels of the maps.
        base_channels: channels of the first convolution; 64 gives 64-128-256-512-1.

    Shapes:
        maps (N, channels, H, W) of at least 32 x 32 -> logits (N, 1, H / 32, W / 32).

    Reference:
        Haq and Huang, "Adversarial domain adaptation for cell segmentation", MIDL 2020 (CellSegUDA).
    """

    def __init__(self, channels: int = 1, base_channels: int = 64) -> None:
        widths = [channels, *(base_channels * 2**level for level in range(4))]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        super().__init__(*layers, nn.Conv2d(widths[-1], 1, 4, stride=2, padding=1))
