"""Mean and variance of a stream, pooled exactly, with standard errors from tile to tile."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bnadapt.batchnorm.mixture import mixed
from bnadapt.batchnorm.tile_moments import tile_moments


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and population variance of every channel, in float64, and how much tiles differ in both.

    Attributes:
        count: values per channel.
        tiles: images, or slices of the first axis, that they come from.
        mean: (C,).
        variance: (C,), the mean squared deviation from `mean`.
        spread: (3, C), over tiles, weighted by their values: variance of the tile's mean m, covariance
            of m and q, variance of q, where q is the tile's mean squared deviation from `mean`.

    Examples:
        >>> features = torch.arange(8.0).reshape(4, 1, 2)
        >>> one, other = (Moments.of(part) for part in features.split([1, 3]))
        >>> both = one.merged(other)
        >>> both.mean.item(), both.variance.item(), both.tiles
        (3.5, 5.25, 4)
    """

    count: int
    tiles: int
    mean: Tensor
    variance: Tensor
    spread: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Moments":
        """Moments of features (N, C, ...) over all axes but the channels; N counts tiles."""
        return cls.of_tiles(*tile_moments(features), features[0, 0].numel())

    @classmethod
    def of_tiles(cls, means: Tensor, variances: Tensor, pixels: int) -> "Moments":
        """Moments of tiles of equal size.

        Args:
            means: (N, C) of the tiles, float64.
            variances: of the tiles, like their means.
            pixels: values per tile and channel.
        """
        mean = means.mean(0)
        deviation = means - mean
        squared = deviation.square()
        excess = variances + squared
        variance = excess.mean(0)
        excess = excess - variance
        spread = torch.stack([squared, deviation * excess, excess.square()]).mean(1)
        return cls(len(means) * pixels, len(means), mean, variance, spread)

    def merged(self, other: "Moments") -> "Moments":
        """Moments of both streams together.

        By the law of total variance, in the form of Chan, Golub and LeVeque (1983): with shares
        w = n1 / n and 1 - w, variance = w v1 + (1 - w) v2 + w (1 - w) (m1 - m2)^2. The spread follows
        the same law once both sides measure q about the common mean.
        """
        count = self.count + other.count
        share = self.count / count
        mean, variance = mixed(self.mean, self.variance, other.mean, other.variance, share)
        between = self.mean - other.mean
        spreads, squares = zip(*(each._about(mean) for each in (self, other)), strict=True)
        gap = squares[0] - squares[1]
        spread = share * spreads[0] + (1 - share) * spreads[1]
        spread = spread + share * (1 - share) * torch.stack([between.square(), between * gap, gap.square()])
        return Moments(count, self.tiles + other.tiles, mean, variance, spread)

    def standard_errors(self, eps: float = 0.0) -> tuple[Tensor, Tensor]:
        """Standard errors of the mean, in standard deviations, and of the logarithm of the variance.

        Tiles are the unit, because neighbouring pixels correlate, and are taken as equally large and
        independently drawn: SE(mean)^2 = Var(m) / (K - 1) for K tiles, and to first order
        SE(log variance)^2 = Var(q) / (K - 1) / variance^2.

        Args:
            eps: added to the variance in both denominators, such as a layer's own, so that channels without signal
                do not count.

        Returns:
            Two (C,) tensors, infinite for a single tile.
        """
        if self.tiles < 2:
            return torch.full_like(self.mean, torch.inf), torch.full_like(self.mean, torch.inf)
        variance = self.variance + eps
        return (
            (self.spread[0] / (self.tiles - 1) / variance).sqrt(),
            (self.spread[2].clamp(min=0) / (self.tiles - 1)).sqrt() / variance,
        )

    def split(self, channels: Sequence[int], pixels: Sequence[int]) -> list["Moments"]:
        """The parts of moments that stand side by side.

        Args:
            channels: of every part.
            pixels: values per tile and channel of every part.
        """
        parts = zip(*(each.split(list(channels), -1) for each in (self.mean, self.variance, self.spread)), strict=True)
        return [Moments(self.tiles * size, self.tiles, *part) for size, part in zip(pixels, parts, strict=True)]

    def _about(self, centre: Tensor) -> tuple[Tensor, Tensor]:
        """Spread (3, C) and mean (C,) of q, were q measured about another centre than the mean."""
        shift = self.mean - centre
        means, both, squares = self.spread
        spread = torch.stack([means, both + 2 * shift * means, squares + 4 * shift * (both + shift * means)])
        return spread, self.variance + shift.square()
