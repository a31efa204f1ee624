"""Targets that are their source up to an affine map and the shares of the classes, so that the truth is known."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bnadapt.batchnorm import ClassMoments, ProportionCorrection, adapt, estimate, measure_class_moments

NOISE = 0.3  # standard deviation of a pixel's intensity about the centre of its class
BLOCK, SIDE = 8, 64  # pixels


class NearestCentre(nn.Module):
    """Logits by the distance of a pixel's intensity, as it was in the source, from the centres of the classes."""

    def __init__(self, centres, source):
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.register_buffer("centres", torch.tensor(centres).view(1, -1, 1, 1))
        adapt(self, source, forward=self.norm)
        self.scale, self.shift = self.norm.running_var.sqrt().item(), self.norm.running_mean.item()

    def forward(self, images):
        intensity = self.norm(images) * self.scale + self.shift
        return -4 * (intensity - self.centres).square()


def drawn(shares, centres, tiles, seed, gain=1.0, offset=0.0):
    """Images (tiles, 1, h, w) of square blocks, each of one class, and their masks (tiles, h, w)."""
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.multinomial(torch.tensor(shares), tiles * (SIDE // BLOCK) ** 2, True, generator=generator)
    masks = blocks.view(tiles, SIDE // BLOCK, -1).repeat_interleave(BLOCK, 1).repeat_interleave(BLOCK, 2)
    images = torch.tensor(centres)[masks] + NOISE * torch.randn(masks.shape, generator=generator)
    return (images * gain + offset).unsqueeze(1), masks


@dataclass(frozen=True)
class Setting:
    """A source network and a target.

    Attributes:
        network: that segments the source almost without an error.
        moments: of the source.
        images: of the target.
        masks: the truth.
    """

    network: nn.Module
    moments: ClassMoments
    images: Tensor
    masks: Tensor

    def accuracy(self, proportions):
        """Share of the target's pixels that are right once statistics are corrected for proportions."""
        correction = ProportionCorrection(self.moments, proportions)
        with estimate(self.network, self.images, correction=correction).bank.applied(self.network), torch.no_grad():
            return (self.network(self.images).argmax(1) == self.masks).float().mean().item()

    @property
    def true_proportions(self):
        """(K,) of the target."""
        return [(self.masks == label).float().mean().item() for label in range(len(self.moments.pixels))]


def setting(centres, source, target, gain=1.7, offset=3.0, seed=0, tiles=8):
    """A network of a source with classes around centres, and a target with other shares."""
    images, masks = drawn(source, centres, 16, 2 * seed)
    network = NearestCentre(centres, images).eval()
    moments = measure_class_moments(network, [(images, masks)], len(centres))
    return Setting(network, moments, *drawn(target, centres, tiles, 2 * seed + 1, gain, offset))
