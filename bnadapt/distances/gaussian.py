"""Distances between Gaussians, differentiable in means and covariances, for many pairs at once."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from bnadapt.distances.latents import as_latents, safe_sqrt
from bnadapt.distances.spectra import (
    congruence_eigenvalues,
    inverse,
    log_determinants,
    triangular_factor,
    whitened_eigenvalues,
)

RIDGE = 1e-2
SMALLEST_VARIANCE = 1e-12


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A normal distribution over C channels, or several of them in leading axes.

    Attributes:
        mean: (..., C) float64.
        covariance: (..., C, C) float64.
    """

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, latents: Tensor) -> "Gaussian":
        """The Gaussian with mean and covariance of latents (..., n, C), n >= 1; see `estimated`.

        Raises:
            DistanceError: there are no latents, or some are not finite.
        """
        latents = as_latents(latents).double()
        samples = latents.shape[-2]
        mean = latents.mean(-2)
        centred = latents - mean.unsqueeze(-2)
        return cls.estimated(mean, centred.mT @ centred / samples, latents.new_tensor(samples))

    @classmethod
    def estimated(cls, mean: Tensor, covariance: Tensor, samples: Tensor) -> "Gaussian":
        r"""The Gaussian of a sample, whose covariance is shrunk if there are no more samples than channels.

        Then it becomes :math:`(1 - \rho) S + \rho\, \mathrm{tr}(S) / C \cdot I`, with the oracle approximating

        .. math:: \rho = \min\left(1, \frac{(1 - 2 / C)\, \mathrm{tr}(S^2) + \mathrm{tr}(S)^2}
                  {(n + 1 - 2 / C)(\mathrm{tr}(S^2) - \mathrm{tr}(S)^2 / C)}\right)

        (Chen, Wiesel, Eldar and Hero 2010). It assumes n independent samples, which neighbouring positions of an image
        are not, so the shrinkage is rather too small.

        Args:
            mean: (..., C).
            covariance: (..., C, C), with the divisor n.
            samples: (...), n.
        """
        channels = mean.shape[-1]
        if (samples > channels).all():
            return cls(mean, covariance)
        trace, square = _diagonal(covariance).sum(-1), covariance.square().sum((-2, -1))
        numerator = (1 - 2 / channels) * square + trace.square()
        denominator = (samples + 1 - 2 / channels) * (square - trace.square() / channels)
        share = (numerator / denominator.clamp(min=torch.finfo(covariance.dtype).tiny)).clamp(0, 1)
        share = torch.where(samples > channels, 0, share)[..., None, None]
        sphere = torch.diag_embed((trace / channels).unsqueeze(-1).expand_as(mean))
        return cls(mean, (1 - share) * covariance + share * sphere)

    @property
    def std(self) -> Tensor:
        """(..., C) standard deviations of the channels, above zero in dead channels too.

        To the variances 1e-2 of their mean, and 1e-12, are added.
        """
        return (_diagonal(self.covariance) + self.ridge).sqrt()

    @cached_property
    def varying(self) -> Tensor:
        """Indices (V,) of the channels with variance above zero in any of the Gaussians."""
        return _varying(self)

    @cached_property
    def factor(self) -> Tensor:
        """Lower triangles (..., V, V) L of the covariance L L^T of the varying channels, singular or not."""
        return triangular_factor(_of_channels(self.covariance, self.varying))

    @cached_property
    def ridge(self) -> Tensor:
        """(..., 1), 1e-2 of the mean variance, and 1e-12."""
        return _ridge(_diagonal(self.covariance))

    @property
    def small_ridge(self) -> Tensor:
        """(..., 1), a tenth of `ridge`."""
        return self.ridge / 10

    @cached_property
    def ridge_inverse(self) -> tuple[Tensor, Tensor]:
        """Inverses (..., C, C) float32 of covariances with the `ridge`, and logarithms (...) of their determinants."""
        return inverse(self.ridged(self.ridge).float())

    @cached_property
    def small_ridge_inverse(self) -> tuple[Tensor, Tensor]:
        """The same with the `small_ridge`."""
        return inverse(self.ridged(self.small_ridge).float())

    def ridged(self, ridge: Tensor) -> Tensor:
        """Covariances (..., C, C) with a ridge (..., 1) added to the variances."""
        return _ridged(self.covariance, ridge)


def wasserstein(source: Gaussian, target: Gaussian) -> Tensor:
    r"""2-Wasserstein distance, in units of the latents.

    .. math:: W_2^2 = |m_s - m_t|^2 + \mathrm{tr}(C_s + C_t) - 2\, \mathrm{tr} (C_s^{1/2} C_t C_s^{1/2})^{1/2}

    (Dowson and Landau 1982). The last trace is the sum of the roots of the eigenvalues of :math:`L^T C_t L` with
    :math:`C_s = L L^T`, so no matrix root is formed; channels that are dead in the source do not contribute to it. A
    Cholesky factor, two products and eigenvalues: O(C^3). Singular covariances are handled, but have no gradient.
    """
    return safe_sqrt(squared_wasserstein(source, target, torch.ones_like(source.mean)))


def diagonal_wasserstein(source: Gaussian, target: Gaussian) -> Tensor:
    r"""2-Wasserstein distance of the Gaussians without their correlations, in units of the latents.

    .. math:: W_2^2 = \sum_c (m_{s,c} - m_{t,c})^2 + (\sigma_{s,c} - \sigma_{t,c})^2
    """
    one, other = (safe_sqrt(_diagonal(each.covariance)) for each in (source, target))
    return safe_sqrt(((source.mean - target.mean).square() + (one - other).square()).sum(-1))


def normalised_wasserstein(source: Gaussian, target: Gaussian) -> Tensor:
    r"""Source-normalised 2-Wasserstein distance, in source standard deviations, root mean square over directions.

    The 2-Wasserstein distance whose ground distance is the source's Mahalanobis distance :math:`|C_s^{-1/2} (x - y)|`,
    over :math:`\sqrt C`, so that layers of different width compare: 1 means that the latents have moved, or spread, by
    one standard deviation of the source in every direction (after Stenger et al., ISBI 2023, who normalise by the
    source). With :math:`C_s = L L^T` and :math:`M = L^{-1} C_t L^{-T}`:

    .. math:: d^2 = \frac1C \left(|L^{-1} (m_t - m_s)|^2 + \mathrm{tr}(M) + C - 2\, \mathrm{tr} M^{1/2}\right)

    Not symmetric, O(C^3). To the diagonals of both covariances 1e-2 of the source's mean variance, and 1e-12, are
    added, so that dead and constant channels give a finite value. A direction in which the source hardly varies, such
    as between channels that depend on each other, counts by what the target does in it.
    """
    shift, eigenvalues = whitened(source, target)
    return safe_sqrt((shift + (safe_sqrt(eigenvalues) - 1).square().sum(-1)) / source.mean.shape[-1])


def frechet(source: Gaussian, target: Gaussian) -> Tensor:
    """Frechet distance of standardised latents, without unit: FID (Heusel et al. 2017) in any latent space.

    The square of `wasserstein` after standardising every channel by the source's mean and `std`. Not symmetric, O(C^3).
    """
    return squared_wasserstein(source, target, 1 / source.std)


def bhattacharyya(source: Gaussian, target: Gaussian) -> Tensor:
    r"""Bhattacharyya distance of the Gaussians, without unit.

    .. math:: D_B = \tfrac18 (m_s - m_t)^T C^{-1} (m_s - m_t)
              + \tfrac12 \ln \frac{\det C}{\sqrt{\det C_s \det C_t}}, \quad C = (C_s + C_t) / 2

    (Bhattacharyya 1943; Fukunaga 1990). To the diagonals of both covariances 1e-2 of the mean variance of both, and
    1e-12, are added, so that dead channels and few samples give a finite value. Three Cholesky factors.
    """
    ridge = _ridge((_diagonal(source.covariance) + _diagonal(target.covariance)) / 2)
    varying = _varying(source, target)
    covariances = [_ridged(_of_channels(each.covariance, varying), ridge) for each in (source, target)]
    factor = triangular_factor(sum(covariances) / 2)
    logarithms = [log_determinants(each) for each in covariances]
    of_both = 2 * _diagonal(factor).double().log().sum(-1)
    shift = _whitened_shift(factor, source.mean - target.mean, varying, ridge)
    return (shift / 8 + of_both / 2 - sum(logarithms) / 4).clamp(min=0)


def diagonal_bhattacharyya(source: Gaussian, target: Gaussian) -> Tensor:
    r"""Bhattacharyya distance of the Gaussians without their correlations, without unit.

    .. math:: D_B = \sum_c \frac{(m_{s,c} - m_{t,c})^2}{4 (v_{s,c} + v_{t,c})}
              + \frac12 \ln \frac{v_{s,c} + v_{t,c}}{2 \sqrt{v_{s,c} v_{t,c}}}

    with the ridge of `bhattacharyya` in the variances v.
    """
    variances = [_diagonal(each.covariance) for each in (source, target)]
    ridge = _ridge(sum(variances) / 2)
    one, other = (variance + ridge for variance in variances)
    total = one + other
    terms = (source.mean - target.mean).square() / total / 4 + (total.square() / (4 * one * other)).log() / 4
    return terms.sum(-1)


def whitened(source: Gaussian, target: Gaussian) -> tuple[Tensor, Tensor]:
    """Squared shift (...) and rising eigenvalues (..., V) of the target after whitening the source, both ridged."""
    varying, ridge = _varying(source, target), source.ridge
    first, second = (_ridged(_of_channels(each.covariance, varying), ridge) for each in (source, target))
    factor = triangular_factor(first)
    return _whitened_shift(factor, target.mean - source.mean, varying, ridge), whitened_eigenvalues(factor, second)


def squared_wasserstein(source: Gaussian, target: Gaussian, scale: Tensor) -> Tensor:
    """Squared 2-Wasserstein distance (...) of latents times `scale` (..., C), without copying the covariances."""
    weights = scale.square()
    cross = safe_sqrt(cross_eigenvalues(source, target, weights)).sum(-1)
    return (uncrossed(source, target, weights) - 2 * cross).clamp(min=0)


def cross_eigenvalues(source: Gaussian, target: Gaussian, weights: Tensor) -> Tensor:
    """Rising eigenvalues (..., V) of :math:`C_s W C_t W`, with weights (..., C) on the diagonal of W."""
    varying = source.varying
    factor = source.factor * weights[..., varying].unsqueeze(-1)
    return congruence_eigenvalues(factor, _of_channels(target.covariance, varying))


def uncrossed(source: Gaussian, target: Gaussian, weights: Tensor) -> Tensor:
    """Weighted sum (...) over channels of squared differences of the means, and of both variances."""
    shift = (source.mean - target.mean).square()
    return ((shift + _diagonal(source.covariance) + _diagonal(target.covariance)) * weights).sum(-1)


def _whitened_shift(factor: Tensor, difference: Tensor, varying: Tensor, ridge: Tensor) -> Tensor:
    """|L^-1 d|^2 of differences d (..., C), with L for the varying channels and the root of the ridge for others."""
    within = torch.linalg.solve_triangular(factor, difference[..., varying].unsqueeze(-1), upper=False)
    others = difference.square().index_fill(-1, varying, 0)
    return within.square().sum((-2, -1)) + (others / ridge).sum(-1)


def _varying(*gaussians: Gaussian) -> Tensor:
    """Indices (V,) of the channels that vary in any of them."""
    variances = torch.stack([_diagonal(each.covariance) for each in gaussians])
    return (variances > 0).flatten(0, -2).any(0).nonzero().squeeze(1)


def _of_channels(covariance: Tensor, channels: Tensor) -> Tensor:
    """The covariances (..., V, V) of some channels."""
    if len(channels) == covariance.shape[-1]:
        return covariance
    return covariance[..., channels.unsqueeze(1), channels]


def _diagonal(matrices: Tensor) -> Tensor:
    return matrices.diagonal(dim1=-2, dim2=-1)


def _ridge(variances: Tensor) -> Tensor:
    """Ridge (..., 1) to add to the variances (..., C) of every channel."""
    return RIDGE * variances.mean(-1, keepdim=True) + SMALLEST_VARIANCE


def _ridged(covariance: Tensor, ridge: Tensor) -> Tensor:
    ridged = covariance.clone()
    _diagonal(ridged).add_(ridge)
    return ridged
