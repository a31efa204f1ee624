"""A user's own volume: a stack of sections in one TIFF, HDF5, Zarr, NumPy or MRC file."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from bnadapt.data.domain import Domain, Section
from bnadapt.data.formats import stem_of
from bnadapt.data.formats.base import VolumeFormat
from bnadapt.data.geometry import ACROSS, Plane, section_index
from bnadapt.data.masks import as_classes, class_names
from bnadapt.data.pixel_size import GivenPixelSize
from bnadapt.data.readers import Sections, open_masks, open_stack
from bnadapt.data.writers import SectionWriter, StackFile
from bnadapt.errors import InputError

log = logging.getLogger(__name__)
MOST_UNEQUAL = 1.25  # largest ratio of a voxel's sides for segmenting in other planes


class Stack(Domain):
    """The sections of a stack, and those of a stack of masks.

    Sections lie along the axis that the file names Z, or T for times; without names, along the first one. Axes of
    length one are ignored, so that OME-Zarr with one time and channel, (1, 1, Z, Y, X), is a stack too.

    Args:
        images: multi-page TIFF, HDF5, Imaris, .npy or .mrc file, folder or zip file of a Zarr store; (sections, H, W)
            or (sections, H, W, C).
        masks: the same for the masks, (sections, H, W); without them nothing is labelled. May be
            the same file under another key.
        images_key: path of the images inside an HDF5 file or Zarr group, or number of a series of a TIFF file, from 0;
            of OME-Zarr the full resolution by default.
        masks_key: the same for the masks, inside theirs.
        pixel_size_nm: side of a pixel in nanometres; by default what the file of the images states (OME-Zarr, OME-TIFF,
            ImageJ, Imaris, MRC, `element_size_um` in HDF5). Of OME-Zarr the resolution level of this pixel size is
            read. A size that contradicts the file is refused.
        override_pixel_size: use `pixel_size_nm` even if the file states another one; it then chooses no level.
        index: single index to read along an axis, by the axis's letter (T time, C channel, Z, or the file's name for
            it) or its number from 0, such as {T: 3, C: 0}; also applies to the masks' axis of that name.
        plane: plane of the sections: xy as they were taken, or xz or yz, with sections that follow each other along y
            or x, for volumes with isotropic voxels.
        classes: names of the mask values 0, 1, .... Two classes may also be stored as 0 and 255.
        ignored: mask value of pixels without a label, such as 255; by default every pixel has one.
        split: parts of the sections for training, validation and test.
        gap: sections left out between two blocks, because neighbours correlate.
        label: name of the domain in tables and tags; the file's name by default.

    Raises:
        InputError: a file or key is missing or broken, the stacks differ in shape, or the plane does not exist.
    """

    def __init__(
        self,
        images: str,
        masks: str | None = None,
        images_key: str | None = None,
        masks_key: str | None = None,
        pixel_size_nm: float | None = None,
        override_pixel_size: bool = False,
        index: Mapping[str, int] | None = None,
        plane: Plane = "xy",
        classes: Sequence[str] = ("background", "foreground"),
        ignored: int | None = None,
        split: Sequence[float] = (0.6, 0.2, 0.2),
        gap: int = 1,
        label: str | None = None,
    ) -> None:
        super().__init__(split, gap)
        self.path = Path(images)
        self.images_key = images_key
        self.index = dict(index or {})
        self.plane = plane
        self.classes = class_names(classes, images)
        self.ignored = ignored
        self.name = label or stem_of(self.path)
        self._given_size = GivenPixelSize(pixel_size_nm, override_pixel_size)
        if plane not in ACROSS:
            raise InputError(f"plane is {plane}; give one of {', '.join(ACROSS)}.")
        level_nm = None if override_pixel_size else pixel_size_nm
        self._images = open_stack(images, images_key, level_nm, index, plane)
        self.pixel_size_nm = self._pixel_size()
        if plane != "xy":
            self._check_sides()
        self._masks = open_masks(masks, self._images, masks_key, level_nm, plane) if masks else None
        if self._masks is not None and self._masks.shape != self._images.shape[:3]:
            raise InputError(
                f"{masks}: masks of shape {tuple(self._masks.shape)} for images of shape"
                f" {tuple(self._images.shape)}; every section needs one mask of its size."
            )

    def labelled(self) -> list[Section]:
        """All sections, if there are masks."""
        return self._sections() if self._masks is not None else []

    def unlabelled(self) -> list[Section]:
        """All sections, if masks are missing."""
        return self._sections() if self._masks is None else []

    def reads(self, path: Path) -> bool:
        """Whether the path is the file or store of the images, or inside it."""
        return self.path.resolve() in (path.resolve(), *path.resolve().parents)

    def files(self) -> list[Path]:
        """The file of the images, or their chunks in a store."""
        return self._images.files()

    def writer(self, folder: Path, format: VolumeFormat | None = None) -> SectionWriter:
        """Writes two stacks of the geometry of the images, and by default in their format."""
        geometry = self._given_size.stated_in(self._images.geometry)
        return StackFile(folder, self.path, self.images_key, geometry, format or self._images.opened.format, self.plane)

    def _pixel_size(self) -> float | None:
        """The given or stated pixel size; logs what the file states."""
        opened, requested = self._images.opened, self._given_size
        voxel = opened.geometry.voxel
        size, stated = requested.of(self._images.context, voxel, opened.levels.values()), voxel.pixel_size_nm
        if opened.level is not None:
            sentence = f"its resolution level {opened.level} is read, with pixels of {stated:g} nm, as its file says."
            log.warning("%s: %s", self.name, sentence)
        elif stated is not None and size != stated:
            log.warning("%s: its pixels are taken as %g nm wide, though its file says %g.", self.name, size, stated)
        elif requested.nm is None and stated is not None:
            log.warning("%s: its pixels are %g nm wide, as its file says.", self.name, stated)
        elif requested.nm is None and (unread := opened.geometry.unread()):
            log.warning("%s: %s", self.name, unread)
        return size

    def _check_sides(self) -> None:
        """Refuse planes with unequal voxel sides; warn if the sides are unknown."""
        voxel = self._images.geometry.voxel
        spacing, pixel = voxel.spacing_nm, voxel.pixel_size_nm or self.pixel_size_nm
        if not voxel.is_square:
            raise InputError(
                f"{self.path}: its pixels are not square, as its file says; the plane {self.plane} needs voxels of"
                " equal sides, leave out `plane`."
            )
        if pixel is None or spacing is None:
            log.warning("%s: its voxels are assumed to have equal sides, since its file does not say.", self.name)
        elif not 1 / MOST_UNEQUAL < spacing / pixel < MOST_UNEQUAL:
            raise InputError(
                f"{self.path}: its sections lie {spacing:g} nm apart and its pixels are {pixel:g} nm wide; the plane"
                f" {self.plane} needs voxels of equal sides, leave out `plane`."
            )

    def _sections(self) -> list[Section]:
        return [
            Section(
                name=f"{self.path.name}{section_index(self.plane, index)}",
                read_image=partial(_read, self._images, index),
                read_mask=partial(self._read_mask, index) if self._masks is not None else None,
                pixel_size_nm=self.pixel_size_nm,
                depth=self._images.depth,
            )
            for index in range(len(self._images))
        ]

    def _read_mask(self, index: int) -> np.ndarray:
        context = f"{self.name}, mask of section {index}"
        return as_classes(self._masks[index], len(self.classes), self.ignored, context)


def _read(sections: Sections, index: int) -> np.ndarray:
    return sections[index]
