"""Base classes of file formats, which read and write images, volumes, or both."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bnadapt.data.geometry import UNKNOWN, Geometry, Voxel
from bnadapt.errors import InputError

log = logging.getLogger(__name__)
CHUNK = 512  # largest side in pixels

Reduction = Callable[[np.ndarray], np.ndarray]


class StoredChunks(NamedTuple):
    """Number of stored chunks and of all chunks of an array, and the value of pixels in missing ones.

    With `is_estimate`, only a sample was checked.
    """

    stored: int
    chunks: int
    fill_value: Any
    is_estimate: bool = False


@dataclass(frozen=True, eq=False)
class Opened:
    """An array in a file with its metadata, before any pixels are read.

    Attributes:
        array: read on indexing.
        geometry: axes and their steps, as far as the file states them.
        key: path of the array in its file, if there are several.
        format: format of outputs; by default that of the file.
        levels: pixel sizes in nanometres, where known, of the resolution levels by path, finest first.
        level: path of the level chosen by pixel size.
        count_chunks: counts the stored chunks, if chunks may be missing.
        files: lists the files of the pixels; a sample if there are very many.
    """

    array: Any
    geometry: Geometry = UNKNOWN
    key: str | None = None
    format: "VolumeFormat | None" = None
    levels: Mapping[str, float | None] = field(default_factory=dict)
    level: str | None = None
    count_chunks: Callable[[], StoredChunks] | None = None
    files: Callable[[], Sequence[Path]] | None = None

    @property
    def voxel(self) -> Voxel:
        """Sides of a voxel in nanometres, where the file states them."""
        return self.geometry.voxel


@dataclass(frozen=True)
class NewVolume:
    """A volume to write.

    Attributes:
        path: path of the file.
        shape: (sections, H, W).
        dtype: type of a pixel.
        geometry: geometry of the two or three axes, in storage order.
        key: key of the array in a file that holds several.
        reduce: reduces the last axis, of length four, to one value, for the levels of a pyramid.
        provenance: source of the volume.
    """

    path: Path
    shape: tuple[int, int, int]
    dtype: np.dtype
    geometry: Geometry
    key: str | None = None
    reduce: Reduction = field(default=lambda blocks: blocks[..., 0])
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """The shape in the order of the stored axes."""
        return self.geometry.shape_of(*self.shape)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk: one section high, since sections are written one by one."""
        return self.geometry.shape_of(1, *(min(CHUNK, side) for side in self.shape[1:]))


class StackWriter(ABC):
    """Writes a volume section by section."""

    @abstractmethod
    def write(self, index: int, section: np.ndarray) -> None:
        """Write section number `index`, (H, W); may raise OSError."""

    def close(self) -> None:  # noqa: B027  (some are whole at any time)
        """Finish the file."""


class ArrayWriter(StackWriter):
    """Assigns sections to an array of two or three axes, in any order.

    `across` is the axis of the sections, if there is one; `owner`, a file or store, is closed at the end.
    """

    def __init__(self, array: Any, across: int | None, is_transposed: bool = False, owner: Any = None) -> None:
        self.array = array
        self.across = across
        self.is_transposed = is_transposed
        self.owner = owner

    @classmethod
    def of(cls, array: Any, geometry: Geometry, owner: Any = None) -> "ArrayWriter":
        """A writer into an array of this geometry, for sections of rows Y and columns X."""
        return cls(array, geometry.across, geometry.letters.index("X") < geometry.letters.index("Y"), owner)

    def write(self, index: int, section: np.ndarray) -> None:
        """Write section number `index`, (H, W)."""
        where = () if self.across is None else (*[slice(None)] * self.across, index)
        self.array[where] = section.T if self.is_transposed else section

    def close(self) -> None:
        """Close the file or store of the array."""
        if self.owner is not None:
            self.owner.close()


class Format(ABC):
    """A file format, identified by suffix.

    Attributes:
        suffixes: suffixes of its files, in lower case.
        title: name in messages.
        integers: supported sizes of unsigned integers, in bytes.
        holds_floats: whether it stores floating point numbers.
        states_size: whether its files state the pixel size.
        states_place: whether its files state the position of the first pixel.
    """

    suffixes: Sequence[str]
    title: str
    integers: Sequence[int] = (1, 2, 4)
    holds_floats: bool = True
    states_size: bool = True
    states_place: bool = True

    def suffix_of(self, path: Path) -> str | None:
        """The suffix of a path, if it belongs to this format."""
        return next((suffix for suffix in self.suffixes if path.name.lower().endswith(suffix)), None)

    def holds(self, dtype: np.dtype) -> bool:
        """Whether the format stores pixels of this type."""
        return self.holds_floats if dtype.kind == "f" else dtype.itemsize in self.integers

    def warn_of_losses(self, path: Path, geometry: Geometry) -> None:
        """Warn about parts of a geometry that the format cannot store."""
        axes = [geometry[letter] for letter in geometry.letters]
        if not self.states_size and any(axis.step for axis in axes):
            log.warning("%s: the format cannot store the size of a pixel, which is not written.", path.name)
        elif not self.states_place and any(axis.start for axis in axes):
            log.warning("%s: the format cannot store the position of the volume, which is not written.", path.name)


class ImageFormat(Format):
    """A format of single images; `written_as` is the suffix of outputs for them, if it differs."""

    written_as: str | None = None

    @abstractmethod
    def read(self, path: Path) -> tuple[np.ndarray, str]:
        """Read the only image of a file as a viewer shows it: its pixels, and a letter for each axis.

        Colour maps are applied, few bits stretched to the range of their type, white stored as zero is inverted, and
        rotated images are put upright. The letter of the samples of a pixel is S.

        Raises:
            InputError: the file is damaged, or does not hold a single image of a supported kind.
        """

    @abstractmethod
    def read_mask(self, path: Path) -> tuple[np.ndarray, str]:
        """Read the only mask of a file, upright, with values as stored, such as class indices; see `read`."""

    @abstractmethod
    def header(self, path: Path) -> tuple[int, Geometry]:
        """The number of samples per pixel and the stated geometry, without reading pixels."""

    @abstractmethod
    def write(self, path: Path, image: np.ndarray, geometry: Geometry = UNKNOWN) -> None:
        """Write an image (H, W)."""


class VolumeFormat(Format):
    """A format of volumes.

    Attributes:
        orders_axes: whether its files name their axes and so store them in any order.
        in_any_order: whether several processes may write sections in any order.
        needs_key: whether an array in a file needs a key.
    """

    orders_axes: bool = True
    in_any_order: bool = False
    needs_key: bool = False

    @abstractmethod
    def open(self, path: Path, key: str | None, pixel_size_nm: float | None) -> Opened:
        """Open an array of images in a file, or in the folder of a store.

        Args:
            path: path of the file or folder.
            key: key of the array, if there are several.
            pixel_size_nm: pixel size of the resolution level to read, if there are several.

        Raises:
            InputError: the file is broken, or the array does not exist.
        """

    def open_masks(self, path: Path, key: str | None, pixel_size_nm: float | None) -> Opened:
        """Open an array of masks, with values as stored; see `open`."""
        return self.open(path, key, pixel_size_nm)

    def output_suffix(self, path: Path) -> str:
        """The suffix of outputs for an input of this name."""
        return path.suffix

    @abstractmethod
    def create(self, volume: NewVolume) -> StackWriter:
        """Create a file; may raise OSError."""

    def is_volume(self, path: Path) -> bool:
        """Whether a file of this format is a volume rather than a single image."""
        return True

    def open_single_array(self, path: Path, key: str | None, open_file: Callable[[Path], Opened]) -> Opened:
        """Open the only array of a file; refuses a key, and files that cannot be read."""
        if key is not None:
            raise InputError(f"{path}: holds a single array; leave out the key {key!r}.")
        try:
            return open_file(path)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{path}: cannot be read ({reason(error)}); copy it again from its origin.") from error


def reason(error: BaseException) -> str:
    """The first line of an error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def check_real_numbers(dtype: object, context: str) -> None:
    """Refuse arrays of anything but real numbers and truth values."""
    if np.dtype(dtype).kind not in "biuf":
        raise InputError(f"{context}: holds values of type {np.dtype(dtype)}; give integers or floating point numbers.")


@lru_cache
def warn_once(where: Path | str, sentence: str) -> None:
    """Log a warning about a file, once for all files in a folder."""
    log.warning("%s: %s", where, sentence)
