"""Distances between two clouds of latents, (samples, channels) each."""

from collections.abc import Callable

import torch
from torch import Tensor

RIDGE = 1e-3
SMALLEST_VARIANCE = 1e-12
PROJECTIONS = 64


def gaussian_wasserstein(source: Tensor, target: Tensor) -> float:
    r"""2-Wasserstein distance of the Gaussians with the clouds' means and covariances.

    .. math:: W_2^2 = |m_s - m_t|^2 + tr(C_s + C_t - 2 (C_s^{1/2} C_t C_s^{1/2})^{1/2})

    (Dowson and Landau 1982; computed by POT). In units of the latents.

    Args:
        source: (n, C).
        target: (m, C).
    """
    import ot

    (source_mean, source_covariance), (target_mean, target_covariance) = _gaussian(source), _gaussian(target)
    distance = ot.gaussian.bures_wasserstein_distance(source_mean, target_mean, source_covariance, target_covariance)
    return distance.clamp(min=0).item()


def bhattacharyya(source: Tensor, target: Tensor) -> float:
    r"""Bhattacharyya distance of the Gaussians with the clouds' means and covariances.

    .. math:: D_B = \tfrac18 (m_s - m_t)^T C^{-1} (m_s - m_t)
              + \tfrac12 \ln \frac{\det C}{\sqrt{\det C_s \det C_t}}, \quad C = (C_s + C_t) / 2

    (Bhattacharyya 1943; Fukunaga 1990). Without unit. To both covariances 1e-3 of the mean variance
    of both, and 1e-12, are added on the diagonal, so that dead channels and few samples give a finite value.

    Args:
        source: (n, C).
        target: (m, C).
    """
    (source_mean, source_covariance), (target_mean, target_covariance) = _gaussian(source), _gaussian(target)
    ridge = RIDGE * (source_covariance.diagonal().mean() + target_covariance.diagonal().mean()) / 2 + SMALLEST_VARIANCE
    identity = torch.eye(len(source_mean), dtype=torch.float64)
    source_covariance, target_covariance = (each + ridge * identity for each in (source_covariance, target_covariance))
    pooled = (source_covariance + target_covariance) / 2
    difference = (source_mean - target_mean).unsqueeze(1)
    mahalanobis = (difference.T @ torch.linalg.solve(pooled, difference)).squeeze()
    source_log, target_log, pooled_log = (
        torch.linalg.slogdet(each).logabsdet for each in (source_covariance, target_covariance, pooled)
    )
    return (mahalanobis / 8 + (pooled_log - (source_log + target_log) / 2) / 2).clamp(min=0).item()


def sliced_wasserstein(source: Tensor, target: Tensor) -> float:
    r"""Sliced 2-Wasserstein distance: the root mean square over 64 random directions of the 1-D distance.

    (Bonneel et al. 2015; directions from a fixed seed). In units of the latents. For clouds of equal
    size the 1-D distance is that of the sorted projections; for others POT computes it.

    Args:
        source: (n, C).
        target: (m, C).
    """
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(source.shape[1], PROJECTIONS, generator=generator, dtype=torch.float64)
    directions /= directions.norm(dim=0)
    source_line, target_line = ((cloud.double() @ directions).sort(dim=0).values for cloud in (source, target))
    if len(source) == len(target):
        squared = (source_line - target_line).square().mean(0)
    else:
        import ot

        squared = ot.wasserstein_1d(source_line, target_line, p=2)
    return squared.mean().sqrt().item()


MEASURES: dict[str, Callable[[Tensor, Tensor], float]] = {
    "gaussian_wasserstein": gaussian_wasserstein,
    "sliced_wasserstein": sliced_wasserstein,
    "bhattacharyya": bhattacharyya,
}


def _gaussian(latents: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (C,) and covariance (C, C) in float64."""
    latents = latents.double()
    return latents.mean(0), torch.atleast_2d(torch.cov(latents.T, correction=0))
