"""Triangular factors of covariances, and eigenvalues of products with them.

Numbers on the CPU that need no gradient go through LAPACK one matrix after the other, in place and by halves of
symmetric matrices, which takes half the time of torch's products, solves and eigenvalues of whole ones.
"""

import numpy as np
import torch
from scipy.linalg import eigvalsh
from scipy.linalg.lapack import get_lapack_funcs
from torch import Tensor

from bnadapt.distances.latents import safe_sqrt

LEFT_AND_RIGHT, INVERSES = 2, 1  # the products of LAPACK's sygst: L^T C L and L^-1 C L^-T


def triangular_factor(covariance: Tensor) -> Tensor:
    """Lower triangular L (..., V, V) of covariances L L^T, singular or not; what stands above the diagonal is zero."""
    if not _in_place(covariance):
        factor, failed = torch.linalg.cholesky_ex(covariance)
        return _with_singular(factor, covariance, failed > 0)
    factors = covariance.clone()
    failed = torch.zeros(factors.shape[:-2], dtype=torch.bool)
    for one, singular in zip(_matrices(factors), failed.view(-1, 1), strict=True):
        potrf = get_lapack_funcs("potrf", [one])
        singular[0] = potrf(one, lower=1, clean=1, overwrite_a=1)[1] > 0
    return _with_singular(factors.mT, covariance, failed)


def congruence_eigenvalues(factor: Tensor, covariance: Tensor) -> Tensor:
    """Eigenvalues (..., V), rising, of L^T C L."""
    if _in_place(factor, covariance):
        return _eigenvalues(factor, covariance, LEFT_AND_RIGHT)
    return torch.linalg.eigvalsh(factor.mT @ covariance @ factor)


def whitened_eigenvalues(factor: Tensor, covariance: Tensor) -> Tensor:
    """Eigenvalues (..., V), rising, of L^-1 C L^-T."""
    if _in_place(factor, covariance):
        return _eigenvalues(factor, covariance, INVERSES)
    half = torch.linalg.solve_triangular(factor, covariance, upper=False)
    return torch.linalg.eigvalsh(torch.linalg.solve_triangular(factor, half.mT, upper=False))


def _in_place(*matrices: Tensor) -> bool:
    return not any(each.device.type != "cpu" or (each.requires_grad and torch.is_grad_enabled()) for each in matrices)


def _matrices(stacked: Tensor) -> list[np.ndarray]:
    """Symmetric matrices of a stack in rows, as LAPACK has them: in columns; writing to one writes to the stack."""
    return [one.T for one in stacked.flatten(0, -3).numpy()] if stacked.ndim > 2 else [stacked.numpy().T]


def _eigenvalues(factor: Tensor, covariance: Tensor, product: int) -> Tensor:
    shape = torch.broadcast_shapes(factor.shape, covariance.shape)
    products = covariance.expand(shape).clone(memory_format=torch.contiguous_format)
    factors = factor.mT.expand(shape).contiguous()
    values = torch.empty(shape[:-1], dtype=covariance.dtype)
    if not values.numel():
        return values
    of_all = zip(_matrices(products), _matrices(factors), values.view(-1, shape[-1]).numpy(), strict=True)
    for one, triangle, eigenvalues in of_all:
        sygst = get_lapack_funcs("sygst", [one])
        whole, _ = sygst(one, triangle, itype=product, lower=1, overwrite_a=1)
        eigenvalues[:] = eigvalsh(whole, lower=True, overwrite_a=True, check_finite=False, driver="evd")
    return values


def _with_singular(factor: Tensor, covariance: Tensor, singular: Tensor) -> Tensor:
    """Factors, those of singular covariances by their eigenvalues."""
    if not singular.any():
        return factor
    values, vectors = torch.linalg.eigh(covariance[singular])
    root = vectors * safe_sqrt(values).unsqueeze(-2)
    return factor.index_put((singular,), torch.linalg.qr(root.mT).R.mT)
