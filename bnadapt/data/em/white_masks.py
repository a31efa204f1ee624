"""Masks as public data sets store them."""

from pathlib import Path

import numpy as np

from bnadapt.data.readers import read_image


def white(path: Path) -> np.ndarray:
    """Foreground where the first channel of an 8-bit image is above 127. (H, W) uint8, 0 or 1."""
    image = read_image(path)
    return ((image if image.ndim == 2 else image[..., 0]) > 127).astype(np.uint8)
