"""Turn and mirror pixels as the orientation tag of TIFF and EXIF says."""

import numpy as np

ORIENTATION = 274


def upright(pixels: np.ndarray, orientation: int, rows: int = 0, columns: int = 1) -> np.ndarray:
    """Pixels as they are to be looked at.

    Args:
        pixels: of any shape.
        orientation: value of the tag, 1 to 8.
        rows: the axis of the height.
        columns: the axis of the width.
    """
    if orientation >= 5:  # rows of the file are columns of the picture
        pixels = np.swapaxes(pixels, rows, columns)
    if orientation in (3, 4, 7, 8):
        pixels = np.flip(pixels, rows)
    if orientation in (2, 3, 6, 7):
        pixels = np.flip(pixels, columns)
    return np.ascontiguousarray(pixels)
