"""Mean and variance of a stream, pooled exactly."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Mean and population variance of every channel, of `count` values each, in float64.

    Attributes:
        count: values per channel.
        mean: (C,).
        variance: (C,), the mean squared deviation from `mean`.
    """

    count: int
    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Moments":
        """Moments of features (N, C, ...) over all axes but the channels."""
        axes = [axis for axis in range(features.ndim) if axis != 1]
        wide = features.float() if features.dtype in (torch.float16, torch.bfloat16) else features
        variance, mean = torch.var_mean(wide, axes, correction=0)
        if mean.device.type == "mps":  # has no float64
            mean, variance = mean.cpu(), variance.cpu()
        return cls(features.numel() // features.shape[1], mean.double(), variance.double())

    def merged(self, other: "Moments") -> "Moments":
        """Moments of both streams together.

        By the law of total variance, in the form of Chan, Golub and LeVeque (1983): with shares
        w = n1 / n and 1 - w, variance = w v1 + (1 - w) v2 + w (1 - w) (m1 - m2)^2.
        """
        count = self.count + other.count
        mean, variance = mixed(self.mean, self.variance, other.mean, other.variance, self.count / count)
        return Moments(count, mean, variance)


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
