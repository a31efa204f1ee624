"""Read single images and masks."""

from pathlib import Path

import numpy as np

from bnadapt.data.formats import image_format_or_png
from bnadapt.data.readers.axes import MOST_CHANNELS, layout, single_channel
from bnadapt.errors import InputError
from bnadapt.files import existing


def read_image(path: str | Path) -> np.ndarray:
    """Read one PNG, JPEG or TIFF image as a viewer shows it: (H, W) or (H, W, C) in the file's type.

    Colour maps are applied, white stored as zero is inverted, rotated images are put upright, alpha channels are
    dropped, equal colour channels become one, and truth values become 0 and 255.

    Raises:
        InputError: the file is missing, empty, truncated or does not hold a single image.
    """
    path = existing(path)
    return _one_image(*image_format_or_png(path).read(path), path)


def read_mask_values(path: str | Path) -> np.ndarray:
    """Read the values of one PNG or TIFF mask: (H, W) in the file's type, (H, W, C) only for a mask in colours.

    Class indices are kept, even if they index a colour map.

    Raises:
        InputError: as for `read_image`; or it is ambiguous which pixels are foreground.
    """
    path = existing(path)
    return _one_image(*image_format_or_png(path).read_mask(path), path)


def _one_image(pixels: np.ndarray, axes: str, path: Path) -> np.ndarray:
    """Reorder the pixels of a single image to (H, W) or (H, W, C); equal channels become one."""
    places = layout(axes, pixels.shape, str(path))
    if places.sections is not None:
        raise InputError(
            f"{path}: holds an array of shape {pixels.shape}, {pixels.shape[places.sections]} sections instead of one"
            " image; give a stack to the domain `Stack`."
        )
    order = [places.rows, places.columns, *([] if places.channels is None else [places.channels])]
    image = pixels.transpose(*order, *places.dropped).reshape([pixels.shape[axis] for axis in order])
    if image.ndim == 3 and image.shape[2] > MOST_CHANNELS:
        raise InputError(
            f"{path}: has {image.shape[2]} channels, but at most {MOST_CHANNELS} are supported; save the ones to"
            " read as a separate image."
        )
    return single_channel(image)
