"""Summaries of latents small enough for a checkpoint, and distances between those of two domains."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bnadapt.distances import Distribution, gaussian, latent_spaces
from bnadapt.distances.clouds import directions
from bnadapt.distances.gaussian import Gaussian

WIDTH = 64  # channels, or directions, kept per layer
LAYERS = 10  # at most, spread over the network
SMALLEST = 1e-6  # Frechet distance that counts as zero; within a domain it is 0.01


@dataclass(frozen=True, eq=False)
class LatentSummary:
    """Moments of the latents of a layer along its C channels, or along 64 directions if it has more.

    Attributes:
        gaussian: mean (D,) and covariance (D, D).
        skewness: (D,), third standardised moment.
    """

    gaussian: Gaussian
    skewness: Tensor

    @classmethod
    def of(cls, distribution: Distribution) -> "LatentSummary":
        """Summary of a sketched sample of latents, on the CPU."""
        mean, covariance = distribution.gaussian.mean[0].cpu(), distribution.gaussian.covariance[0].cpu()
        width, skewness = distribution.width, _skewness(distribution).cpu()
        if width <= WIDTH:
            return cls(Gaussian(mean, covariance), skewness[:width])
        basis = directions(width, WIDTH).to(mean)
        return cls(Gaussian(basis.T @ mean, basis.T @ covariance @ basis), skewness[width:])

    def state_dict(self) -> dict[str, Tensor]:
        """Plain tensors, float32."""
        parts = {"mean": self.gaussian.mean, "covariance": self.gaussian.covariance, "skewness": self.skewness}
        return {name: each.float() for name, each in parts.items()}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> "LatentSummary":
        """Restore a summary from `state_dict`."""
        mean, covariance, skewness = (state[name].double() for name in ("mean", "covariance", "skewness"))
        return cls(Gaussian(mean, covariance), skewness)


Summaries = Mapping[str, LatentSummary]


def compared_layers(network: nn.Module) -> list[str]:
    """Names of the modules whose latents are compared: at most ten of those that contain BatchNorm layers.

    If there are fewer than three, the BatchNorm layers themselves.

    Raises:
        DistanceError: the network has no BatchNorm layer.
    """
    spaces = latent_spaces(network)
    stages = [name for name, module in spaces.items() if not isinstance(module, _BatchNorm)]
    return _spread(stages if len(stages) >= 3 else list(spaces))


def log_frechet(source: Summaries, target: Summaries) -> float:
    """Mean over layers of the natural logarithm of the Frechet distance (`bnadapt.distances.gaussian.frechet`)."""
    return _mean(source, target, _log_frechet)


def correlation_mismatch(source: Summaries, target: Summaries) -> float:
    """Mean over layers of the root mean square difference of correlations between channels (CORAL, Sun et al. 2016)."""
    return _mean(source, target, lambda one, other: _root_mean_square(_correlations(one) - _correlations(other)))


def skewness_difference(source: Summaries, target: Summaries) -> float:
    """Mean over layers of the mean absolute difference of the channels' skewness."""
    return _mean(source, target, lambda one, other: float((one.skewness - other.skewness).abs().mean()))


def frechet_by_layer(source: Summaries, target: Summaries) -> list[float]:
    """Natural logarithm of the Frechet distance of every layer, in order of definition."""
    return [_log_frechet(source[layer], target[layer]) for layer in source]


def bottleneck_bhattacharyya(source: Summaries, target: Summaries) -> float:
    """Natural logarithm of the Bhattacharyya distance in the middle layer (Stenger et al. 2023: the bottleneck)."""
    layer = list(source)[len(source) // 2]
    distance = gaussian.bhattacharyya(source[layer].gaussian, target[layer].gaussian)
    return float(distance.clamp(min=SMALLEST).log())


def _log_frechet(source: LatentSummary, target: LatentSummary) -> float:
    return float(gaussian.frechet(source.gaussian, target.gaussian).clamp(min=SMALLEST).log())


def _correlations(summary: LatentSummary) -> Tensor:
    std = summary.gaussian.std
    return summary.gaussian.covariance / std.unsqueeze(-1) / std.unsqueeze(-2)


def _root_mean_square(values: Tensor) -> float:
    return float(values.square().mean().sqrt())


def _mean(source: Summaries, target: Summaries, measure: Callable[[LatentSummary, LatentSummary], float]) -> float:
    return sum(measure(source[layer], target[layer]) for layer in source) / len(source)


def _skewness(distribution: Distribution) -> Tensor:
    """(C + 64,) along channels and directions; zero without variance."""
    axes = distribution.axes
    edges = axes.bins.edges
    values, shares = (edges[:, 1:] + edges[:, :-1]) / 2, axes.shares()[0]
    centred = values - (shares * values).sum(1, keepdim=True)
    variance = (shares * centred.square()).sum(1)
    cubes = (shares * centred.pow(3)).sum(1)
    return torch.where(variance > 0, cubes / variance.clamp(min=torch.finfo(variance.dtype).tiny).pow(1.5), 0.0)


def _spread(names: Sequence[str]) -> list[str]:
    if len(names) <= LAYERS:
        return list(names)
    chosen = {round(index * (len(names) - 1) / (LAYERS - 1)) for index in range(LAYERS)}
    return [names[index] for index in sorted(chosen)]
