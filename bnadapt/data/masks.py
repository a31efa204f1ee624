"""Mask files to class indices."""

import numpy as np

from bnadapt.errors import InputError

IGNORED = 255


def as_classes(mask: np.ndarray, num_classes: int, place: str) -> np.ndarray:
    """Class indices of a stored mask.

    Args:
        mask: (H, W); values 0 to K - 1, and 255 for pixels without a label. With two classes a mask
            of 0 and 255 alone, or of truth values, means background and foreground.
        num_classes: K.
        place: file (and section) that messages name.

    Returns:
        (H, W) uint8.

    Raises:
        InputError: another shape, or values that mean no class.
    """
    if mask.ndim != 2:
        raise InputError(f"{place}: a mask of shape {mask.shape}; a mask has one channel of class indices.")
    values = np.unique(mask)
    if num_classes == 2 and set(values.tolist()) <= {0, 255}:
        return (mask > 0).astype(np.uint8)
    if strange := [value for value in values.tolist() if value != IGNORED and value not in range(num_classes)]:
        raise InputError(
            f"{place}: mask value {strange[0]} is no class; with {num_classes} classes values go from 0 to"
            f" {num_classes - 1} (255: ignored{', or 0 and 255 alone' if num_classes == 2 else ''})."
            " Relabel the mask or name more classes."
        )
    return mask.astype(np.uint8)


def as_stored(classes: np.ndarray, num_classes: int) -> np.ndarray:
    """Class indices as they stand in a file that people open: 0 and 255 for two classes."""
    return classes.astype(np.uint8) * (255 if num_classes == 2 else 1)
