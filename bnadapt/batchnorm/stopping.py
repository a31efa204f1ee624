"""Stop when the statistics have converged."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from bnadapt.batchnorm.layers import BatchNormError
from bnadapt.batchnorm.moments import Moments


@dataclass(frozen=True)
class UntilConverged:
    """Read tiles until the standard errors of every layer's statistics are within a tolerance.

    A layer's error is the root mean square over its channels of the standard error of the mean, in standard deviations,
    or of the log-variance, whichever is larger; tiles are the unit (`Moments.standard_errors`). This holds only for
    tiles in random order: `estimate` draws tensors, arrays and volumes, and reads lists and DataLoaders without
    shuffling to the end.

    Args:
        tolerance: standard error of the worst layer at which to stop.
        min_tiles: least number of tiles; fewer are refused.
        max_tiles: number of tiles after which reading stops; unlimited by default.

    Raises:
        BatchNormError: a value is out of range.

    Examples:
        >>> UntilConverged(0.1, min_tiles=8, max_tiles=64).exhausted(64)
        True
    """

    tolerance: float = 0.1
    min_tiles: int = 8
    max_tiles: int | None = None

    def __post_init__(self) -> None:
        if not self.tolerance > 0:
            raise BatchNormError(f"tolerance is {self.tolerance}; give a standard error above 0, such as 0.1.")
        if self.min_tiles < 2:
            raise BatchNormError(f"min_tiles is {self.min_tiles}; a standard error needs at least 2 tiles.")
        if self.max_tiles is not None and self.max_tiles < self.min_tiles:
            raise BatchNormError(f"max_tiles is {self.max_tiles}, below min_tiles, {self.min_tiles}; raise it.")

    def exhausted(self, tiles: int) -> bool:
        """Whether no more tiles may be read."""
        return self.max_tiles is not None and tiles >= self.max_tiles


@dataclass
class Convergence:
    """Standard errors by number of tiles read.

    Attributes:
        tiles: number of tiles at every check.
        mean: standard error of the mean in standard deviations at every check, RMS over channels, by layer.
        log_variance: that of the log-variance, by layer.
    """

    tiles: list[int] = field(default_factory=list)
    mean: dict[str, list[float]] = field(default_factory=dict)
    log_variance: dict[str, list[float]] = field(default_factory=dict)

    @property
    def worst(self) -> list[float]:
        """Error of the worst layer at every check."""
        return [max(errors) for errors in zip(*self.mean.values(), *self.log_variance.values(), strict=True)]

    def append(self, tiles: int, layers: Mapping[str, nn.Module], moments: Mapping[str, Moments]) -> float:
        """Record a check after `tiles` tiles: moments of the inputs of BatchNorm layers, by name.

        Returns:
            The error of the worst layer.
        """
        self.tiles.append(tiles)
        of_channels = [error for name, each in moments.items() for error in each.standard_errors(layers[name].eps)]
        errors = torch.stack([error.square().mean().sqrt() for error in of_channels]).view(-1, 2).tolist()
        for name, (of_mean, of_log_variance) in zip(moments, errors, strict=True):
            self.mean.setdefault(name, []).append(of_mean)
            self.log_variance.setdefault(name, []).append(of_log_variance)
        return max(map(max, errors))
