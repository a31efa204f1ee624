"""A user's own images: a folder of PNG, JPEG or TIFF files, with or without masks."""

import logging
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from bnadapt.data.domain import Domain, Section, refuse_format
from bnadapt.data.formats import image_format_or_png
from bnadapt.data.formats.base import VolumeFormat
from bnadapt.data.geometry import UNKNOWN, Geometry
from bnadapt.data.image_files import image_files
from bnadapt.data.mask_files import BY_ORDER, check_no_masks, check_pair, mask_files
from bnadapt.data.masks import as_classes, class_names, from_colours
from bnadapt.data.pixel_size import GivenPixelSize
from bnadapt.data.readers import read_image, read_mask_values
from bnadapt.data.writers import ImageFiles, SectionWriter
from bnadapt.errors import InputError
from bnadapt.files import refuse_address, sampled_digest

log = logging.getLogger(__name__)

COMMON_NAMES = {"images", "image", "imgs", "img", "raw"}  # common names of folders


class Folder(Domain):
    """Images of a folder, in the order of their names (2 before 10), and their masks of the same names.

    A mask belongs to the image of the same name without extension (`a.tif` and `a.png`), unless `pair` is set. Images
    without a mask count as unlabelled. Hidden files are left out.

    Args:
        images: folder of the images, PNG, JPEG or TIFF, 8 or 16 bit (TIFF: also float).
        masks: folder of the masks, which may be that of the images; without them nothing is labelled.
        pair: how masks belong to images: `name` (same names), `order` (as many of both, in the order of their names),
            or a pattern of the masks' names in which `*` stands for the image's name, such as `*_mask` or `mask_*`;
            `image_*:mask_*` if the images' names have further parts, too.
        pixel_size_nm: side of a pixel in nanometres; by default as the files state it (TIFF of ImageJ and OME). A size
            that contradicts a file is refused.
        override_pixel_size: use `pixel_size_nm` even if files state another one.
        classes: names of the mask values 0, 1, .... Two classes may also be stored as 0 and 255.
        ignored: mask value of pixels without a label, such as 255; by default every pixel has one.
        colours: colours of the classes, such as [[0, 0, 0], [255, 0, 0]], for masks stored as colour images.
        split: parts of the labelled images for training, validation and test.
        gap: images left out between two blocks; 0 if they are independent.
        label: name of the domain in tables and messages; by default the folder's name, or NAME for `NAME/images`.

    Raises:
        InputError: the folder is missing or holds no images, holds masks among its images, or a mask has no image.
    """

    def __init__(
        self,
        images: str,
        masks: str | None = None,
        pair: str = "name",
        pixel_size_nm: float | None = None,
        override_pixel_size: bool = False,
        classes: Sequence[str] = ("background", "foreground"),
        ignored: int | None = None,
        colours: Sequence[Sequence[int]] | None = None,
        split: Sequence[float] = (0.6, 0.2, 0.2),
        gap: int = 1,
        label: str | None = None,
    ) -> None:
        super().__init__(split, gap)
        for path in filter(None, (images, masks)):
            refuse_address(path)
        self.images = Path(images)
        self.masks = Path(masks) if masks else None
        self.pair = pair
        check_pair(pair, images)
        self._given_size = GivenPixelSize(pixel_size_nm, override_pixel_size)
        self.classes = class_names(classes, images)
        self.ignored = ignored
        self.colours = colours
        if colours is not None and len(colours) != len(classes):
            raise InputError(f"{images}: gives {len(colours)} colours for {len(classes)} classes; give one for each.")
        self.name = label or _name_of(self.images.absolute())
        self._headers: dict[str, tuple[int, Geometry]] = {}
        self._sections = self._paired()
        self._log_sizes()

    def labelled(self) -> list[Section]:
        """Images with a mask."""
        return [section for section in self._sections if section.read_mask]

    def unlabelled(self) -> list[Section]:
        """Images without a mask."""
        return [section for section in self._sections if not section.read_mask]

    def reads(self, path: Path) -> bool:
        """Whether the path is the folder of the images or of the masks."""
        return path.resolve() in [each.resolve() for each in (self.images, self.masks) if each]

    def files(self) -> list[Path]:
        """The files of the images."""
        return [self.images / section.name for section in self._sections]

    def writer(self, folder: Path, format: VolumeFormat | None = None) -> SectionWriter:
        """A writer in the format, and with the pixel size, of each image."""
        refuse_format(self.name, format)
        return ImageFiles(folder, self.images, self._given_size)

    def _paired(self) -> list[Section]:
        files = image_files(self.images)
        masks = mask_files(self.masks, files, self.pair, self.name) if self.masks else {}
        images = {stem: path for stem, path in files.items() if path not in set(masks.values())}
        if not images:
            raise InputError(f"{self.images}: holds only masks; give the folder of their images.")
        check_no_masks(self.images, images)
        if surplus := sorted(masks.keys() - images.keys()):
            raise InputError(
                f"{masks[surplus[0]]}: no image of that name in {self.images}; give masks the names of their images, or"
                f" say by pair how they differ, such as *_mask, mask_* or {BY_ORDER}."
            )
        if masks and (unlabelled := [path.name for stem, path in images.items() if stem not in masks]):
            log.warning(
                "%s: %d of %d images have no mask, such as %s; they count as unlabelled, so nothing is trained or"
                " scored on them.",
                self.name,
                len(unlabelled),
                len(images),
                unlabelled[0],
            )
        return [self._section(path, masks.get(stem)) for stem, path in images.items()]

    def _section(self, image: Path, mask: Path | None) -> Section:
        read_mask = partial(_read_mask, mask, len(self.classes), self.ignored, self.colours) if mask else None
        self._headers[image.name] = _header(image)
        size = self._given_size.of(image, self._headers[image.name][1].voxel)
        content = partial(sampled_digest, image)
        return Section(image.name, partial(self._read_image, image), read_mask, size, content=content)

    def _read_image(self, path: Path) -> np.ndarray:
        """An image with as many channels as the others: grey values become colours if others have colours."""
        image, samples = read_image(path), self._samples
        stored = self._headers[path.name][0]
        is_grey = image.ndim == 2 and (stored == samples or (stored == 1 and samples == 3))
        return np.repeat(image[..., np.newaxis], samples, axis=2) if is_grey and samples > 1 else image

    @cached_property
    def _samples(self) -> int:
        """Number of channels of the first image with differing channels; 1 if there is none."""
        in_colour = (self.images / name for name, (samples, _) in self._headers.items() if samples > 1)
        return next((image.shape[2] for image in map(read_image, in_colour) if image.ndim == 3), 1)

    def _log_sizes(self) -> None:
        """Report the pixel sizes stated by the files and used, or overridden."""
        size, voxels = self._given_size, [geometry.voxel for _, geometry in self._headers.values()]
        sizes = sorted({voxel.pixel_size_nm for voxel in voxels if voxel.pixel_size_nm})
        widths = " to ".join(f"{width:g}" for width in dict.fromkeys(sizes[:1] + sizes[-1:]))
        if sizes and size.overrides:
            log.warning("%s: its pixels are taken as %g nm wide, though its files say %s.", self.name, size.nm, widths)
        elif size.nm is not None:
            return
        elif sizes:
            log.warning("%s: its pixels are %s nm wide, as its files say.", self.name, widths)
        elif unread := next(iter(self._headers.values()))[1].unread():
            log.warning("%s: %s", self.name, unread)


def _name_of(folder: Path) -> str:
    """The name of a folder, or of its parent if the folder is called `images` or the like."""
    return folder.parent.name or folder.name if folder.name.lower() in COMMON_NAMES else folder.name


def _header(path: Path) -> tuple[int, Geometry]:
    """Samples per pixel and geometry of an image; defaults for a broken one, which is refused on reading."""
    try:
        return image_format_or_png(path).header(path)
    except Exception:
        return 1, UNKNOWN


def _read_mask(
    path: Path, num_classes: int, ignored: int | None, colours: Sequence[Sequence[int]] | None
) -> np.ndarray:
    values = read_mask_values(path)
    if colours is not None:
        return from_colours(values, colours, str(path))
    return as_classes(values, num_classes, ignored, str(path))
