"""Read tensors and numbers from files without running code in them or using more memory than the file's size."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bnadapt.errors import InputError

MOST_VALUES = 10**6  # in a file
NOT_FINITE = "values that are NaN or infinite"
VARIANCES = "running_var"  # end of the names of BatchNorm variances


def load_tensors(path: Path) -> Any:
    """Load a file saved by torch, memory-mapped, without running code in it.

    Raises:
        ValueError: tensors are larger than their data in the file, or there are too many values.
        Exception: any, if torch cannot read the file.
    """
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    for value in values_of(content):
        if isinstance(value, Tensor) and value.numel() * value.itemsize > value.untyped_storage().nbytes():
            raise ValueError("its tensors are larger than the file")
    return content


def values_of(content: object) -> Iterator[object]:
    """All values in nested mappings and lists; shared values are repeated.

    Raises:
        ValueError: there are too many values.
    """
    return (value for _, value in _named_values(content))


def fits(stored: object, expected: Tensor) -> bool:
    """Whether a stored tensor has the shape of a network's, and no integers in place of floating point."""
    if not isinstance(stored, Tensor) or stored.shape != expected.shape:
        return False
    return stored.is_floating_point() or not expected.is_floating_point()


def check_numbers(content: object, source: Path | str) -> None:
    """Refuse missing, NaN, infinite or complex values and negative BatchNorm variances; the InputError names them.

    Args:
        content: tensors and numbers, in mappings and lists.
        source: the file, for messages.
    """
    for name, value in _named_values(content):
        if fault := _fault(name, value):
            raise InputError(
                f"{source}: {name} has {fault}; take a checkpoint from before its training went wrong, or another copy"
                " of it."
            )


def _fault(name: str, value: object) -> str | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else NOT_FINITE
    if not isinstance(value, Tensor):
        return None
    if value.is_meta:
        return "no values"
    if value.is_complex() or value.is_quantized:
        return f"values of the type {value.dtype}, and not real numbers"
    numbers = (
        value.float() if value.is_floating_point() and value.itemsize == 1 else value
    )  # torch does not test float8
    if not numbers.isfinite().all():
        return NOT_FINITE
    return "negative values and is a variance" if name.endswith(VARIANCES) and (numbers < 0).any() else None


def _named_values(content: object) -> Iterator[tuple[str, object]]:
    waiting = [("", content)]
    for _ in range(MOST_VALUES):
        if not waiting:
            return
        name, value = waiting.pop()
        yield name, value
        if isinstance(value, Mapping):
            members = value.items()
        elif isinstance(value, list | tuple):
            members = enumerate(value)
        else:
            continue
        waiting += reversed([(f"{name}.{key}" if name else str(key), each) for key, each in members])
    raise ValueError("it holds too many values")
