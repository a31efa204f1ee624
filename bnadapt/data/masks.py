"""Class indices of masks."""

from collections.abc import Sequence, Set

import numpy as np

from bnadapt.errors import InputError

IGNORED = 255


def class_names(names: Sequence[str], context: str) -> tuple[str, ...]:
    """Names of the classes of masks; refuses other than 2 to 255 different ones. `context` is the file in messages."""
    if not 2 <= len(names) <= IGNORED or len(set(names)) < len(names):
        raise InputError(f"{context}: classes are {', '.join(names) or 'none'}; give 2 to {IGNORED} different names.")
    return tuple(names)


def as_classes(mask: np.ndarray, num_classes: int, ignored: int | None, context: str) -> np.ndarray:
    """Class indices (H, W) uint8, 255 where ignored, of a stored mask.

    Args:
        mask: (H, W); values 0 to K - 1. With two classes a mask of only 0 and 255, or of 0 and its type's greatest
            value, means background and foreground.
        num_classes: K.
        ignored: value of unlabelled pixels, if there are any.
        context: file (and section) named in messages.

    Raises:
        InputError: the mask is not (H, W), or has values outside the classes.

    Examples:
        >>> as_classes(np.array([[0, 255], [255, 0]]), 2, None, "mask.png")
        array([[0, 1],
               [1, 0]], dtype=uint8)
    """
    if mask.ndim != 2:
        raise InputError(
            f"{context}: is a mask in colours, of shape {mask.shape}; save it with one channel of class indices, or"
            " give a folder the colour of every class by `colours`."
        )
    labelled = mask != ignored if ignored is not None else np.ones(mask.shape, dtype=bool)
    values = set(np.unique(mask[labelled]).tolist())
    if num_classes == 2 and are_black_and_white(values, mask.dtype):
        return np.where(labelled, mask > 0, IGNORED).astype(np.uint8)
    if surplus := sorted(values - set(range(num_classes))):
        raise InputError(
            f"{context}: mask value {surplus[0]} is not a class; with {num_classes} classes values range from 0 to"
            f" {num_classes - 1}{' (or 0 and 255 alone)' if num_classes == 2 else ''}. Relabel the mask, name more"
            f" classes, or set `ignored` to {surplus[0]} if such pixels are unlabelled."
        )
    return np.where(labelled, mask, IGNORED).astype(np.uint8)


def are_black_and_white(values: Set[float], dtype: np.dtype) -> bool:
    """Whether values are those of two classes, stored as 0 and 255 or the type's greatest value."""
    greatest = np.iinfo(dtype).max if dtype.kind in "iu" else 1
    return values <= {0, 255} or values <= {0, greatest}


def from_colours(mask: np.ndarray, colours: Sequence[Sequence[int]], context: str) -> np.ndarray:
    """Class indices (H, W) uint8 of a mask (H, W, C), or (H, W) if all colours are grey, with a colour per class.

    Args:
        mask: the mask.
        colours: colours of the classes 0, 1, ..., C values each.
        context: file named in messages.

    Raises:
        InputError: a pixel has a colour that is not listed.
    """
    coloured = mask if mask.ndim == 3 else np.repeat(mask[..., np.newaxis], len(colours[0]), axis=2)
    if any(len(colour) != coloured.shape[2] for colour in colours):
        raise InputError(f"{context}: has {coloured.shape[2]} colour channels; give as many for each of `colours`.")
    is_of = (coloured[np.newaxis] == np.asarray(colours)[:, np.newaxis, np.newaxis]).all(axis=3)
    if not is_of.any(axis=0).all():
        unknown = coloured[~is_of.any(axis=0)][0].tolist()
        raise InputError(
            f"{context}: has pixels of the colour {unknown}, which is not one of `colours`; add its class,"
            " or save the mask without blended edges."
        )
    return is_of.argmax(axis=0).astype(np.uint8)


def as_stored(classes: np.ndarray, num_classes: int) -> np.ndarray:
    """Class indices as stored in output files: 0 and 255 for two classes."""
    return classes.astype(np.uint8) * (255 if num_classes == 2 else 1)
