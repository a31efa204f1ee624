"""What a file format is: what reads and writes images, volumes, or both."""

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bnadapt.data.geometry import UNKNOWN, UNNAMED, Geometry, Voxel, named_axes
from bnadapt.errors import InputError
from bnadapt.files import refuse_address

log = logging.getLogger(__name__)
CHUNK = 512  # pixels of a side, at most

Reduction = Callable[[np.ndarray], np.ndarray]


class StoredChunks(NamedTuple):
    """How many chunks of an array are stored.

    Attributes:
        stored: of them.
        chunks: that there could be.
        fill_value: what the pixels of the others read as.
        is_estimate: whether only some were looked for.
    """

    stored: int
    chunks: int
    fill_value: Any
    is_estimate: bool = False


@dataclass(frozen=True, eq=False)
class Opened:
    """An array of a file, and what is known of it before any of its pixels are read.

    Attributes:
        array: read on indexing.
        geometry: its axes, as far as the file names them, and their steps, as far as it states them.
        key: where the array is in its file, if it is not the only one.
        format: that outputs are written in; by default the one that has opened it.
        levels: paths of the resolution levels of its image, the finest first, where it has such.
        level: of these, which was chosen by the pixel size.
        count_chunks: counts those that are stored, where chunks may be missing.
        files: lists the files that its pixels lie in, of very many some of them.
    """

    array: Any
    geometry: Geometry = UNKNOWN
    key: str | None = None
    format: "VolumeFormat | None" = None
    levels: Sequence[str] = ()
    level: str | None = None
    count_chunks: Callable[[], StoredChunks] | None = None
    files: Callable[[], Sequence[Path]] | None = None

    @property
    def voxel(self) -> Voxel:
        """Sides of a voxel in nanometres, where the file states them."""
        return self.geometry.voxel


@dataclass(frozen=True)
class NewVolume:
    """A volume that is to be written.

    Attributes:
        path: of the file.
        shape: (sections, H, W).
        dtype: of a pixel.
        geometry: of its two or three axes, in the order in which they are stored.
        key: of the array in a file that holds several.
        reduce: makes one number of the last axis, of four, for the levels of a pyramid.
        provenance: what it comes from.
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
        """In the order of the axes."""
        return self.geometry.shape_of(*self.shape)

    @property
    def chunks(self) -> tuple[int, ...]:
        """A section high, since sections are written one by one."""
        return self.geometry.shape_of(1, *(min(CHUNK, side) for side in self.shape[1:]))


class StackWriter(ABC):
    """Takes the sections of a volume."""

    @abstractmethod
    def write(self, index: int, section: np.ndarray) -> None:
        """Write section number `index`, (H, W).

        Raises:
            OSError: it cannot be written.
        """

    def close(self) -> None:  # noqa: B027  (some are whole at any time)
        """Finish the file."""


class ArrayWriter(StackWriter):
    """Assigns sections to an array, in any order.

    Args:
        array: of two or three axes.
        across: the axis along which sections follow each other, if there is one.
        is_transposed: whether columns come before rows.
        owner: what is closed in the end.
    """

    def __init__(self, array: Any, across: int | None, is_transposed: bool = False, owner: Any = None) -> None:
        self.array = array
        self.across = across
        self.is_transposed = is_transposed
        self.owner = owner

    @classmethod
    def of(cls, array: Any, geometry: Geometry, owner: Any = None) -> "ArrayWriter":
        """Writes sections of rows Y and columns X into an array of this geometry."""
        return cls(array, geometry.across, geometry.letters.index("X") < geometry.letters.index("Y"), owner)

    def write(self, index: int, section: np.ndarray) -> None:
        """Assign it."""
        where = () if self.across is None else (*[slice(None)] * self.across, index)
        self.array[where] = section.T if self.is_transposed else section

    def close(self) -> None:
        """Close what the array belongs to."""
        if self.owner is not None:
            self.owner.close()


class Format(ABC):
    """A file format, known by the endings of names.

    Attributes:
        suffixes: of its files, in lower case.
        title: what messages call it.
        integers: bytes of the integers without sign that it holds.
        holds_floats: whether it holds floating point numbers.
        states_size: whether its files state the size of a pixel.
        states_place: whether they state where the first pixel lies.
    """

    suffixes: Sequence[str]
    title: str
    integers: Sequence[int] = (1, 2, 4)
    holds_floats: bool = True
    states_size: bool = True
    states_place: bool = True

    def suffix_of(self, path: Path) -> str | None:
        """How the name ends, if it is that of such a file."""
        return next((suffix for suffix in self.suffixes if path.name.lower().endswith(suffix)), None)

    def holds(self, dtype: np.dtype) -> bool:
        """Whether pixels of this type can be written."""
        return self.holds_floats if dtype.kind == "f" else dtype.itemsize in self.integers

    def say_what_is_lost(self, path: Path, geometry: Geometry) -> None:
        """Name what of a geometry the files of this format have no place for."""
        known = [geometry[letter] for letter in geometry.letters]
        if not self.states_size and any(axis.step for axis in known):
            log.warning("%s: the format has no place for the size of a pixel, which is not written.", path.name)
        elif not self.states_place and any(axis.start for axis in known):
            log.warning("%s: the format has no place for the position of the volume, which is not written.", path.name)


class ImageFormat(Format):
    """A format of single images.

    Attributes:
        written_as: ending of what is written for such images, where it is not their own.
    """

    written_as: str | None = None

    @abstractmethod
    def read(self, path: Path, as_shown: bool) -> tuple[np.ndarray, str]:
        """The only image of a file.

        Args:
            path: of the file.
            as_shown: whether to give pixels as a viewer shows them: colour maps applied, few bits stretched to the
                range of their type, white that is stored as zero inverted. Otherwise values as they are stored, such as
                the class indices of a mask. Turned images are put upright in both cases.

        Returns:
            The pixels, and a letter for each of their axes; S are samples of a pixel.

        Raises:
            InputError: the file is damaged, or holds anything else than one image of a kind that is read.
        """

    @abstractmethod
    def header(self, path: Path) -> tuple[int, Geometry]:
        """Samples of a pixel, and the geometry that the file states, without its pixels."""

    @abstractmethod
    def write(self, path: Path, image: np.ndarray, geometry: Geometry = UNKNOWN) -> None:
        """Write an image (H, W)."""


class VolumeFormat(Format):
    """A format of volumes.

    Attributes:
        orders_axes: whether its files name their axes, which then have any order.
        in_any_order: whether sections may be written in any order, by several processes.
        needs_key: whether an array in a file needs a name.
    """

    orders_axes: bool = True
    in_any_order: bool = False
    needs_key: bool = False

    @abstractmethod
    def open(self, path: Path, key: str | None, as_shown: bool, pixel_size_nm: float | None) -> Opened:
        """An array of a file.

        Args:
            path: of the file, or the folder of a store.
            key: of the array, where there are several.
            as_shown: see `ImageFormat.read`.
            pixel_size_nm: of the resolution level that is read, where there are several.

        Raises:
            InputError: the file is broken, or there is no such array.
        """

    def output_suffix(self, path: Path) -> str:
        """How the names of outputs end for an input of this name."""
        return path.suffix

    @abstractmethod
    def create(self, volume: NewVolume) -> StackWriter:
        """Begin a file.

        Raises:
            OSError: it cannot be made.
        """

    def is_volume(self, path: Path) -> bool:
        """Whether a file of this format is a volume, and not a single image."""
        return True

    def read_alone(self, path: Path, key: str | None, read: Callable[[Path], Opened]) -> Opened:
        """The array of a file that holds a single one.

        Raises:
            InputError: it cannot be read, or there is a key.
        """
        if key is not None:
            raise InputError(f"{path}: holds a single array, so the key {key!r} means nothing; leave it out.")
        try:
            return read(path)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{path}: cannot be read ({reason(error)}); copy it again from its origin.") from error


def existing(path: str | Path) -> Path:
    """The path of a file or folder that can be read.

    Raises:
        InputError: it is missing, empty, an address, or may not be read.
    """
    refuse_address(path)
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file; check the path.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: may not be read; give yourself the permission, or leave it out.")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes); copy it again from its origin or leave it out.")
    return path


def reason(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def check_numbers(dtype: object, context: str) -> None:
    """Refuse arrays of anything but real numbers and truth values.

    Raises:
        InputError: they are complex, compound, text or the like.
    """
    if np.dtype(dtype).kind not in "biuf":
        raise InputError(f"{context}: holds values of type {np.dtype(dtype)}; give integers or floating point numbers.")


@lru_cache
def say_once(where: Path | str, sentence: str) -> None:
    """Say something of a file, or once for all files in a folder."""
    log.warning("%s: %s", where, sentence)


def array_of(store: Mapping[str, Any], path: Path, key: str | None) -> Any:
    """The array `key` of an HDF5 file or Zarr group.

    Raises:
        InputError: there is none of that name, or it cannot be opened.
    """
    names = ", ".join(sorted(store.keys())) or "(none)"
    if not key:
        raise InputError(f"{path}: is a container of arrays; name one of {names} as the key.")
    if key not in store:
        raise InputError(f"{path}: has no array {key!r}; name one of {names} as the key.")
    try:
        found = store[key]
    except (KeyError, OSError, ValueError) as error:
        raise InputError(
            f"{path}: {key!r} cannot be opened ({reason(error)}); it may link to a file that is gone. Name one of"
            f" {names} as the key."
        ) from error
    if not hasattr(found, "shape") and not hasattr(found, "keys"):
        raise InputError(f"{path}: {key!r} is no array; name one of {names} as the key.")
    if not hasattr(found, "shape"):
        inside = ", ".join(f"{key}/{name}" for name in sorted(found.keys())) or "(none)"
        raise InputError(f"{path}: {key!r} is a group; name one of {inside} as the key.")
    return found


def geometry_of_names(names: Sequence[Any], dimensions: int, context: str) -> Geometry:
    """The geometry of an array of a container that names its axes, or some of them.

    Args:
        names: one for each axis; none, or all None, where the file has no names.
        dimensions: how many axes the array has.
        context: file and key that messages name.

    Raises:
        InputError: there are not as many names as axes.
    """
    names = [name if isinstance(name, str) else None for name in names]
    if names and len(names) != dimensions:
        raise InputError(
            f"{context}: has {dimensions} axes, but its attributes name {len(names)}, {list(names)}; mend them."
        )
    found = named_axes(names)
    if set(found.letters) <= {UNNAMED}:
        return UNKNOWN
    if not set(found.letters) & {"Y", "X", UNNAMED}:
        log.warning("%s: calls its axes %s, of which none are rows or columns.", context, ", ".join(map(str, names)))
        return UNKNOWN
    return found
