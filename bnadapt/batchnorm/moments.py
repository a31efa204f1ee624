"""Mean and variance of a stream, pooled exactly, with standard errors over tiles."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

ROWS = 256  # values that are added up in float32; the rest is float64
WIDTH = 1024  # parallel sums: they fit into the fastest cache, and ROWS times as many values into the next
CANCELLATION = 16.0  # |mean| / standard deviation above which float32 loses precision
HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and population variance of every channel in float64, and how much both vary between tiles.

    Attributes:
        count: values per channel.
        tiles: number of images, or slices of the first axis, behind them.
        mean: (C,).
        variance: (C,), mean squared deviation from `mean`.
        spread: (3, C), over tiles, weighted by their values: variance of the tile's mean m, covariance of m and q, and
            variance of q, where q is the tile's mean squared deviation from `mean`.

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
        """Moments of tiles of equal size, from their means and variances (N, C) float64 and the pixels of each."""
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

        By the law of total variance in the form of Chan, Golub and LeVeque (1983): with shares w = n1 / n and 1 - w,
        variance = w v1 + (1 - w) v2 + w (1 - w) (m1 - m2)^2. The spread follows the same law once both sides measure q
        about the common mean.
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
        """Standard errors (C,) of the mean, in standard deviations, and of the log-variance; infinite for one tile.

        Tiles are the unit, because neighbouring pixels correlate, and count as equally large and independently drawn:
        SE(mean)^2 = Var(m) / (K - 1) for K tiles, and to first order SE(log variance)^2 = Var(q) / (K - 1) /
        variance^2.

        Args:
            eps: added to the variance in both denominators, such as the layer's, so that channels without signal do not
                count.
        """
        if self.tiles < 2:
            return torch.full_like(self.mean, torch.inf), torch.full_like(self.mean, torch.inf)
        variance = self.variance + eps
        return (
            (self.spread[0] / (self.tiles - 1) / variance).sqrt(),
            (self.spread[2].clamp(min=0) / (self.tiles - 1)).sqrt() / variance,
        )

    def split(self, channels: Sequence[int], pixels: Sequence[int]) -> list["Moments"]:
        """Split along the channels.

        Args:
            channels: number of channels of every part.
            pixels: values per tile and channel of every part.
        """
        parts = zip(*(each.split(list(channels), -1) for each in (self.mean, self.variance, self.spread)), strict=True)
        return [Moments(self.tiles * size, self.tiles, *part) for size, part in zip(pixels, parts, strict=True)]

    def _about(self, centre: Tensor) -> tuple[Tensor, Tensor]:
        """Spread (3, C) and mean (C,) of q, if q were measured about another centre than the mean."""
        shift = self.mean - centre
        means, both, squares = self.spread
        spread = torch.stack([means, both + 2 * shift * means, squares + 4 * shift * (both + shift * means)])
        return spread, self.variance + shift.square()


def mixed(mean1: Tensor, variance1: Tensor, mean2: Tensor, variance2: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Mean and variance (C,) of the mixture of two distributions, by the law of total variance.

    The first has the given weight, 0 to 1.
    """
    distance = mean1 - mean2
    mean = mean2 + weight * distance
    variance = weight * variance1 + (1 - weight) * variance2 + weight * (1 - weight) * distance**2
    return mean, variance


def tile_moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population variance of features (N, C) or (N, C, ...) over space: two (N, C) float64 tensors.

    torch's BatchNorm kernel is the fastest reduction on a CPU, but it adds up the values of a channel one after the
    other, which loses digits with the number of pixels, and reads them twice. So the pixels of a tile are split into
    many channels of few pixels each, in pieces that fit into the cache, and these are pooled in float64 by the law of
    total variance. The kernel itself adds up half precision in float32. Where the device has no float64, the result is
    on the CPU.
    """
    features = features.flatten(2) if features.ndim > 2 else features.unsqueeze(2)
    if features.device.type != "cpu":
        features = features.float() if features.dtype in HALF else features
        variance, mean = torch.var_mean(features, 2, correction=0)
        if features.device.type == "mps":
            mean, variance = mean.cpu(), variance.cpu()
        return mean.double(), variance.double()
    mean, variance = _moments(features)
    far = mean.square() > CANCELLATION**2 * variance
    if far.any():
        channels = far.any(0)
        chosen = features[:, channels]
        chosen = chosen.float() if chosen.dtype in HALF else chosen
        centre = mean[:, channels].to(chosen.dtype)
        shift, variance[:, channels] = _moments(chosen - centre.unsqueeze(2))
        mean[:, channels] = centre.double() + shift
    return mean, variance


def as_one_tile(features: Tensor) -> Tensor:
    """Features (N, C, ...) of a batch as those of one tile, (1, C, N P), if that is a view: if channels come last."""
    flat = features.flatten(2) if features.ndim > 2 else features.unsqueeze(2)
    if flat.shape[2] > 1 and flat.stride(1) >= flat.stride(2):
        return flat
    return flat.transpose(1, 2).reshape(1, -1, flat.shape[1]).transpose(1, 2)


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Moments (N, C) of features (N, C, P) in any memory order."""
    pixels = features.shape[2]
    parts, together = _parts(pixels, max(1, WIDTH // features.shape[1]))
    even = pixels - pixels % parts
    moments_by = _moments_by_rows if features.stride(1) < features.stride(2) else _moments_by_columns
    mean, variance = moments_by(features[:, :, :even] if even < pixels else features, parts, together)
    if even < pixels:
        rest = features[:, :, even:].double()
        rest_variance, rest_mean = torch.var_mean(rest, 2, correction=0)
        mean, variance = mixed(mean, variance, rest_mean, rest_variance, even / pixels)
    return mean, variance


@lru_cache
def _parts(pixels: int, most: int) -> tuple[int, int]:
    """Number of equal parts to split `pixels` into, `most` at once, and how many to process together.

    Without a remainder if that is possible with short parts.
    """
    least = -(-pixels // ROWS)
    step = most if least > most else 1
    first = -(-least // step) * step
    parts = next((parts for parts in range(first, 2 * first, step) if pixels % parts == 0), first)
    return parts, min(parts, most) if step == most else parts


def _moments_by_rows(features: Tensor, parts: int, together: int) -> tuple[Tensor, Tensor]:
    """Moments where the channels of a pixel are contiguous (channels_last)."""
    tiles, channels, pixels = features.shape
    pieces = features.transpose(1, 2).reshape(tiles * parts // together, pixels // parts, together * channels)
    means, variances = zip(*map(_kernel, pieces), strict=True)
    both = torch.stack([*means, *variances]).double().view(2, tiles, parts, channels)
    return _pooled(both[0], both[1], 1)


def _moments_by_columns(features: Tensor, parts: int, together: int) -> tuple[Tensor, Tensor]:
    """Moments where the pixels of a channel are contiguous."""
    tiles, channels, pixels = features.shape
    columns = features.reshape(1, tiles * channels * parts, pixels // parts)
    return _pooled(*(each.double().view(tiles, channels, parts) for each in _kernel(columns)), 2)


def _kernel(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (C,) of features (N, C, ...), at least in float32."""
    unused = torch.zeros(features.shape[1]) if features.dtype in HALF else None  # their type is that of the result
    return torch.batch_norm_update_stats(features, unused, unused, 0.0)


def _pooled(means: Tensor, variances: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Moments of equal parts along an axis together."""
    mean = means.mean(axis, keepdim=True)
    return mean.squeeze(axis), (variances + (means - mean).square_()).mean(axis)
