"""Stacks of sections: one TIFF, HDF5, Zarr, NumPy or MRC file, or the folder of a Zarr store."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bnadapt.data.readers.axes import Layout, guessed_axes, layout, single_channel
from bnadapt.data.readers.containers import array_of, warn_of_missing_chunks
from bnadapt.data.readers.files import check_numbers, existing, reason
from bnadapt.data.readers.opened import Opened
from bnadapt.data.readers.pixel_size import of_hdf5, of_mrc
from bnadapt.data.readers.tiff import TIFF_EXTENSIONS, open_tiff
from bnadapt.data.readers.zarr_store import open_zarr
from bnadapt.errors import InputError

HDF5_EXTENSIONS = (".h5", ".hdf5", ".hdf", ".ims", ".ilp", ".nwb")
MRC_EXTENSIONS = (".mrc", ".rec", ".st")
FORMATS = "multi-page TIFF, HDF5, Zarr, .npy, .mrc"


class Sections:
    """The sections of an array along one of its axes, read on indexing: (H, W) or (H, W, C) each.

    Truth values come as 0 and 255, and equal colour channels as one.

    Args:
        opened: the array.
        found: where its axes are.
        context: file (and key) that messages name.
    """

    def __init__(self, opened: Opened, found: Layout, context: str) -> None:
        self.opened = opened
        self.array = opened.array
        self.dtype = np.dtype(self.array.dtype)
        self.context = context
        self._layout = found
        self._order = [found.rows, found.columns, *([] if found.channels is None else [found.channels])]

    @property
    def shape(self) -> tuple[int, ...]:
        """(sections, H, W) or (sections, H, W, C)."""
        count = 1 if self._layout.sections is None else self.array.shape[self._layout.sections]
        return (count, *(self.array.shape[axis] for axis in self._order))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> np.ndarray:
        """Section number `index`.

        Raises:
            InputError: it cannot be read.
        """
        where: list[Any] = [slice(None)] * len(self.array.shape)
        if self._layout.sections is not None:
            where[self._layout.sections] = slice(index, index + 1)
        try:
            pixels = np.asarray(self.array[tuple(where)])
        except Exception as error:
            raise InputError(
                f"{self.context}: section {index} cannot be read ({reason(error)}); copy the file again."
            ) from error
        rest = [axis for axis in range(pixels.ndim) if axis not in self._order]
        section = pixels.transpose(*self._order, *rest).reshape(self.shape[1:])
        section = section.astype(np.uint8) * 255 if section.dtype == bool else section
        return single_channel(section)


def open_stack(path: str | Path, key: str | None = None, as_shown: bool = True) -> Sections:
    """Open a stack of sections.

    Args:
        path: multi-page TIFF, HDF5, .npy or .mrc file, Zarr folder or zipped Zarr store.
        key: path of the array inside an HDF5 file or a Zarr group; of OME-Zarr the full resolution by default.
        as_shown: whether TIFF pixels are those that a viewer shows, see `read_tiff`.

    Returns:
        The sections, read when they are asked for (of TIFF only where pixels need no conversion).

    Raises:
        InputError: the file is missing or broken, the key is missing, or the array is no stack.
    """
    path = existing(path)
    suffix = path.suffix.lower()
    context = f"{path}" if key is None else f"{path}:{key}"
    if path.is_dir() or suffix in (".zip", ".zarr"):
        opened = open_zarr(path, key)
    elif suffix in TIFF_EXTENSIONS:
        opened = _tiff(path, key, as_shown)
    elif suffix in HDF5_EXTENSIONS:
        opened = _hdf5(path, key)
    elif suffix in OTHERS:
        opened = _alone(path, key, OTHERS[suffix])
    else:
        raise InputError(f"{path}: is of a format that is not read; convert it to one of {FORMATS}.")
    array = opened.array
    check_numbers(array.dtype, context)
    shape = tuple(array.shape or ())
    if not shape or 0 in shape:
        raise InputError(f"{context}: has the shape {shape} and so no pixels; give another one.")
    axes = opened.axes or guessed_axes(array.shape, context)
    return Sections(opened, layout(axes, array.shape, context), context)


def _tiff(path: Path, key: str | None, as_shown: bool) -> Opened:
    opened = _alone(path, key, partial(open_tiff, as_shown=as_shown))
    if opened.axes == "SYX":  # how three or four sections come out that were written without saying what they are
        return replace(opened, axes="ZYX")
    if not set(opened.axes) - set("YXS"):
        raise InputError(
            f"{path}: has the shape {opened.array.shape}, one image; give single images to the domain `Folder`."
        )
    return opened


def _hdf5(path: Path, key: str | None) -> Opened:
    import h5py

    try:
        store = h5py.File(path, "r")
    except Exception as error:
        raise InputError(f"{path}: cannot be read as HDF5 ({reason(error)}); copy it again from its origin.") from error
    array = array_of(store, path, key)
    if array.chunks:
        chunks = int(np.prod([-(-side // chunk) for side, chunk in zip(array.shape, array.chunks, strict=True)]))
        warn_of_missing_chunks(f"{path}:{key}", array.id.get_num_chunks(), chunks, array.fillvalue)
    return Opened(array, pixel_size_nm=of_hdf5(array))


def _alone(path: Path, key: str | None, read: Callable[[Path], Opened]) -> Opened:
    """The array of a file that holds a single one."""
    if key is not None:
        raise InputError(f"{path}: holds a single array, so the key {key!r} means nothing; leave it out.")
    try:
        return read(path)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}); copy it again from its origin.") from error


def _numpy(path: Path) -> Opened:
    return Opened(np.load(path, mmap_mode="r", allow_pickle=False))


def _mrc(path: Path) -> Opened:
    import mrcfile

    with mrcfile.mmap(path, "r") as file:
        return Opened(file.data, pixel_size_nm=of_mrc(file.voxel_size))


OTHERS: Mapping[str, Callable[[Path], Opened]] = {".npy": _numpy, **dict.fromkeys(MRC_EXTENSIONS, _mrc)}
