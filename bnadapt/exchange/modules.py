"""Modules for other programs, from images to class probabilities."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bnadapt.exchange.fixed_scaling import FixedScaling
from bnadapt.networks import build_network, with_background
from bnadapt.networks.trust import accepted, outline


class Probabilities(nn.Module):
    """Class probabilities (N, K, H, W) of scaled images (N, C, H, W), from a network that returns logits."""

    def __init__(self, network: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.network = network
        self.num_classes = num_classes

    def forward(self, images: Tensor) -> Tensor:
        """Run the network."""
        return with_background(self.network(images), self.num_classes).softmax(1)


class PixelProbabilities(nn.Module):
    """Class probabilities of pixels (N, C, H, W) float32 with a file's values, which are scaled first."""

    def __init__(self, probabilities: nn.Module, scaling: FixedScaling) -> None:
        super().__init__()
        self.probabilities = probabilities
        self.register_buffer("gain", torch.tensor(scaling.gain, dtype=torch.float32)[:, None, None])
        self.register_buffer("offset", torch.tensor(scaling.offset, dtype=torch.float32)[:, None, None])
        self.bounds = (scaling.low, scaling.high) if scaling.is_clipped else None

    def forward(self, pixels: Tensor) -> Tensor:
        """Scale the pixels and run the network."""
        scaled = self.gain * pixels + self.offset
        return self.probabilities(scaled if self.bounds is None else scaled.clamp(*self.bounds))


def probabilities_of(network: str, in_channels: int, num_classes: int, arguments: Mapping[str, Any]) -> Probabilities:
    """Build a registered network named by a package of bioimage.io; refuses others, see `bnadapt.networks.trust`."""
    stated = {"network": network, "network_args": arguments, "in_channels": in_channels, "num_classes": num_classes}
    parameters = accepted(stated, "the package")
    outline(parameters)
    built = build_network(network, in_channels, num_classes, parameters["network_args"] or {})
    return Probabilities(built, num_classes)
