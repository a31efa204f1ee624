"""Distances between two clouds of latents (samples, channels) in memory, differentiable in both.

Where the clouds are equal and a distance has no derivative, the gradient is zero. Latents that are not finite, or
differ in their number of channels, raise DistanceError.
"""

import torch
from torch import Tensor

from bnadapt.distances.latents import as_latents, check_same_width, safe_sqrt

PROJECTIONS = 64


def directions(channels: int, count: int = PROJECTIONS, seed: int = 0) -> Tensor:
    """Random unit vectors (C, count) float64, orthogonal in blocks of C.

    Each is uniform on the sphere; orthogonal blocks lower the variance of averages over them (Rowland et al. 2019), and
    make averages of squared shifts exact where `count` is a multiple of C.
    """
    generator = torch.Generator().manual_seed(seed)
    blocks = []
    for start in range(0, count, channels):
        width = min(channels, count - start)
        basis, triangle = torch.linalg.qr(torch.randn(channels, width, generator=generator, dtype=torch.float64))
        blocks.append(basis * triangle.diagonal().sign())
    return torch.cat(blocks, 1)


def channel_wasserstein(source: Tensor, target: Tensor) -> Tensor:
    """Root mean square over channels of the 1-D 2-Wasserstein distances of (n, C) and (m, C), in units of the latents.

    By POT, which sorts: O(n C log n).
    """
    return safe_sqrt(_lines(source, target).mean())


def sliced_wasserstein(source: Tensor, target: Tensor, projections: Tensor | None = None) -> Tensor:
    """Sliced 2-Wasserstein distance, in units of the latents.

    The root mean square of the 1-D distance over directions (Bonneel et al. 2015), by POT.

    Args:
        source: (n, C).
        target: (m, C).
        projections: (C, P) unit vectors; by default 64 from `directions`.
    """
    return safe_sqrt(_lines(*_projected(source, target, projections)).mean())


def max_sliced_wasserstein(source: Tensor, target: Tensor, projections: Tensor | None = None) -> Tensor:
    """The largest 1-D 2-Wasserstein distance along any channel or direction, in units of the latents.

    A lower bound of the max-sliced distance (Deshpande et al. 2019), which maximises over all directions.

    Args:
        source: (n, C).
        target: (m, C).
        projections: (C, P) unit vectors; by default 64 from `directions`.
    """
    along = _lines(*_projected(source, target, projections))
    return safe_sqrt(torch.cat([along, _lines(source, target)]).max())


def energy_distance(source: Tensor, target: Tensor) -> Tensor:
    r"""Energy distance of (n, C) and (m, C), in square roots of units of the latents.

    .. math:: D^2 = 2\, E|X - Y| - E|X - X'| - E|Y - Y'|

    (Szekely and Rizzo 2013), over all pairs, including those of a sample with itself: O(n^2 C).
    """
    source, target = _comparable(source, target)
    between, in_source, in_target = (
        torch.cdist(*pair, compute_mode="donot_use_mm_for_euclid_dist").mean()
        for pair in ((source, target), (source, source), (target, target))
    )
    return safe_sqrt(2 * between - in_source - in_target)


def _projected(source: Tensor, target: Tensor, projections: Tensor | None) -> tuple[Tensor, Tensor]:
    source, target = _comparable(source, target)
    if projections is None:
        projections = directions(source.shape[1])
    return source @ projections.to(source), target @ projections.to(target)


def _lines(source: Tensor, target: Tensor) -> Tensor:
    """Squared 2-Wasserstein distance of every column."""
    import ot

    return ot.wasserstein_1d(*_comparable(source, target), p=2)


def _comparable(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    source, target = as_latents(source), as_latents(target)
    check_same_width(source.shape[1], target.shape[1])
    dtype = torch.promote_types(source.dtype, target.dtype)
    return source.to(dtype), target.to(dtype)
