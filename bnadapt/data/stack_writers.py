"""Write stacks of sections, one section after the other."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from bnadapt.data.readers.stacks import HDF5_EXTENSIONS, MRC_EXTENSIONS
from bnadapt.data.readers.tiff import TIFF_EXTENSIONS

CHUNK = 512  # pixels of a side, at most
CLASSIC_TIFF = 2**32 - 2**25  # bytes, from which on offsets need 64 bits


class StackWriter(ABC):
    """Takes the sections of a stack: of Zarr in any order, else from the first to the last."""

    @abstractmethod
    def write(self, index: int, section: np.ndarray) -> None:
        """Write section number `index`, (H, W).

        Raises:
            OSError: it cannot be written.
        """

    def close(self) -> None:  # noqa: B027  (some are whole at any time)
        """Finish the file."""


class ArrayWriter(StackWriter):
    """Of an array that is written on assignment.

    Args:
        array: (sections, H, W).
        owner: what is to be closed.
    """

    def __init__(self, array: Any, owner: Any = None) -> None:
        self.array = array
        self.owner = owner

    def write(self, index: int, section: np.ndarray) -> None:
        """Assign it."""
        self.array[index] = section

    def close(self) -> None:
        """Close what the array belongs to."""
        if self.owner is not None:
            self.owner.close()


class TiffWriter(StackWriter):
    """Of a multi-page TIFF, one page for every section."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
        import tifffile

        large = int(np.prod(shape)) * dtype.itemsize > CLASSIC_TIFF
        self.file = tifffile.TiffWriter(path, bigtiff=large)

    def write(self, index: int, section: np.ndarray) -> None:
        """Write a page."""
        self.file.write(section, photometric="minisblack", compression="zlib", metadata=None)

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def open_for_writing(path: Path, shape: tuple[int, ...], dtype: np.dtype, key: str | None) -> StackWriter:
    """A new stack; of Zarr also one that another process has begun.

    Args:
        path: its extension tells the format: TIFF, HDF5, .npy, MRC, or else Zarr.
        shape: (sections, H, W).
        dtype: of a pixel.
        key: of the array in an HDF5 file or Zarr group; a Zarr array stands alone without one.

    Raises:
        OSError: it cannot be made.
    """
    extension = path.suffix.lower()
    if extension in TIFF_EXTENSIONS:
        return TiffWriter(path, shape, dtype)
    if extension in HDF5_EXTENSIONS:
        return _hdf5(path, shape, dtype, key)
    if extension == ".npy":
        return ArrayWriter(np.lib.format.open_memmap(path, "w+", dtype, shape))
    if extension in MRC_EXTENSIONS:
        return _mrc(path, shape, dtype)
    return _zarr(path, shape, dtype, key)


def _hdf5(path: Path, shape: tuple[int, ...], dtype: np.dtype, key: str | None) -> ArrayWriter:
    import h5py

    store = h5py.File(path, "w")
    return ArrayWriter(store.create_dataset(key, shape, dtype, chunks=chunks(shape), compression="gzip"), store)


def _mrc(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> ArrayWriter:
    import mrcfile

    stored = np.dtype(np.uint16) if dtype == np.uint8 else dtype  # MRC has no unsigned bytes
    file = mrcfile.new_mmap(path, shape, mrcfile.utils.mode_from_dtype(stored))
    return ArrayWriter(file.data, file)


def _zarr(path: Path, shape: tuple[int, ...], dtype: np.dtype, key: str | None) -> ArrayWriter:
    import zarr

    options = {"shape": shape, "dtype": dtype, "chunks": chunks(shape)}
    with zarr.config.set({"array.write_empty_chunks": True}):  # what is missing is not background
        if key is not None:
            return ArrayWriter(zarr.open_group(path, mode="a").require_array(key, **options))
        return ArrayWriter(zarr.open_array(path, mode="r+") if path.exists() else zarr.create_array(path, **options))


def chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A section high, since sections are written one by one."""
    return (1, *(min(CHUNK, side) for side in shape[1:]))
