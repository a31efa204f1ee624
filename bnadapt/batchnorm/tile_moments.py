"""Mean and variance of every channel of every tile, exact and at the cost of reading the features once."""

from functools import lru_cache

import torch
from torch import Tensor

from bnadapt.batchnorm.mixture import mixed

ROWS = 256  # values that are added up in float32; the rest is float64
WIDTH = 1024  # sums side by side: as many as the fastest cache holds, ROWS times as many values as the next one does
CANCELLATION = 16.0  # |mean| / standard deviation from which on float32 does not hold the mean precisely
HALF = (torch.float16, torch.bfloat16)


def tile_moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population variance over space.

    torch's BatchNorm kernel is the fastest reduction there is on a CPU, but it adds up a channel's values one
    after the other, which loses digits with the number of pixels, and reads them twice. So the pixels of a tile are
    dealt out to many channels of few pixels each, piece by piece as they fit into the cache, and these are pooled in
    float64 by the law of total variance. Values of half precision are added up in float32 by the kernel itself.

    Args:
        features: (N, C) or (N, C, ...) of any floating type.

    Returns:
        Two (N, C) float64 tensors, on the CPU where the device has no float64.
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
    """Moments (N, C) of features (N, C, P), in whichever order they lie in memory."""
    pixels = features.shape[2]
    parts, together = _parts(pixels, max(1, WIDTH // features.shape[1]))
    even = pixels - pixels % parts
    dealt = _dealt_rows if features.stride(1) < features.stride(2) else _dealt_columns
    mean, variance = dealt(features[:, :, :even] if even < pixels else features, parts, together)
    if even < pixels:
        rest = features[:, :, even:].double()
        rest_variance, rest_mean = torch.var_mean(rest, 2, correction=0)
        mean, variance = mixed(mean, variance, rest_mean, rest_variance, even / pixels)
    return mean, variance


@lru_cache
def _parts(pixels: int, most: int) -> tuple[int, int]:
    """Into how many equal parts to deal out the pixels, and how many of these at once.

    Without a rest if that is possible with short parts.

    Args:
        pixels: of a tile.
        most: parts at once.
    """
    least = -(-pixels // ROWS)
    step = most if least > most else 1
    first = -(-least // step) * step
    parts = next((parts for parts in range(first, 2 * first, step) if pixels % parts == 0), first)
    return parts, min(parts, most) if step == most else parts


def _dealt_rows(features: Tensor, parts: int, together: int) -> tuple[Tensor, Tensor]:
    """Where the channels of a pixel lie next to each other (channels_last)."""
    tiles, channels, pixels = features.shape
    pieces = features.transpose(1, 2).reshape(tiles * parts // together, pixels // parts, together * channels)
    means, variances = zip(*map(_kernel, pieces), strict=True)
    both = torch.stack([*means, *variances]).double().view(2, tiles, parts, channels)
    return _pooled(both[0], both[1], 1)


def _dealt_columns(features: Tensor, parts: int, together: int) -> tuple[Tensor, Tensor]:
    """Where the pixels of a channel lie next to each other."""
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
