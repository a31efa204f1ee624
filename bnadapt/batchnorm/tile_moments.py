"""Mean and variance of every channel of every tile, exact and at the cost of reading the features once."""

from functools import lru_cache

import torch
from torch import Tensor

ROWS = 256  # values that are added up in the features' own precision; the rest is float64
CANCELS = 16.0  # |mean| / deviation from which on float32 cannot tell the mean precisely


def tile_moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population variance over space.

    torch's BatchNorm kernel is the fastest reduction there is on a CPU, but it adds up a channel's values one
    after the other, which loses digits with the number of pixels. So the pixels of a tile are dealt out to many
    channels of few pixels each, and these are pooled in float64 by the law of total variance.

    Args:
        features: (N, C) or (N, C, ...) of any floating type.

    Returns:
        Two (N, C) float64 tensors, on the CPU where the device has no float64.
    """
    features = features.flatten(2) if features.ndim > 2 else features.unsqueeze(2)
    if features.dtype in (torch.float16, torch.bfloat16):
        features = features.float()
    if features.device.type != "cpu":
        variance, mean = torch.var_mean(features, 2, correction=0)
        if features.device.type == "mps":
            mean, variance = mean.cpu(), variance.cpu()
        return mean.double(), variance.double()
    mean, variance = _moments(features)
    far = (mean.abs() > CANCELS * variance.sqrt()).any(0)
    if far.any():
        chosen = features[:, far]
        centre = mean[:, far].to(chosen.dtype)
        shift, variance[:, far] = _moments(chosen - centre.unsqueeze(2))
        mean[:, far] = centre.double() + shift
    return mean, variance


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Of features (N, C, P), in whichever order they lie in memory."""
    pixels = features.shape[2]
    parts = -(-pixels // ROWS)
    even = pixels - pixels % parts
    dealt = _dealt_rows if features.stride(1) < features.stride(2) else _dealt_columns
    means, variances = dealt(features[:, :, :even], parts)
    if parts == 1:
        return means.squeeze(2), variances.squeeze(2)
    if even < pixels:
        rest = features[:, :, even:].double()
        means, variances = torch.cat([means, rest], 2), torch.cat([variances, torch.zeros_like(rest)], 2)
    weights = _weights(pixels, parts)
    mean = means @ weights
    return mean, (variances + (means - mean.unsqueeze(2)).square()) @ weights


@lru_cache
def _weights(pixels: int, parts: int) -> Tensor:
    """Shares of the pixels: equal parts, then single pixels that were left."""
    left = pixels % parts
    return torch.tensor([(pixels // parts) / pixels] * parts + [1 / pixels] * left, dtype=torch.float64)


def _dealt_rows(features: Tensor, parts: int) -> tuple[Tensor, Tensor]:
    """Moments (N, C, parts) where the channels of a pixel lie next to each other (channels_last)."""
    tiles, channels, pixels = features.shape
    rows = features.transpose(1, 2).reshape(tiles, pixels // parts, parts * channels)
    found = zip(*(torch.batch_norm_update_stats(tile, None, None, 0.0) for tile in rows), strict=True)
    return tuple(torch.stack(each).double().view(tiles, parts, channels).transpose(1, 2) for each in found)


def _dealt_columns(features: Tensor, parts: int) -> tuple[Tensor, Tensor]:
    """Moments (N, C, parts) where the pixels of a channel lie next to each other."""
    tiles, channels, pixels = features.shape
    columns = features.reshape(1, tiles * channels * parts, pixels // parts)
    found = torch.batch_norm_update_stats(columns, None, None, 0.0)
    return tuple(each.double().view(tiles, channels, parts) for each in found)
