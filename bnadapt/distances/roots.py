"""Sums of square roots of eigenvalues near known ones, from traces and determinants instead of eigenvalues."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

SHIFTS = 6
NEGLIGIBLE = 3e-4  # share of the sum of roots by the smallest eigenvalues, which are fitted less well
RCOND = 1e-5  # smaller singular values of the least squares are left out, lest the weights amplify rounding
FACTORS = (0.3, 0.5, 0.7, 0.85, 1.15, 1.4)  # by which the eigenvalues may differ from the known ones


@dataclass(frozen=True, eq=False)
class RootFit:
    r"""An approximation of the square root around known eigenvalues, up to a constant.

    .. math:: \sqrt x \approx b x + \sum_q w_q \ln(x + t_q) + \mathrm{constant}

    so that the sum over the eigenvalues of a matrix M is :math:`b\, \mathrm{tr}\, M + \sum_q w_q \ln \det(M + t_q I)`:
    Cholesky factors take a tenth of the time of eigenvalues. The shifts t are in geometric progression; b and w are
    those of least squares for the *changes* of the roots where every eigenvalue is multiplied by factors of 0.3 to 1.4.

    Attributes:
        slope: (), b.
        weights: (N,), w.
        shifts: (N,), t.
    """

    slope: Tensor
    weights: Tensor
    shifts: Tensor

    @classmethod
    def around(cls, eigenvalues: Tensor) -> "RootFit":
        """The approximation around eigenvalues (V,), of which those that are zero or below do not count."""
        known = np.sort(eigenvalues.cpu().numpy())
        known = known[known > 0]
        if not len(known):
            return cls(*(eigenvalues.new_zeros(size) for size in ((), 0, 0)))
        sums = np.sqrt(known).cumsum()
        shifts = np.geomspace(known[np.searchsorted(sums, NEGLIGIBLE * sums[-1])], known[-1], SHIFTS)
        terms, roots = (
            np.concatenate([part(known * factor) - part(known) for factor in FACTORS])
            for part in (lambda values: np.column_stack([values, np.log1p(values[:, None] / shifts)]), np.sqrt)
        )
        sizes = np.linalg.norm(terms, axis=0)
        slope, *weights = np.linalg.lstsq(terms / sizes, roots, rcond=RCOND)[0] / sizes
        return cls(*map(eigenvalues.new_tensor, (slope, weights, shifts)))

    def sum(self, trace: Tensor, log_determinants: Tensor) -> Tensor:
        """Sums (...) of roots, up to a constant that is the same for all matrices of one size.

        Args:
            trace: (...) traces of matrices M.
            log_determinants: (..., N) logarithms of the determinants of M + t I.
        """
        return self.slope * trace + log_determinants @ self.weights
