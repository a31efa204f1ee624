"""Histograms of a network's outputs: the two most likely classes of a pixel and the margin between them."""

import numpy as np
import torch
from torch import Tensor

from bnadapt.batchnorm.layers import StatisticsError

BINS, PER_OCTAVE, SMALLEST = 72, 4, 2.0**-8
"""Margins are counted in bins of a quarter of an octave, from 2^-8 to 2^10; the outermost hold what lies beyond."""
FEW = 0.01
"""Share of the pixels below which a class loses its weight in `mismatch_by_class`."""
MOST_CLASSES = 20
"""Histograms grow with the square of the number of classes; of more classes there are none."""


def margins(logits: Tensor) -> Tensor:
    """Difference (N, ...) of the two largest logits (N, K, ...)."""
    first, second = logits.float().topk(2, dim=1).values.unbind(1)
    return first - second


def output_bins(logits: Tensor) -> Tensor:
    """Bin (N, ...) of every pixel by its first class, its second class and the margin between their logits.

    Args:
        logits: (N, K, ...), K from 2 to `MOST_CLASSES`.

    Returns:
        Indices below `bins_of(K)`.

    Raises:
        StatisticsError: logits are NaN or infinite.
    """
    if not torch.isfinite(logits).all():
        raise StatisticsError("The network's logits are NaN or infinite; look at the images, and at the weights.")
    values, classes = logits.float().topk(2, dim=1)
    octaves = (values[:, 0] - values[:, 1]).clamp(min=SMALLEST).div(SMALLEST).log2()
    margin = (octaves * PER_OCTAVE).floor().clamp(max=BINS - 1).long()
    return (classes[:, 0] * logits.shape[1] + classes[:, 1]) * BINS + margin


def bins_of(classes: int) -> int:
    """Number of bins for a number of classes."""
    return classes * classes * BINS


def hellinger(observed: Tensor, expected: Tensor) -> float:
    r"""Hellinger distance of two histograms of shares (..., B), 0 to 1.

    .. math:: H^2 = 1 - \sum_b \sqrt{t_b m_b}
    """
    return float((1 - (observed * expected).sqrt().sum()).clamp(min=0).sqrt())


def mismatch_by_class(observed: Tensor, expected: Tensor) -> float:
    r"""Hellinger distance, 0 to 1, in which the pixels of every predicted class weigh the same, however few.

    .. math:: D^2 = \frac{1}{K} \sum_k \frac{a_k - \sum_b \sqrt{t_{kb} m_{kb}}}{a_k + \epsilon}, \quad
              a_k = \frac{1}{2} \sum_b t_{kb} + m_{kb}

    with :math:`\epsilon = 0.01`, so that classes of a few pixels do not decide.

    Args:
        observed: t (K, B), shares of the outputs by predicted class.
        expected: m (K, B).
    """
    share = (observed + expected).sum(1) / 2
    apart = (share - (observed * expected).sqrt().sum(1)).clamp(min=0)
    return float((apart / (share + FEW)).mean().sqrt())


def boundaries(logits: Tensor) -> Tensor:
    """Pairs of neighbouring pixels of logits (N, K, ...): those with different predicted classes, and all (2,)."""
    classes = logits.argmax(1)
    pairs = [classes.diff(dim=axis) != 0 for axis in range(1, classes.ndim)]
    different = sum(int(each.sum()) for each in pairs)
    return torch.tensor([different, sum(each.numel() for each in pairs)], dtype=torch.float64)


def mixture_weights(observed: Tensor, by_class: Tensor, steps: int = 200) -> Tensor:
    """Maximum-likelihood proportions (K,) of the mixture of classes behind observed outputs.

    Expectation maximisation from equal shares (Saerens, Latinne and Decaestecker 2002, doi:10.1162/089976602753284446),
    until no share changes by 1e-7.

    Args:
        observed: (B,), shares of the bins.
        by_class: (K, B), shares of the bins in every class.
        steps: greatest number of iterations.
    """
    filled = observed > 0
    shares, densities = observed[filled].numpy(), by_class[:, filled].numpy()  # a third of torch's time at this size
    equal = np.full(len(by_class), 1 / len(by_class))
    weights = equal
    for _ in range(steps):
        expected = np.maximum(weights @ densities, np.finfo(densities.dtype).tiny)
        further = weights * (densities @ (shares / expected))
        total = further.sum()
        if not total > 0:
            return torch.from_numpy(equal)
        weights, previous = further / total, weights
        if np.abs(weights - previous).max() < 1e-7:
            break
    return torch.from_numpy(weights)
