"""BatchNorm statistics that follow a target while a network's weights change."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bnadapt.batchnorm import Bank, batchnorm_layers, estimate

PASSES, PRECISE = 6, 1e-3  # most passes over the tiles to fit offsets, and their tolerance in standard deviations


class RelativeStatistics:
    """Statistics of layers as a function of those of a target's tiles, which change with the weights.

    At the start a layer holds mean M and standard deviation S, and its input on the tiles has mean m and standard
    deviation s. When these become m' and s', its statistics become

        M' = m' + s' (M - m) / s + a (m_s - m')
        S' = s' (S / s) (s_s / s')^b

    So statistics estimated on the tiles stay theirs, and those of the source stay as far from theirs as at the start.
    The mixing coefficients a and b of each layer are 0 unless they are learnt; if the statistics are the tiles' own, 1
    gives the source's, m_s and s_s (LCCS, arXiv 2205.15234, which mixes deviations linearly).

    Args:
        network: network with the statistics of the start.
        forward: runs it on a batch.
        tiles: (n, C, h, w) of the target.
        source: the source's statistics.

    Attributes:
        coefficients: (L, 2), a and b of every layer.

    Raises:
        BatchNormError: as for `bnadapt.batchnorm.estimate`.
    """

    def __init__(self, network: nn.Module, forward: Callable[[Tensor], Any], tiles: Tensor, source: Bank) -> None:
        self.network = network
        self.forward = forward
        self.tiles = tiles
        self.layers = batchnorm_layers(network)
        self.numbers = {name: number for number, name in enumerate(self.layers)}
        device = next(iter(self.layers.values())).running_mean.device
        self.coefficients = nn.Parameter(torch.zeros(len(self.layers), 2, device=device))
        self._source = self._log_deviations(source)
        self._fit_offsets(Bank.of(network))

    def corrected(self, name: str, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Statistics (C,) of a layer, from those of the tiles."""
        of_mean, of_deviation = self.coefficients[self.numbers[name]].to(mean)
        source_mean, source_log = (each.to(mean) for each in self._source[name])
        offset, log_ratio = (each.to(mean) for each in (self.offset[name], self.log_ratio[name]))
        eps = self.layers[name].eps
        log_deviation = (variance + eps).log() / 2
        placed = mean + log_deviation.exp() * offset + of_mean * (source_mean - mean)
        log_placed = log_deviation + log_ratio + of_deviation * (source_log - log_deviation)
        return placed, ((2 * log_placed).exp() - eps).clamp(min=0)

    @torch.no_grad()
    def estimated(self) -> Bank:
        """The statistics for all tiles under the network's current weights."""
        return estimate(self.network, self.tiles, forward=self.forward, correction=self).bank

    @contextmanager
    def of_first(self, count: int) -> Iterator[None]:
        """Let the layers normalise by the first images of a batch, with gradients."""
        for name, layer in self.layers.items():
            layer.forward = partial(self._normalised, name, layer, count)
        try:
            yield
        finally:
            for layer in self.layers.values():
                del layer.forward

    def __str__(self) -> str:
        return "relative to the start"

    def _normalised(self, name: str, layer: nn.Module, count: int, features: Tensor) -> Tensor:
        values = features[:count].float().movedim(1, -1).flatten(0, -2)
        mean = values.mean(0)
        variance = (values - mean).square().mean(0)  # torch.var_mean takes four times as long
        mean, variance = self.corrected(name, mean, variance)
        scale, shift = (variance + layer.eps).rsqrt(), -mean * (variance + layer.eps).rsqrt()
        if layer.affine:
            scale, shift = scale * layer.weight, shift * layer.weight + layer.bias
        shape = (1, -1, *[1] * (features.ndim - 2))
        return features * scale.view(shape).to(features.dtype) + shift.view(shape).to(features.dtype)

    def _fit_offsets(self, start: Bank) -> None:
        """Find, layer by layer, the offsets from the tiles' statistics that reproduce the start."""
        at_start = self._log_deviations(start)
        self.offset = {name: torch.zeros_like(mean) for name, (mean, _) in at_start.items()}
        self.log_ratio = {name: torch.zeros_like(mean) for name, (mean, _) in at_start.items()}
        for _ in range(PASSES):
            estimated, worst = self._log_deviations(self.estimated()), 0.0
            for name, (mean, log_deviation) in estimated.items():
                tile_log_deviation = log_deviation - self.log_ratio[name]
                tile_mean = mean - tile_log_deviation.exp() * self.offset[name]
                self.log_ratio[name] = at_start[name][1] - tile_log_deviation
                self.offset[name] = (at_start[name][0] - tile_mean) / tile_log_deviation.exp()
                worst = max(worst, float(((mean - at_start[name][0]) / tile_log_deviation.exp()).abs().max()))
            if worst < PRECISE:
                return

    def _log_deviations(self, bank: Bank) -> Mapping[str, tuple[Tensor, Tensor]]:
        """Means and log standard deviations by layer."""
        return {
            name: (bank.mean[name], (bank.variance[name] + layer.eps).log() / 2) for name, layer in self.layers.items()
        }
