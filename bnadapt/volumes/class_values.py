"""Decode stored masks, with an unknown number of classes, and probabilities."""

from collections.abc import Iterable, Iterator

import numpy as np

from bnadapt.data.masks import are_black_and_white
from bnadapt.errors import InputError

MOST_CLASSES = 64


def class_sections(sections: Iterable[tuple[str, np.ndarray]]) -> Iterator[np.ndarray]:
    """Class indices (H, W) uint8 of the sections of a mask: indices, or for two classes 0 and 255 (or the maximum).

    Args:
        sections: name in messages and stored values (H, W) of each section.

    Raises:
        InputError: values are not classes, or are ambiguous between sections.
    """
    values: set[float] = set()
    for context, mask in sections:
        if mask.ndim != 2:
            raise InputError(
                f"{context}: is a mask in colours, of shape {mask.shape}; save it with one channel of class indices."
            )
        values.update(np.unique(mask)[: MOST_CLASSES + 1].tolist())  # one too many is enough to refuse them
        if are_black_and_white(values, mask.dtype):
            yield (mask > 0).astype(np.uint8)
        else:
            _check_indices(values, context)
            yield mask.astype(np.uint8)


def _check_indices(values: set[float], context: str) -> None:
    if strange := [value for value in values if value not in range(MOST_CLASSES)]:
        raise InputError(
            f"{context}: holds values such as {min(strange):g}, which is not a class; a mask holds 0 and 255 alone, or"
            f" class indices from 0 to {MOST_CLASSES - 1}. Give NAME_mask as `bnadapt predict` writes it, not the"
            " probability or numbered objects."
        )


def in_unit_range(stored: np.ndarray, context: str) -> np.ndarray:
    """Decode probabilities (H, W) stored by `bnadapt.data.writers.stored_probability`; refuses other values."""
    if stored.dtype in (np.uint8, np.uint16):
        return stored / np.iinfo(stored.dtype).max
    if stored.ndim == 2 and stored.dtype.kind == "f" and (stored >= 0).all() and (stored <= 1).all():
        return stored
    raise InputError(
        f"{context}: does not hold probabilities; give those that `bnadapt predict` writes, unsigned with 8 or 16 bits,"
        " or floating point numbers from 0 to 1."
    )
