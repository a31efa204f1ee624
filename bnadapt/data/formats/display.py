"""Orientation and transparency, which files state for the display of an image."""

from pathlib import Path

import numpy as np

from bnadapt.data.formats.base import warn_once
from bnadapt.errors import InputError

ORIENTATION = 274  # tag of TIFF and EXIF


def upright(pixels: np.ndarray, orientation: int, rows: int = 0, columns: int = 1) -> np.ndarray:
    """Rotate and mirror pixels to the display orientation of the TIFF or EXIF tag, 1 to 8.

    `rows` and `columns` are the axes of height and width.
    """
    if orientation >= 5:  # rows of the file are columns of the picture
        pixels = np.swapaxes(pixels, rows, columns)
    if orientation in (3, 4, 7, 8):
        pixels = np.flip(pixels, rows)
    if orientation in (2, 3, 6, 7):
        pixels = np.flip(pixels, columns)
    return np.ascontiguousarray(pixels)


def mask_without_alpha(pixels: np.ndarray, axis: int, alpha: int, path: Path) -> np.ndarray:
    """Remove the alpha channel, at index `alpha` of `axis`, of a mask; transparent pixels become background.

    A mask of a single colour, as painting programs export it, is read from the alpha channel. Masks with partly
    transparent pixels are refused.
    """
    opacity = np.take(pixels, [alpha], axis)
    colours = np.delete(pixels, alpha, axis)
    if (opacity == opacity.flat[0]).all():
        return colours
    opaque = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "iu" else 1
    if not np.isin(opacity, (0, opaque)).all():
        raise InputError(
            f"{path}: is a mask with partly transparent pixels; save it without transparency, in one channel."
        )
    warn_once(path.absolute().parent, "holds masks with transparent pixels, which are read as background.")
    if not colours.any():  # black on transparent ground
        return np.broadcast_to(opacity, colours.shape)
    return np.where(opacity > 0, colours, 0).astype(pixels.dtype)
