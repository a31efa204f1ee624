"""Sections of public data sets, with masks given by ranges of grey values."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from bnadapt.data.domain import Section
from bnadapt.data.readers import read_image

Values = tuple[int, int]  # least and greatest grey value of a label
WHITE = (128, 255)


def section_of(
    image: Path, pixel_size_nm: float | None, mask: Path | None = None, values: Values = WHITE, **details: str
) -> Section:
    """The section of an image and its mask, if it has one; `details` such as another name go to `Section`."""
    read_mask = partial(read_label, mask, values) if mask else None
    return replace(Section(image.name, partial(read_image, image), read_mask, pixel_size_nm), **details)


def read_label(path: Path, values: Values) -> np.ndarray:
    """(H, W) uint8: 1 where the first channel of an 8-bit image lies within `values`, both ends included; else 0."""
    image = read_image(path)
    image = image if image.ndim == 2 else image[..., 0]
    return ((values[0] <= image) & (image <= values[1])).astype(np.uint8)
