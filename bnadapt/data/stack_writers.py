"""Write stacks of sections, one section after the other."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from bnadapt.data.planes import ACROSS, Plane, part_of
from bnadapt.data.readers.stacks import HDF5_EXTENSIONS, MRC_EXTENSIONS
from bnadapt.data.readers.tiff import TIFF_EXTENSIONS
from bnadapt.data.voxel import UNKNOWN, Voxel

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
        array: (Z, Y, X).
        owner: what is to be closed.
        plane: in which the sections lie.
    """

    def __init__(self, array: Any, owner: Any = None, plane: Plane = "xy") -> None:
        self.array = array
        self.owner = owner
        self.plane = plane

    def write(self, index: int, section: np.ndarray) -> None:
        """Assign it."""
        self.array[part_of(self.plane, index)] = section

    def close(self) -> None:
        """Close what the array belongs to."""
        if self.owner is not None:
            self.owner.close()


class TiffWriter(StackWriter):
    """Of a multi-page TIFF, one page for every section; with a known pixel size as ImageJ writes it.

    ImageJ's form says the number of sections, the unit, and the distance of sections in the description of the first
    page, and the pixels in a unit as the resolution of every page.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype, voxel: Voxel = UNKNOWN) -> None:
        import tifffile

        large = int(np.prod(shape)) * dtype.itemsize > CLASSIC_TIFF
        self.file = tifffile.TiffWriter(path, bigtiff=large)
        self.options: dict[str, Any] = {}
        self.description: str | None = None
        if voxel.pixel_size_nm:
            self.options = {"resolution": (1 / voxel.pixel_size_nm,) * 2, "resolutionunit": "NONE"}
            self.description = _for_imagej(shape[0], voxel)

    def write(self, index: int, section: np.ndarray) -> None:
        """Write a page."""
        self.file.write(
            section,
            photometric="minisblack",
            compression="zlib",
            metadata=None,
            description=None if index else self.description,
            **self.options,
        )

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def open_for_writing(
    path: Path, shape: tuple[int, ...], dtype: np.dtype, key: str | None, voxel: Voxel = UNKNOWN
) -> StackWriter:
    """A new stack; of Zarr also one that another process has begun.

    Args:
        path: its extension tells the format: TIFF, HDF5, .npy, MRC, or else Zarr.
        shape: (sections, H, W).
        dtype: of a pixel.
        key: of the array in an HDF5 file or Zarr group; a Zarr array stands alone without one.
        voxel: its sides, which TIFF, HDF5 and MRC files state.

    Raises:
        OSError: it cannot be made.
    """
    extension = path.suffix.lower()
    if extension in TIFF_EXTENSIONS:
        return TiffWriter(path, shape, dtype, voxel)
    if extension in HDF5_EXTENSIONS:
        return _hdf5(path, shape, dtype, key, voxel)
    if extension == ".npy":
        return ArrayWriter(np.lib.format.open_memmap(path, "w+", dtype, shape))
    if extension in MRC_EXTENSIONS:
        return _mrc(path, shape, dtype, voxel)
    return open_zarr_for_writing(path, shape, dtype, key)


def _for_imagej(sections: int, voxel: Voxel) -> str:
    """The description by which ImageJ knows its stacks."""
    spacing = f"spacing={voxel.spacing_nm!r}\n" if voxel.spacing_nm else ""
    return f"ImageJ=1.54f\nimages={sections}\nslices={sections}\nunit=nm\n{spacing}"


def _hdf5(path: Path, shape: tuple[int, ...], dtype: np.dtype, key: str | None, voxel: Voxel) -> ArrayWriter:
    import h5py

    store = h5py.File(path, "w")
    array = store.create_dataset(key, shape, dtype, chunks=chunks(shape), compression="gzip")
    if voxel.pixel_size_nm:
        array.attrs["element_size_um"] = [side / 1e3 for side in _sides(voxel)]
    return ArrayWriter(array, store)


def _sides(voxel: Voxel) -> tuple[float, float, float]:
    """Of z, y and x in nanometres, 0 where the distance of sections is not known."""
    return voxel.spacing_nm or 0.0, voxel.pixel_size_nm, voxel.pixel_size_nm


def _mrc(path: Path, shape: tuple[int, ...], dtype: np.dtype, voxel: Voxel) -> ArrayWriter:
    import mrcfile

    stored = np.dtype(np.uint16) if dtype == np.uint8 else dtype  # MRC has no unsigned bytes
    file = mrcfile.new_mmap(path, shape, mrcfile.utils.mode_from_dtype(stored))
    file.header.label[0] = "Written by bnadapt"  # mrcfile's own tells the time, so that no two files are the same
    if voxel.pixel_size_nm:
        file.voxel_size = tuple(10 * side for side in reversed(_sides(voxel)))
    return ArrayWriter(file.data, file)


def open_zarr_for_writing(
    path: Path, shape: tuple[int, ...], dtype: np.dtype, key: str | None = None, plane: Plane = "xy"
) -> ArrayWriter:
    """A Zarr array, of sections in a plane; also one that another process has begun.

    Args:
        path: of the store.
        shape: (Z, Y, X).
        dtype: of a pixel.
        key: of the array in a group; by default it stands alone.
        plane: in which the sections lie.

    Raises:
        OSError: it cannot be made.
    """
    import zarr

    options = {"shape": shape, "dtype": dtype, "chunks": chunks(shape, plane)}
    with zarr.config.set({"array.write_empty_chunks": True}):  # what is missing is not background
        if key is not None:
            array = zarr.open_group(path, mode="a").require_array(key, **options)
        else:
            array = zarr.open_array(path, mode="r+") if path.exists() else zarr.create_array(path, **options)
    return ArrayWriter(array, plane=plane)


def chunks(shape: tuple[int, ...], plane: Plane = "xy") -> tuple[int, ...]:
    """A section high, since sections are written one by one."""
    return tuple(1 if axis == ACROSS[plane] else min(CHUNK, side) for axis, side in enumerate(shape))
