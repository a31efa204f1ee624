"""A user's own volume: a stack of sections in one TIFF, HDF5, Zarr, NumPy or MRC file."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from bnadapt.data.domain import Domain, Section
from bnadapt.data.masks import as_classes
from bnadapt.data.ome_zarr_writer import Voxel
from bnadapt.data.readers import Sections, open_stack
from bnadapt.data.writers import SectionWriter, StackFile
from bnadapt.errors import InputError

log = logging.getLogger(__name__)


class Stack(Domain):
    """The sections of a stack, and those of a stack of masks.

    Sections lie along the first axis, or the one that OME or ImageJ metadata name Z (or T). Axes of length one count
    for nothing, so that OME-Zarr of one time and channel, (1, 1, Z, Y, X), is a stack too.

    Args:
        images: multi-page TIFF, HDF5, .npy or .mrc file, folder or zip file of a Zarr store; (sections, H, W) or
            (sections, H, W, C).
        masks: the same for the masks, (sections, H, W); none means that nothing is labelled. May be
            the same file under another key.
        images_key: path of the images inside an HDF5 file or Zarr group; of OME-Zarr the full resolution by default.
        masks_key: path of the masks inside theirs.
        pixel_size_nm: side of a pixel in nanometres; by default what the file of the images says (OME-Zarr, OME-TIFF,
            ImageJ, MRC, `element_size_um` in HDF5), if it does.
        classes: what the mask values 0, 1, ... mean. Two classes may also be stored as 0 and 255.
        ignored: mask value of pixels without a label, such as 255; by default there are none.
        split: parts of the sections for training, validation and test.
        gap: sections left out between two blocks, because neighbours correlate.
        label: what tables and tags call the domain; the file's name by default.

    Raises:
        InputError: a file or key is missing or broken, or the stacks differ in shape.
    """

    def __init__(
        self,
        images: str,
        masks: str | None = None,
        images_key: str | None = None,
        masks_key: str | None = None,
        pixel_size_nm: float | None = None,
        classes: Sequence[str] = ("background", "foreground"),
        ignored: int | None = None,
        split: Sequence[float] = (0.6, 0.2, 0.2),
        gap: int = 1,
        label: str | None = None,
    ) -> None:
        super().__init__(split, gap)
        self.path = Path(images)
        self.images_key = images_key
        self.classes = tuple(classes)
        self.ignored = ignored
        self.label = label
        self._images = open_stack(self.path, images_key)
        self.pixel_size_nm = pixel_size_nm or self._images.opened.pixel_size_nm
        if self.pixel_size_nm is not None and pixel_size_nm is None:
            log.warning("%s: its pixels are %g nm wide, as its file says.", self.name, self.pixel_size_nm)
        self._masks = open_stack(Path(masks), masks_key, as_shown=False) if masks else None
        if self._masks is not None and self._masks.shape != self._images.shape[:3]:
            raise InputError(
                f"{masks}: masks of shape {tuple(self._masks.shape)} for images of shape"
                f" {tuple(self._images.shape)}; every section needs one mask of its size."
            )

    @property
    def name(self) -> str:
        """The given label or the file's name without extension."""
        return self.label or self.path.stem.removesuffix(".ome")

    def labelled(self) -> list[Section]:
        """All sections, if there are masks."""
        return self._sections() if self._masks is not None else []

    def unlabelled(self) -> list[Section]:
        """All sections, if there are no masks."""
        return self._sections() if self._masks is None else []

    def reads(self, path: Path) -> bool:
        """Whether it is the file, or store, of the images, or in it."""
        return self.path.resolve() in (path.resolve(), *path.resolve().parents)

    def writer(self, folder: Path) -> SectionWriter:
        """Writes two stacks in the format of the images."""
        opened = self._images.opened
        voxel = Voxel(self.pixel_size_nm, opened.spacing_nm) if opened.is_ome_zarr else None
        return StackFile(folder, self.path, self.images_key, voxel)

    def _sections(self) -> list[Section]:
        return [
            Section(
                name=f"{self.path.name}[{index}]",
                read_image=partial(_read, self._images, index),
                read_mask=partial(self._read_mask, index) if self._masks is not None else None,
                pixel_size_nm=self.pixel_size_nm,
            )
            for index in range(len(self._images))
        ]

    def _read_mask(self, index: int) -> np.ndarray:
        context = f"{self.name}, mask of section {index}"
        return as_classes(self._masks[index], len(self.classes), self.ignored, context)


def _read(sections: Sections, index: int) -> np.ndarray:
    return sections[index]
