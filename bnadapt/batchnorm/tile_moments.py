"""Mean and variance of every channel of every tile, exact and at the cost of reading the features once."""

import torch
from torch import Tensor

BLOCK = 2**18  # values that are squared at once: they stay in the processor's cache
CANCELS = 4.0  # mean^2 / variance from which on a sum of squares is taken about the mean


def tile_moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population variance over space.

    Args:
        features: (N, C) or (N, C, ...) of any floating type.

    Returns:
        Two (N, C) float64 tensors, on the CPU where the device has no float64.
    """
    features = features.flatten(2) if features.ndim > 2 else features.unsqueeze(2)
    if features.device.type != "cpu":
        return _by_kernel(features)
    mean, variance = _by_sums(features)
    cancelled = (mean.square() > CANCELS * variance).any(0)
    if cancelled.any():
        chosen = features[:, cancelled]
        centre = mean[:, cancelled].to(chosen.dtype if chosen.dtype == torch.float64 else torch.float32)
        shift, variance[:, cancelled] = _by_sums(chosen - centre.unsqueeze(2))
        mean[:, cancelled] = centre.double() + shift
    return mean, variance


def _by_kernel(features: Tensor) -> tuple[Tensor, Tensor]:
    wide = features if features.dtype == torch.float64 else features.float()
    variance, mean = torch.var_mean(wide, 2, correction=0)
    if features.device.type == "mps":
        variance, mean = variance.cpu(), mean.cpu()
    return mean.double(), variance.double()


def _by_sums(features: Tensor) -> tuple[Tensor, Tensor]:
    """From the sums of values (N, C, P) and of their squares, in whichever order they lie in memory."""
    pixels = features.shape[2]
    sums = _sums_over_rows if features.stride(1) < features.stride(2) else _sums_along_rows
    first, second = (total.div_(pixels) for total in sums(features))
    return first, (second - first.square()).clamp_(min=0)


def _sums_along_rows(features: Tensor) -> tuple[Tensor, Tensor]:
    """Where the pixels of a channel lie next to each other."""
    first = second = torch.zeros(features.shape[:2], dtype=torch.float64)
    for block in features.split(max(1, BLOCK // 64), dim=2):
        wide = _wide(block)
        first = first + wide.sum(2)
        second = second + torch.linalg.vector_norm(wide, dim=2).double().square()
    return first, second


def _sums_over_rows(features: Tensor) -> tuple[Tensor, Tensor]:
    """Where the channels of a pixel lie next to each other (channels_last)."""
    tiles, channels, pixels = features.shape
    fold = _fold(channels, pixels)
    rows = features.transpose(1, 2).reshape(tiles, pixels // fold, fold * channels)
    first, second = (torch.zeros(tiles, fold * channels, dtype=torch.float64) for _ in range(2))
    together = max(1, BLOCK // (channels * pixels))
    for start in range(0, tiles, together):
        chosen = slice(start, start + together)
        for block in rows[chosen].split(max(1, BLOCK // (fold * channels)), dim=1):
            wide = _wide(block)
            first[chosen] += wide.sum(1)
            second[chosen] += wide.square().sum(1)
    return tuple(total.view(tiles, fold, channels).sum(1) for total in (first, second))


def _fold(channels: int, pixels: int) -> int:
    """How many pixels to lay side by side, so that rows of few channels fill vector registers."""
    fold = 1
    while fold * channels < 256 and pixels % (2 * fold) == 0:
        fold *= 2
    return fold


def _wide(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
