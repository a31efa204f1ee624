"""The law of total variance."""

from torch import Tensor


def mixed(mean1: Tensor, variance1: Tensor, mean2: Tensor, variance2: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Mean and variance of the mixture of two distributions, the first with the given weight.

    Args:
        mean1: (C,), like the others.
        variance1: of the first.
        mean2: of the second.
        variance2: of the second.
        weight: of the first, 0 to 1.
    """
    distance = mean1 - mean2
    mean = mean2 + weight * distance
    variance = weight * variance1 + (1 - weight) * variance2 + weight * (1 - weight) * distance**2
    return mean, variance
