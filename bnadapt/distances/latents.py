"""Checks of latents."""

import torch
from torch import Tensor

from bnadapt.errors import BnadaptError


class DistanceError(BnadaptError):
    """Distances that cannot be computed."""


def as_latents(values: Tensor) -> Tensor:
    """Latents (..., n, C) in a type to compute in: float64 for integers, float32 for half precision.

    Raises:
        DistanceError: they are not numbers, too few, or not finite.
    """
    if not isinstance(values, Tensor) or values.is_complex():
        kind = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise DistanceError(f"Latents are of type {kind}; give a tensor of real numbers.")
    if values.ndim < 2 or values.numel() == 0:
        raise DistanceError(
            f"Latents have the shape {tuple(values.shape)}; give (samples, channels), at least one of both."
        )
    if not values.is_floating_point():
        return values.double()
    if not torch.isfinite(torch.stack(values.detach().aminmax())).all():
        raise DistanceError("Latents are NaN or infinite; look at the images, the weights and the precision.")
    return values.float() if values.element_size() < 4 else values


def check_same_width(source: int, target: int) -> None:
    """Refuse different numbers of channels by a DistanceError."""
    if source != target:
        raise DistanceError(
            f"The source has {source} channels, the target {target}; compare the same layer of the same network."
        )


def safe_sqrt(values: Tensor) -> Tensor:
    """Square root, with value and gradient 0 for numbers that rounding made zero or negative."""
    positive = values > 0
    return torch.where(positive, torch.where(positive, values, 1).sqrt(), 0)
