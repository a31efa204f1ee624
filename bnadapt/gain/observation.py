"""Outputs of a network on tiles of a domain: latents, logits, and their stability under small changes."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from bnadapt.adaptation import NetworkRunner
from bnadapt.batchnorm import Bank
from bnadapt.batchnorm.isolation import isolated
from bnadapt.batchnorm.layers import named_modules
from bnadapt.errors import InputError
from bnadapt.gain.latent_summaries import LatentSummary, Summaries, compared_layers

BATCH = 8  # tiles that run together
DROPOUTS, DROPPED = 2, 0.4  # repetitions (AETTA has 10, on fewer pixels), and rate


@dataclass(frozen=True, eq=False)
class Observation:
    """Outputs of a network on tiles of a domain, with one bank of statistics.

    Attributes:
        images: (n, C, h, w) float32 on the CPU, as given.
        logits: (n, K, h, w) float32 on the CPU.
        flipped: logits of the images turned by 180 degrees, turned back.
        disagreement: share of the pixels whose class changes by dropout in front of the network's last layer.
        latents: by layer.
    """

    images: Tensor
    logits: Tensor
    flipped: Tensor
    disagreement: float
    latents: Summaries

    @cached_property
    def classes(self) -> Tensor:
        """(n, h, w) predicted."""
        return self.logits.argmax(1)

    @cached_property
    def probabilities(self) -> Tensor:
        """(n, K, h, w) predicted."""
        return self.logits.softmax(1)


def observe(runner: NetworkRunner, tiles: Tensor, bank: Bank | None = None) -> Observation:
    """Run a network on tiles; it is left unchanged.

    Args:
        runner: the network.
        tiles: (n, C, h, w).
        bank: statistics; the source's by default.

    Raises:
        InputError: the network does not return logits (N, K, h, w).
        DistanceError: latents are not finite.
    """
    logits: list[Tensor] = []
    with _LastLayer(runner.network) as last:

        def recorded(images: Tensor) -> None:
            logits.append(_logits(runner, images))
            last.drop()

        watched = NetworkRunner(
            runner.network, recorded, runner.source_bank, runner.positions_per_tile, compared_layers(runner.network)
        )
        sketched = watched.sketch([{"image": part} for part in tiles.split(BATCH)], bank)
    latents = {layer: LatentSummary.of(sketch.distribution()) for layer, sketch in sketched.sketches.items()}
    flipped = logits_under(runner, tiles.flip((-2, -1)), bank).flip((-2, -1))
    return Observation(tiles.cpu(), torch.cat(logits), flipped, last.disagreement, latents)


def logits_under(runner: NetworkRunner, tiles: Tensor, bank: Bank | None = None) -> Tensor:
    """Logits (n, K, h, w) of tiles (n, C, h, w) under a bank (the source's by default), float32 on the CPU.

    The network is left unchanged.

    Raises:
        InputError: the network does not return logits (N, K, h, w).
    """
    device = next(runner.network.parameters()).device
    with isolated(runner.network), (bank or runner.source_bank).applied(runner.network):
        return torch.cat([_logits(runner, part.to(device)) for part in tiles.split(BATCH)])


@torch.no_grad()
def _logits(runner: NetworkRunner, images: Tensor) -> Tensor:
    logits = runner.forward(images)
    if not isinstance(logits, Tensor) or logits.ndim != 4 or logits.shape[-2:] != images.shape[-2:]:
        raise InputError(
            "The network gives no logits (N, K, h, w) of the images' height and width, which a verdict rests on; wrap"
            " it in a module that does."
        )
    return logits.float().cpu()


class _LastLayer:
    """Runs the last layer that a network calls once more, with dropout in front of it; a context, with hooks."""

    def __init__(self, network: nn.Module) -> None:
        self.layers = [each for _, each in named_modules(network) if not list(each.children()) and _has_weights(each)]
        self.handles: list[Any] = []
        self.last: tuple[nn.Module, Tensor] | None = None
        self.generator = torch.Generator().manual_seed(0)
        self.changed = self.pixels = 0

    def __enter__(self) -> "_LastLayer":
        self.handles = [layer.register_forward_pre_hook(self._take) for layer in self.layers]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()
        self.last = None

    @torch.no_grad()
    def drop(self) -> None:
        """Count the pixels of the last batch whose class changes."""
        layer, latents = self.last
        before = layer.forward(latents).argmax(1)
        for _ in range(DROPOUTS):
            kept = (torch.rand(latents.shape, generator=self.generator) >= DROPPED).to(latents)
            self.changed += int((layer.forward(latents * kept / (1 - DROPPED)).argmax(1) != before).sum())
            self.pixels += before.numel()

    @property
    def disagreement(self) -> float:
        """Share of the pixels whose class changed."""
        return self.changed / self.pixels

    def _take(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            self.last = layer, inputs[0].to(next(layer.parameters()).dtype)  # whatever autocast has made of it


def _has_weights(module: nn.Module) -> bool:
    return next(module.parameters(recurse=False), None) is not None
