"""Masks of public data sets, whose labels are ranges of grey values."""

from pathlib import Path

import numpy as np

from bnadapt.data.readers import read_image

WHITE = (128, 255)


def read_label(path: Path, values: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8: 1 where the first channel of an 8-bit image lies within `values`, both ends included; else 0."""
    image = read_image(path)
    image = image if image.ndim == 2 else image[..., 0]
    return ((values[0] <= image) & (image <= values[1])).astype(np.uint8)
