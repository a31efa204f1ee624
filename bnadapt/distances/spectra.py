"""Triangular factors, inverses and determinants of covariances, and eigenvalues of products with factors.

On the CPU without gradients, LAPACK is called matrix by matrix. It computes one half of each symmetric matrix, in half
the time of torch's products, solves and eigenvalues.
"""

import numpy as np
import torch
from torch import Tensor

from bnadapt.distances.latents import safe_sqrt

CONGRUENT, WHITENED = 2, 1  # products of LAPACK's sygst: L^T C L and L^-1 C L^-T


def triangular_factor(covariance: Tensor) -> Tensor:
    """Lower triangular L (..., V, V) of covariances L L^T, singular or not."""
    if _by_lapack(covariance):
        factors = covariance.new_empty(covariance.shape)
        for one, factor in zip(_matrices(covariance), _matrices(factors), strict=True):
            factor[:] = _cholesky(one)
        return factors.mT.tril_()
    covariances = covariance.reshape(covariance.shape[:-2].numel(), *covariance.shape[-2:])
    factor, info = torch.linalg.cholesky_ex(covariances)
    if (singular := info > 0).any():
        values, vectors = torch.linalg.eigh(covariances[singular])
        root = vectors * safe_sqrt(values).unsqueeze(-2)
        factor = factor.index_put((singular,), torch.linalg.qr(root.mT).R.mT)
    return factor.view_as(covariance)


def congruence_eigenvalues(factor: Tensor, covariance: Tensor) -> Tensor:
    """Rising eigenvalues (..., V) of L^T C L."""
    if _by_lapack(factor, covariance):
        return _eigenvalues(factor, covariance, CONGRUENT)
    return torch.linalg.eigvalsh(factor.mT @ covariance @ factor)


def whitened_eigenvalues(factor: Tensor, covariance: Tensor) -> Tensor:
    """Rising eigenvalues (..., V) of L^-1 C L^-T."""
    if _by_lapack(factor, covariance):
        return _eigenvalues(factor, covariance, WHITENED)
    half = torch.linalg.solve_triangular(factor, covariance, upper=False)
    return torch.linalg.eigvalsh(torch.linalg.solve_triangular(factor, half.mT, upper=False))


def inverse(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Inverses (..., V, V) of positive definite covariances, and logarithms (...) float64 of their determinants."""
    if _by_lapack(covariance):
        inverses = torch.empty_like(covariance, memory_format=torch.contiguous_format)
        stacks = zip(_matrices(covariance), _matrices(inverses), strict=True)
        logarithms = torch.tensor([_invert(*each) for each in stacks], dtype=torch.float64)
        return inverses, logarithms.view(covariance.shape[:-2])
    factor = torch.linalg.cholesky(covariance)
    return torch.cholesky_inverse(factor), _log_determinant(factor)


def log_determinants(covariance: Tensor) -> Tensor:
    """Logarithms (...) float64 of the determinants of positive definite covariances (..., V, V)."""
    if _by_lapack(covariance):
        logarithms = [_log_determinant_by_cholesky(one) for one in _matrices(covariance)]
        return torch.tensor(logarithms, dtype=torch.float64).view(covariance.shape[:-2])
    return _log_determinant(triangular_factor(covariance))


def pencil_log_determinants(constant: Tensor, linear: Tensor, shifts: Tensor) -> Tensor:
    """Logarithms (..., N) float64 of the determinants of C + t D, positive definite (..., V, V), for shifts t (N,)."""
    if _by_lapack(constant, linear):
        stacks = zip(_matrices(constant), _matrices(linear), strict=True)
        logarithms = [
            [_log_determinant_by_cholesky(one + shift * other) for shift in shifts.tolist()] for one, other in stacks
        ]
        return shifts.new_tensor(logarithms).view(*constant.shape[:-2], len(shifts))
    pencils = constant.unsqueeze(-3) + shifts.to(constant)[:, None, None] * linear.unsqueeze(-3)
    return _log_determinant(torch.linalg.cholesky(pencils))


def _by_lapack(*matrices: Tensor) -> bool:
    return not any(each.device.type != "cpu" or (each.requires_grad and torch.is_grad_enabled()) for each in matrices)


def _matrices(stacked: Tensor) -> list[np.ndarray]:
    """Transposed views of a stack (..., V, V): column-major, as LAPACK has matrices, if the stack is row-major."""
    return [one.T for one in stacked.detach().reshape(stacked.shape[:-2].numel(), *stacked.shape[-2:]).numpy()]


def _cholesky(covariance: np.ndarray) -> np.ndarray:
    """Lower triangle of a covariance (V, V), undefined above; of a singular one by pivoting and a QR decomposition."""
    from scipy.linalg import qr
    from scipy.linalg.lapack import get_lapack_funcs

    potrf, pstrf = get_lapack_funcs(("potrf", "pstrf"), [covariance])
    factor, info = potrf(covariance, lower=1, clean=0)
    if info == 0:
        return factor
    pivoted, order, rank, _ = pstrf(covariance, lower=1)
    root = np.empty_like(covariance)
    root[order - 1] = np.tril(pivoted)
    root[:, rank:] = 0
    return qr(root.T, mode="r", check_finite=False)[0].T


def _invert(covariance: np.ndarray, inverse: np.ndarray) -> float:
    """Write the inverse of a covariance (V, V); return the logarithm of the covariance's determinant."""
    from scipy.linalg.lapack import get_lapack_funcs

    potrf, potri = get_lapack_funcs(("potrf", "potri"), [covariance])
    factor, info = potrf(covariance, lower=1, clean=0)
    if info:
        inverse[:] = np.linalg.inv(covariance)
        return _log_determinant_by_pivoting(covariance)
    logarithm = _twice_log(factor)
    inverse[:] = np.tril(potri(factor, lower=1, overwrite_c=1)[0])
    inverse += np.tril(inverse, -1).T
    return logarithm


def _log_determinant_by_cholesky(covariance: np.ndarray) -> float:
    from scipy.linalg.lapack import get_lapack_funcs

    (potrf,) = get_lapack_funcs(("potrf",), [covariance])
    factor, info = potrf(covariance, lower=1, clean=0)
    return _log_determinant_by_pivoting(covariance) if info else _twice_log(factor)


def _log_determinant_by_pivoting(covariance: np.ndarray) -> float:
    """Logarithm of the determinant of a covariance (V, V) that rounding has made indefinite."""
    return float(np.linalg.slogdet(covariance.astype(np.float64))[1])


def _twice_log(factor: np.ndarray) -> float:
    return 2 * float(np.log(factor.diagonal(), dtype=np.float64).sum())


def _log_determinant(factor: Tensor) -> Tensor:
    return 2 * factor.diagonal(dim1=-2, dim2=-1).double().log().sum(-1)


def _eigenvalues(factor: Tensor, covariance: Tensor, product: int) -> Tensor:
    """Eigenvalues of products of lower triangles and covariances, one of which may be broadcast."""
    from scipy.linalg import eigvalsh
    from scipy.linalg.lapack import get_lapack_funcs

    shape = np.broadcast_shapes(factor.shape, covariance.shape)
    values = covariance.new_empty(shape[:-1])
    if not values.numel():
        return values
    stacks = zip(
        _matrices(factor.mT.expand(shape)),
        _matrices(covariance.expand(shape)),
        values.view(-1, shape[-1]).numpy(),
        strict=True,
    )
    for triangle, one, eigenvalues in stacks:
        sygst = get_lapack_funcs("sygst", [one])
        whole, _ = sygst(one, triangle, itype=product, lower=1)
        eigenvalues[:] = eigvalsh(whole, lower=True, overwrite_a=True, check_finite=False, driver="evd")
    return values
