"""Mask files to class indices."""

import numpy as np

from bnadapt.errors import InputError

IGNORED = 255


def as_classes(mask: np.ndarray, num_classes: int, ignored: int | None, place: str) -> np.ndarray:
    """Class indices of a stored mask.

    Args:
        mask: (H, W); values 0 to K - 1. With two classes a mask of 0 and 255 alone means background
            and foreground.
        num_classes: K.
        ignored: value of pixels without a label, if there are such.
        place: file (and section) that messages name.

    Returns:
        (H, W) uint8, 255 where ignored.

    Raises:
        InputError: another shape, or values that mean no class.
    """
    if mask.ndim != 2:
        raise InputError(f"{place}: a mask of shape {mask.shape}; a mask has one channel of class indices.")
    labelled = mask != ignored if ignored is not None else np.ones(mask.shape, dtype=bool)
    values = set(np.unique(mask[labelled]).tolist())
    if num_classes == 2 and values <= {0, 255}:
        return np.where(labelled, mask > 0, IGNORED).astype(np.uint8)
    if strange := sorted(values - set(range(num_classes))):
        raise InputError(
            f"{place}: mask value {strange[0]} is no class; with {num_classes} classes values go from 0 to"
            f" {num_classes - 1}{' (or 0 and 255 alone)' if num_classes == 2 else ''}. Relabel the mask, name more"
            f" classes, or set `ignored` to {strange[0]} if such pixels have no label."
        )
    return np.where(labelled, mask, IGNORED).astype(np.uint8)


def as_stored(classes: np.ndarray, num_classes: int) -> np.ndarray:
    """Class indices as they stand in a file that people open: 0 and 255 for two classes."""
    return classes.astype(np.uint8) * (255 if num_classes == 2 else 1)
