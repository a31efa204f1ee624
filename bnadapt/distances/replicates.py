r"""Distances of jackknife replicates, which differ little from those of all samples, without eigenvalues.

Each function here gives the exact distance of a pair of Gaussians, and a function for pairs near it, which is faster in
wide layers. It adds to the exact (squared) distance the change of an approximation:

- The sum of the roots of eigenvalues follows from determinants by `RootFit`. A Cholesky factor takes a tenth of the
  time of eigenvalues.
- Matrices are rounded to float32, after a ridge has bounded their condition: that of the measure itself, or, where
  this has none, a thousandth of the source's mean variance.

Wasserstein and Frechet distances of less than 4 % of the traces of both covariances, such as noise floors, are exact,
because there the approximation would be large against the bias. `docs/distances.md` states the errors.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from bnadapt.distances import gaussian
from bnadapt.distances.gaussian import Gaussian
from bnadapt.distances.latents import safe_sqrt
from bnadapt.distances.roots import RootFit
from bnadapt.distances.spectra import pencil_log_determinants

EXACT_UP_TO = 256  # channels, of which eigenvalues hardly take longer
SMALL = 0.04  # of the traces of both covariances
Near = Callable[[Gaussian, Gaussian], Tensor]


def wasserstein(source: Gaussian, target: Gaussian) -> tuple[Tensor, Near]:
    """`gaussian.wasserstein` (1,) of a pair (M = 1), and a function that gives it (M,) for pairs near this one."""
    squared, near = _squared_wasserstein(source, target, lambda one: torch.ones_like(one.mean))
    return safe_sqrt(squared), lambda *pair: safe_sqrt(near(*pair))


def frechet(source: Gaussian, target: Gaussian) -> tuple[Tensor, Near]:
    """`gaussian.frechet` (1,) of a pair (M = 1), and a function that gives it (M,) for pairs near this one."""
    return _squared_wasserstein(source, target, lambda one: 1 / one.std)


def normalised_wasserstein(source: Gaussian, target: Gaussian) -> tuple[Tensor, Near]:
    """`gaussian.normalised_wasserstein` (1,) of a pair (M = 1), and a function that gives it for pairs near it."""
    shift, eigenvalues = gaussian.whitened(source, target)
    squared = (shift + (safe_sqrt(eigenvalues) - 1).square().sum(-1)) / source.mean.shape[-1]
    fit = RootFit.around(eigenvalues.flatten())
    offset = squared - _fitted_normalised(source, target, fit)
    return safe_sqrt(squared), lambda *pair: safe_sqrt(offset + _fitted_normalised(*pair, fit))


def bhattacharyya(source: Gaussian, target: Gaussian) -> tuple[Tensor, Near]:
    """`gaussian.bhattacharyya` (1,) of a pair (M = 1), and a function that gives it (M,) for pairs near this one."""
    distance = gaussian.bhattacharyya(source, target)
    offset = distance - _rounded_bhattacharyya(source, target)
    return distance, lambda *pair: (offset + _rounded_bhattacharyya(*pair)).clamp(min=0)


def _squared_wasserstein(
    source: Gaussian, target: Gaussian, scale: Callable[[Gaussian], Tensor]
) -> tuple[Tensor, Near]:
    """Squared distance (1,) of latents times a scale (M, C) by the source, and a function for pairs near this one."""

    def exact(source: Gaussian, target: Gaussian) -> Tensor:
        return gaussian.squared_wasserstein(source, target, scale(source))

    weights = scale(source).square()
    roots = safe_sqrt(gaussian.cross_eigenvalues(source, target, weights))
    least = gaussian.uncrossed(source, target, weights)
    squared = (least - 2 * roots.sum(-1)).clamp(min=0)
    if squared < SMALL * least:
        return squared, exact
    fit = RootFit.around((roots + source.small_ridge * weights.mean()).square().flatten())
    offset = squared - _fitted_wasserstein(source, target, weights, fit)

    def near(source: Gaussian, target: Gaussian) -> Tensor:
        return (offset + _fitted_wasserstein(source, target, scale(source).square(), fit)).clamp(min=0)

    return squared, near


def _fitted_wasserstein(source: Gaussian, target: Gaussian, weights: Tensor, fit: RootFit) -> Tensor:
    r"""Squared distances (M,) with weights (M, C) of squared differences, apart from a constant of the fit.

    With W for the diagonal matrix of the weights,

    .. math:: \det(C_s W C_t W + t I) = \det C_s\, (\det W)^2 \det(C_t + t\, W^{-1} C_s^{-1} W^{-1})
    """
    inverse, logarithm = source.small_ridge_inverse
    first, second = (each.ridged(source.small_ridge) for each in (source, target))
    trace = ((first * second) @ weights.unsqueeze(-1) * weights.unsqueeze(-1)).sum((-2, -1))
    single = weights.float()
    unweighted = inverse / single.unsqueeze(-1) / single.unsqueeze(-2)
    logarithms = pencil_log_determinants(second.float(), unweighted, fit.shifts)
    roots = fit.sum(trace, logarithms + (logarithm + 2 * weights.log().sum(-1)).unsqueeze(-1))
    return gaussian.uncrossed(source, target, weights) - 2 * roots


def _fitted_normalised(source: Gaussian, target: Gaussian, fit: RootFit) -> Tensor:
    """Squared distances (M,), apart from a constant of the fit."""
    inverse, logarithm = source.ridge_inverse
    first, second = (each.ridged(source.ridge).float() for each in (source, target))
    difference = (target.mean - source.mean).float().unsqueeze(-1)
    shift = (inverse @ difference * difference).sum((-2, -1)).double()
    trace = (inverse * second).sum((-2, -1)).double()
    logarithms = pencil_log_determinants(second, first, fit.shifts) - logarithm.unsqueeze(-1)
    return (shift + trace - 2 * fit.sum(trace, logarithms)) / source.mean.shape[-1]


def _rounded_bhattacharyya(source: Gaussian, target: Gaussian) -> Tensor:
    single = (Gaussian(each.mean.float(), each.covariance.float()) for each in (source, target))
    return gaussian.bhattacharyya(*single).double()
