"""Write predicted masks and probabilities in the format of their images."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock

from bnadapt.data.formats import PNG, image_format_or_png, stem_of, volume_format
from bnadapt.data.formats.base import CHUNK, ArrayWriter, Format, ImageFormat, NewVolume, StackWriter, VolumeFormat
from bnadapt.data.formats.pyramid import majority, mean
from bnadapt.data.formats.zarr_store import new_array
from bnadapt.data.geometry import ACROSS, UNKNOWN, Geometry, Plane, named_axes
from bnadapt.data.pixel_size import NOT_GIVEN, GivenPixelSize
from bnadapt.data.readers import open_masks

KINDS = ("mask", "probability")
REDUCTIONS = (majority, mean)
LOCK = ".lock"  # held while a store is created
VOLUME = Geometry("ZYX")
BUFFERED = named_axes("zyx")


class SectionWriter(ABC):
    """Writes the predictions of a domain's sections into a folder.

    Sections may arrive in any order and from several processes, each with its own writer. Files that an earlier process
    left in the folder stay. When all sections are written, one process closes its writer.
    """

    def begin(self, count: int, provenance: Mapping[str, str] | None = None) -> None:  # noqa: B027  (most need not know)
        """Announce the number of sections and their provenance."""

    @abstractmethod
    def write(self, index: int, name: str, mask: np.ndarray, probability: np.ndarray) -> None:
        """Write one section; may raise OSError.

        Args:
            index: index of the section in the domain.
            name: name of the section in the domain.
            mask: (H, W) uint8, as stored in the file.
            probability: (H, W), from `stored_probability`.
        """

    @abstractmethod
    def paths(self, names: Sequence[str]) -> list[Path]:
        """The files that sections of these names are written to."""

    def close(self) -> None:  # noqa: B027  (most writers are done with each section)
        """Finish outputs that need all sections together."""


class ImageFiles(SectionWriter):
    """`NAME_mask` and `NAME_probability` beside each other, in the format of each image; PNG for JPEG.

    `images` is the folder of the images; the outputs state their geometry, with the user's `given_size`, if the
    format can.
    """

    def __init__(self, folder: Path, images: Path | None = None, given_size: GivenPixelSize = NOT_GIVEN) -> None:
        self.folder = folder
        self.images = images
        self.given_size = given_size

    def write(self, index: int, name: str, mask: np.ndarray, probability: np.ndarray) -> None:
        """Write both images at once; see `SectionWriter.write`."""
        written_as, paths = _written_as(name), self.paths([name])
        geometry = UNKNOWN if self.images is None else image_format_or_png(Path(name)).header(self.images / name)[1]
        for path, image in zip(paths, (mask, storable_probability(probability, written_as)), strict=True):
            written_as.write(path, image, self.given_size.stated_in(geometry))

    def paths(self, names: Sequence[str]) -> list[Path]:
        """Two files for every name."""
        return [
            self.folder / f"{stem_of(Path(name))}_{kind}{_written_as(name).suffix_of(Path(name)) or PNG.suffixes[0]}"
            for name in names
            for kind in KINDS
        ]


class StackFile(SectionWriter):
    """`NAME_mask` and `NAME_probability`: two stacks in the format, and under the key, of the input.

    Zarr takes sections in any order, and a killed process breaks none of them. For other formats, and in planes other
    than xy, sections are buffered in a hidden Zarr store, from which the files are written at the end.

    Args:
        folder: output folder.
        path: file of the input.
        key: key of the input's array.
        geometry: geometry of the input's axes; the outputs share it and, if their format can, state it.
        format: format of the outputs; by default that of the input's name.
        plane: plane of the sections that are written; the stacks have the axes of the input.
    """

    def __init__(
        self,
        folder: Path,
        path: Path,
        key: str | None,
        geometry: Geometry = VOLUME,
        format: VolumeFormat | None = None,
        plane: Plane = "xy",
    ) -> None:
        self.folder = folder
        self.path = path
        self.key = key
        self.format = format or volume_format(path)
        self.geometry = geometry if self.format.orders_axes else geometry.by_sections()
        self.plane = plane
        self.count = 0
        self.provenance: Mapping[str, str] = {}
        self._stacks: list[StackWriter] = []

    def begin(self, count: int, provenance: Mapping[str, str] | None = None) -> None:
        """Prepare for `count` sections; OME-Zarr stores their provenance."""
        self.count, self.provenance = count, provenance or {}
        self.format.warn_of_losses(self.paths([])[0], self.geometry)

    def write(self, index: int, name: str, mask: np.ndarray, probability: np.ndarray) -> None:
        """Write a section into both stacks; see `SectionWriter.write`."""
        images = [storable(mask, self.format), storable_probability(probability, self.format)]
        if not self._stacks:
            with FileLock(self.folder / LOCK):
                self._stacks = [self._opened(number, image) for number, image in enumerate(images)]
        for stack, image in zip(self._stacks, images, strict=True):
            stack.write(index, image)

    def close(self) -> None:
        """Write the files of buffered sections."""
        if not self._is_buffered:
            return
        for number, path in enumerate(self.paths([])):
            sections = open_masks(self._buffer(path))
            stack = self._file(number, sections.shape, sections.dtype)
            for index in range(len(sections)):
                stack.write(index, sections[index])
            stack.close()

    def paths(self, names: Sequence[str]) -> list[Path]:
        """Two files, whatever the sections."""
        suffix = self.format.output_suffix(self.path)
        return [self.folder / f"{stem_of(self.path)}_{kind}{suffix}" for kind in KINDS]

    def _opened(self, number: int, section: np.ndarray) -> StackWriter:
        across = ACROSS[self.plane]
        shape = [*section.shape[:across], self.count, *section.shape[across:]]
        if not self._is_buffered:
            return self._file(number, shape, section.dtype)
        chunks = [1 if axis == across else min(CHUNK, side) for axis, side in enumerate(shape)]
        buffer = self._buffer(self.paths([])[number])
        return ArrayWriter(new_array(buffer, None, shape, section.dtype, chunks, BUFFERED), across)

    def _file(self, number: int, shape: Sequence[int], dtype: np.dtype) -> StackWriter:
        path = self.paths([])[number]
        volume = NewVolume(path, tuple(shape), dtype, self.geometry, self.key, REDUCTIONS[number], self.provenance)
        return self.format.create(volume)

    @property
    def _is_buffered(self) -> bool:
        """Whether sections are buffered, because the file has another order or other chunks."""
        return self.plane != "xy" or not self.format.in_any_order

    def _buffer(self, path: Path) -> Path:
        """The store that buffers sections for the file."""
        return self.folder / f".{path.name}.zarr"


def storable(image: np.ndarray, format: Format) -> np.ndarray:
    """Integers in a type that a format stores."""
    return image if format.holds(image.dtype) else image.astype(np.uint16)


def storable_probability(stored: np.ndarray, format: Format) -> np.ndarray:
    """A stored probability in a type that a format stores: its own, or else 16 bits."""
    if format.holds(stored.dtype):
        return stored
    sixteen = np.dtype(np.uint16)
    return stored_probability(stored, sixteen) if stored.dtype.kind == "f" else stored * sixteen.type(257)


def stored_probability(probability: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A probability in 0..1 in a type as fine as that of the image.

    For 8 bits and truth values that is uint8 with 255 for 1, for wider integers uint16 with 65,535 for 1, for floating
    point float32 (float16 for 16 bits).
    """
    if np.issubdtype(dtype, np.floating):
        return probability.astype(np.float16 if dtype.itemsize == 2 else np.float32)
    stored = np.dtype(np.uint8 if dtype.itemsize == 1 else np.uint16)
    return np.rint(probability * np.iinfo(stored).max).astype(stored)


def _written_as(name: str) -> ImageFormat:
    """The output format for an image: its own, but PNG for JPEG and for unknown suffixes."""
    format_ = image_format_or_png(Path(name))
    return format_ if format_.written_as is None else image_format_or_png(Path(format_.written_as))
