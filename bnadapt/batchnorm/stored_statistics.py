"""Means and variances as files hold them, which may be damaged."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

DAMAGE = (KeyError, TypeError, ValueError, AttributeError, RuntimeError)
"""What is raised where a state is read that is not what it should be."""


def means_and_variances(state: Mapping[str, Any], axes: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Mean and variance of every layer, float64.

    Args:
        state: with `mean` and `variance`, tensors by layer name.
        axes: of each of the tensors.

    Raises:
        ValueError: they are of different layers or shapes, are not finite, or a variance is negative.
        Exception: another one of DAMAGE, if they are something else.
    """
    mean, variance = ({layer: each.double() for layer, each in state[part].items()} for part in ("mean", "variance"))
    if mean.keys() != variance.keys():
        raise ValueError(f"it has means of {len(mean)} layers, and variances of others, or of {len(variance)}")
    for layer, each in mean.items():
        if each.ndim != axes or each.shape != variance[layer].shape:
            raise ValueError(
                f"layer {layer} has statistics of shapes {tuple(each.shape)}, {tuple(variance[layer].shape)}"
            )
        if not (each.isfinite().all() and variance[layer].isfinite().all()):
            raise ValueError(f"layer {layer} has statistics that are NaN or infinite")
        if (variance[layer] < 0).any():
            raise ValueError(f"layer {layer} has a negative variance")
    return mean, variance


def damage(error: Exception) -> str:
    """What is wrong, in words."""
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)
