"""From a section of a domain to the array that a network sees."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bnadapt.data.domain import Section
from bnadapt.data.intensity import by_data_type
from bnadapt.errors import InputError


@dataclass(frozen=True)
class PreparedSection:
    """A section in memory: checked, resampled, scaled.

    Attributes:
        name: of the section.
        image: (C, H, W) float32.
        mask: (H, W) uint8 class indices, or None.
        original_size: height and width in the file.
        dtype: of the file.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray | None
    original_size: tuple[int, int]
    dtype: np.dtype

    @property
    def size(self) -> tuple[int, int]:
        """Height and width after resampling."""
        return self.image.shape[1:]


def prepare(
    section: Section,
    place: str,
    pixel_size_nm: float | None,
    scale: Callable[[np.ndarray], np.ndarray],
) -> PreparedSection:
    """Read a section, check it, resample it to a pixel size and scale its intensities.

    Args:
        section: what to read.
        place: name of its domain, for messages.
        pixel_size_nm: to resample to; None leaves the pixels as they are, as does a section
            whose own pixel size is not known.
        scale: (C, H, W) data-type scaled -> (C, H, W) float32.

    Raises:
        InputError: the image cannot be used, or the mask does not fit it.
    """
    image = read_channels(section, place)
    mask = section.read_mask() if section.read_mask else None
    size = image.shape[1:]
    if mask is not None and mask.shape != size:
        raise InputError(
            f"{place}/{section.name}: the image has {size[0]} x {size[1]} pixels, its mask {mask.shape[0]} x"
            f" {mask.shape[1]}; give a mask of the image's size."
        )
    dtype = image.dtype
    image = by_data_type(image)
    if pixel_size_nm and section.pixel_size_nm and pixel_size_nm != section.pixel_size_nm:
        new_size = tuple(max(1, round(side * section.pixel_size_nm / pixel_size_nm)) for side in size)
        image, mask = resampled(image, new_size), None if mask is None else resampled_mask(mask, new_size)
    return PreparedSection(section.name, scale(image), mask, size, dtype)


def read_channels(section: Section, place: str) -> np.ndarray:
    """The image of a section as (C, H, W) in the file's type.

    Raises:
        InputError: pixels that are no finite numbers, or all the same.
    """
    image = section.read_image()
    image = image[np.newaxis] if image.ndim == 2 else np.moveaxis(image, 2, 0)
    if np.issubdtype(image.dtype, np.floating) and not np.isfinite(image).all():
        count = int((~np.isfinite(image)).sum())
        raise InputError(
            f"{place}/{section.name}: {count} pixels are NaN or infinite; replace them or leave the image out."
        )
    if image.size == 0 or image.min() == image.max():
        raise InputError(
            f"{place}/{section.name}: every pixel is {image.flat[0] if image.size else 'missing'}; a constant image"
            " has nothing to segment or adapt to, leave it out."
        )
    return image


def check_channels(section: PreparedSection, first: PreparedSection, place: str) -> None:
    """Refuse sections of one domain that differ in their number of channels.

    Raises:
        InputError: they do.
    """
    if len(section.image) != len(first.image):
        raise InputError(
            f"{place}/{section.name}: has {len(section.image)} channels, {first.name} {len(first.image)}; convert all"
            " images to the same."
        )


def resampled(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Linear resampling of (C, H, W) to another (H, W), smoothed first where it shrinks."""
    from skimage.transform import resize

    return resize(image, (len(image), *size), order=1, anti_aliasing=True, preserve_range=True).astype(np.float32)


def resampled_mask(mask: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Nearest-neighbour resampling of class indices (H, W)."""
    from skimage.transform import resize

    return resize(mask, size, order=0, anti_aliasing=False, preserve_range=True).astype(mask.dtype)
