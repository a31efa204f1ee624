"""Turn a section of a domain into a network's input."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bnadapt.data.domain import Section
from bnadapt.data.intensity import Scaling, by_data_type
from bnadapt.errors import InputError

log = logging.getLogger(__name__)
LARGEST_ZOOM = 16  # beyond that, an image of usual size exhausts the memory


@dataclass(frozen=True)
class PreparedSection:
    """A section in memory: checked, resampled, scaled.

    Attributes:
        name: name of the section.
        image: (C, H, W) float32.
        mask: (H, W) uint8 class indices, or None.
        original_size: height and width in the file.
        dtype: type of the file's pixels.
        is_blank: whether all pixels are equal, or none is finite.
        domain: name of its domain where several are pooled.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray | None
    original_size: tuple[int, int]
    dtype: np.dtype
    is_blank: bool = False
    domain: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width after resampling."""
        return self.image.shape[1:]

    def without_pixels(self) -> "PreparedSection":
        """The same section with a single pixel, to compare others with."""
        return replace(self, image=self.image[:, :1, :1].copy(), mask=None)


def prepare(
    section: Section, context: str, pixel_size_nm: float | None, scale: Scaling, zoom: float = 1.0
) -> PreparedSection:
    """Read a section, check it, resample it to a pixel size and scale its intensities.

    Args:
        section: section to read.
        context: name of its domain, for messages.
        pixel_size_nm: pixel size to resample to; sections are not resampled if this or their own is unknown.
        scale: (C, H, W) data-type scaled -> (C, H, W) float32.
        zoom: further magnification.

    Raises:
        InputError: the image cannot be used, or the mask does not fit it.
    """
    image = read_channels(section, context)
    mask = section.read_mask() if section.read_mask else None
    size = image.shape[1:]
    if mask is not None and mask.shape != size:
        raise InputError(
            f"{context}/{section.name}: the image has {size[0]} x {size[1]} pixels, its mask {mask.shape[0]} x"
            f" {mask.shape[1]}; give a mask of the image's size."
        )
    dtype, blank = image.dtype, is_blank(image)
    image = np.zeros(image.shape, np.float32) if blank else by_data_type(image)
    factor = zoom * (section.pixel_size_nm / pixel_size_nm if pixel_size_nm and section.pixel_size_nm else 1)
    if factor > LARGEST_ZOOM:
        raise InputError(
            f"{context}/{section.name}: would be enlarged {factor:g} times, from pixels of {section.pixel_size_nm} nm"
            f" to {pixel_size_nm} nm and {zoom:g} times; check --data.pixel_size_nm, and that the checkpoint is yours."
        )
    if factor != 1:
        new_size = tuple(max(1, round(side * factor)) for side in size)
        image, mask = resampled(image, new_size), None if mask is None else resampled_mask(mask, new_size)
    scaled = image if blank else scale(image)
    return PreparedSection(section.name, scaled, mask, size, dtype, blank, section.domain)


def read_channels(section: Section, context: str) -> np.ndarray:
    """The image of a section as (C, H, W) in the file's type; refuses empty images and partly non-finite ones."""
    image = section.read_image()
    image = image[np.newaxis] if image.ndim == 2 else np.moveaxis(image, 2, 0)
    if image.size == 0:
        raise InputError(f"{context}/{section.name}: has no pixels; leave it out.")
    if image.dtype.kind == "f" and 0 < (count := int((~np.isfinite(image)).sum())) < image.size:
        raise InputError(
            f"{context}/{section.name}: {count} pixels are NaN or infinite; replace them or leave the image out."
        )
    return image


def is_blank(image: np.ndarray) -> bool:
    """Whether every channel is constant or not finite."""
    return not image.size or not np.isfinite(image.flat[0]) or bool((image == image[:, :1, :1]).all())


def report_blank(context: str, blank: Sequence[str], count: int, consequence: str) -> None:
    """Warn about blank images of a domain, with a consequence such as `left out`; refuse if all `count` are blank."""
    if blank and len(blank) == count:
        raise all_blank(context, count)
    if blank:
        log.warning(
            "%s: %d of %d images %s blank (all pixels equal), such as %s; %s.",
            context,
            len(blank),
            count,
            "is" if len(blank) == 1 else "are",
            blank[0],
            consequence,
        )


def all_blank(context: str, count: int) -> InputError:
    """The refusal of a domain of `count` blank images."""
    images = "its only image is" if count == 1 else f"all of its {count} images are"
    return InputError(f"{context}: {images} blank (all pixels equal); give images that show something.")


def check_channels(section: PreparedSection, first: PreparedSection, context: str) -> None:
    """Refuse sections of one domain with different numbers of channels, blank ones excepted."""
    if len(section.image) != len(first.image) and not (section.is_blank or first.is_blank):
        raise InputError(
            f"{context}/{section.name}: has {len(section.image)} channels, {first.name} {len(first.image)}; convert all"
            " images to the same number."
        )


def resampled(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Linear resampling of (C, H, W) to another (H, W), with anti-aliasing; constant channels stay constant."""
    from skimage.transform import resize

    resized = resize(image, (len(image), *size), order=1, anti_aliasing=True, preserve_range=True)
    return resized.clip(image.min((1, 2), keepdims=True), image.max((1, 2), keepdims=True)).astype(image.dtype)


def resampled_mask(mask: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Nearest-neighbour resampling of class indices (H, W)."""
    from skimage.transform import resize

    return resize(mask, size, order=0, anti_aliasing=False, preserve_range=True).astype(mask.dtype)
