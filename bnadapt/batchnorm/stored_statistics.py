"""Means and variances in files and checkpoints, which may be damaged."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

DAMAGE = (KeyError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError)
"""Errors that reading a malformed state can raise."""


def means_and_variances(state: Mapping[str, Any], axes: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Mean and variance of every layer, float64.

    Args:
        state: tensors by layer name, under `mean` and `variance`.
        axes: number of axes that each tensor must have.

    Raises:
        ValueError: layers or shapes differ, a value is not finite, or a variance is negative.
        Exception: another of DAMAGE, if the state is malformed.
    """
    mean, variance = ({layer: each.double() for layer, each in state[part].items()} for part in ("mean", "variance"))
    if mean.keys() != variance.keys():
        raise ValueError(f"it has means of {len(mean)} layers, but variances of {len(variance)} or of others")
    for layer, each in mean.items():
        if each.ndim != axes or each.shape != variance[layer].shape:
            raise ValueError(
                f"layer {layer} has statistics of shapes {tuple(each.shape)}, {tuple(variance[layer].shape)}"
            )
        if not all(state[part][layer].is_floating_point() for part in ("mean", "variance")):
            raise ValueError(f"layer {layer} has statistics that are not floating point numbers")
        if not (each.isfinite().all() and variance[layer].isfinite().all()):
            raise ValueError(f"layer {layer} has statistics that are NaN or infinite")
        if (variance[layer] < 0).any():
            raise ValueError(f"layer {layer} has a negative variance")
    return mean, variance


def damage(error: Exception) -> str:
    """The fault that an error of DAMAGE reports, as a clause."""
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors as safetensors, with metadata as JSON; an existing file is replaced once all is written.

    Raises:
        OSError: the file cannot be written.
    """
    from safetensors.torch import save

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{secrets.token_hex(8)}")  # not guessable
    described = {name: json.dumps(value) for name, value in metadata.items()}
    content = save({name: each.contiguous() for name, each in tensors.items()}, metadata=described)
    file = partial.open("xb")  # follows no link
    try:
        with file:
            file.write(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and the metadata that `write_tensors` wrote.

    Raises:
        OSError: the file cannot be read.
        SafetensorError: it is of another format.
        ValueError: its metadata are not JSON.
    """
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        return tensors, {name: json.loads(value) for name, value in (file.metadata() or {}).items()}
