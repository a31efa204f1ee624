"""Stacks of sections: one TIFF, HDF5, Zarr, NumPy or MRC file, or the folder of a Zarr store."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bnadapt.data.planes import Plane
from bnadapt.data.readers.axes import save_part
from bnadapt.data.readers.choice import axes_with_choice, choice_for_masks, how_to_choose
from bnadapt.data.readers.containers import array_of, check_stored
from bnadapt.data.readers.files import check_numbers, existing, reason
from bnadapt.data.readers.opened import Opened, StoredChunks
from bnadapt.data.readers.pixel_size import voxel_of_hdf5, voxel_of_mrc
from bnadapt.data.readers.sections import Sections
from bnadapt.data.readers.tiff import TIFF_EXTENSIONS, open_tiff
from bnadapt.data.readers.zarr_store import open_zarr
from bnadapt.errors import InputError

HDF5_EXTENSIONS = (".h5", ".hdf5", ".hdf", ".ims", ".ilp", ".nwb")
MRC_EXTENSIONS = (".mrc", ".rec", ".st")
FORMATS = "multi-page TIFF, HDF5, Zarr, .npy, .mrc"
MOST_MISSING = 0.9
"""Share of an image's chunks, from which on it counts as lost. Stores leave out blank chunks, so that a block of tissue
in a larger box lacks many; masks may lack any number, for background is blank."""


def open_stack(
    path: str | Path,
    key: str | None = None,
    pixel_size_nm: float | None = None,
    index: Mapping[str, int] | None = None,
    plane: Plane = "xy",
) -> Sections:
    """Open a stack of sections.

    Args:
        path: multi-page TIFF, HDF5, .npy or .mrc file, Zarr folder or zipped Zarr store.
        key: path of the array inside an HDF5 file or a Zarr group, or of an image of OME-Zarr; number of a series of
            TIFF, from 0.
        pixel_size_nm: which level of an image of OME-Zarr is read, see `open_zarr`; by default the full resolution.
        index: of an axis that is neither sections nor channels, and of one that is, where one of it is meant; by the
            letter of the axis, or by its number from 0.
        plane: in which the sections lie.

    Returns:
        The sections, read when they are asked for (of TIFF only where pixels need no conversion).

    Raises:
        InputError: the file is missing or broken, the key is missing, or the array is no stack.
    """
    path = existing(path)
    opened, context = _opened(path, key, pixel_size_nm, as_shown=True)
    _check(opened, context, MOST_MISSING)
    return _sections(opened, index or {}, context, path, True, plane)


def open_masks(
    path: str | Path,
    images: Sections | None = None,
    key: str | None = None,
    pixel_size_nm: float | None = None,
    plane: Plane = "xy",
) -> Sections:
    """Open the masks of a stack: values as they are stored, such as class indices.

    Args:
        path: see `open_stack`.
        images: those that they belong to, if there are any; what is chosen of one of their axes is so of the masks'
            axis of that name, where they have it.
        key: see `open_stack`.
        pixel_size_nm: see `open_stack`.
        plane: see `open_stack`.

    Raises:
        InputError: see `open_stack`.
    """
    path = existing(path)
    opened, context = _opened(path, key, pixel_size_nm, as_shown=False)
    _check(opened, context, most_missing=1.0)
    index: Mapping[str, int] = {}
    if images is not None:
        index = choice_for_masks(images.index, images.dimensions, opened.axes, opened.array.shape, context)
    return _sections(opened, index, context, path, False, plane)


def _opened(path: Path, key: str | None, pixel_size_nm: float | None, as_shown: bool) -> tuple[Opened, str]:
    """An array, and what messages call it."""
    opened = _open(path, key, as_shown, pixel_size_nm)
    return opened, f"{path}" if opened.key is None else f"{path}:{opened.key}"


def _open(path: Path, key: str | None, as_shown: bool, pixel_size_nm: float | None = None) -> Opened:
    suffix = path.suffix.lower()
    if path.is_dir() or suffix in (".zip", ".zarr"):
        return open_zarr(path, key, pixel_size_nm)
    if suffix in TIFF_EXTENSIONS:
        return _tiff(path, key, as_shown)
    if suffix in HDF5_EXTENSIONS:
        return _hdf5(path, key)
    if suffix in OTHERS:
        return _alone(path, key, OTHERS[suffix])
    raise InputError(f"{path}: is of a format that is not read; convert it to one of {FORMATS}.")


def _check(opened: Opened, context: str, most_missing: float) -> None:
    check_numbers(opened.array.dtype, context)
    shape = tuple(opened.array.shape or ())
    if not shape or 0 in shape:
        raise InputError(f"{context}: has the shape {shape} and so no pixels; give another one.")
    if opened.count_chunks is not None:
        check_stored(opened.count_chunks(), context, most_missing)


def _sections(
    opened: Opened, index: Mapping[str, int], context: str, path: Path, as_shown: bool, plane: Plane
) -> Sections:
    remedy = partial(how_to_choose, opened.axes) if as_shown else save_part
    axes = axes_with_choice(opened.axes, opened.array.shape, index, context, remedy)
    return Sections(opened, axes, index, context, partial(_open, path, opened.key, as_shown), remedy, plane)


def _tiff(path: Path, key: str | None, as_shown: bool) -> Opened:
    opened = _reading(path, partial(open_tiff, key=key, as_shown=as_shown))
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
    return Opened(array, voxel=voxel_of_hdf5(array), key=key, count_chunks=partial(_count_chunks, array))


def _count_chunks(array: Any) -> StoredChunks:
    """Those of a data set; one without chunks is a single one, and one that is put together has its files."""
    if array.is_virtual:
        folder = Path(array.file.filename).parent
        found = [(folder / each.file_name).exists() for each in array.virtual_sources() if "%" not in each.file_name]
        return StoredChunks(sum(found), len(found), array.fillvalue)
    if not array.chunks:
        return StoredChunks(int(array.id.get_storage_size() > 0), 1, array.fillvalue)
    chunks = math.prod(-(-side // chunk) for side, chunk in zip(array.shape, array.chunks, strict=True))
    return StoredChunks(array.id.get_num_chunks(), chunks, array.fillvalue)


def _alone(path: Path, key: str | None, read: Callable[[Path], Opened]) -> Opened:
    """The array of a file that holds a single one."""
    if key is not None:
        raise InputError(f"{path}: holds a single array, so the key {key!r} means nothing; leave it out.")
    return _reading(path, read)


def _reading(path: Path, read: Callable[[Path], Opened]) -> Opened:
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
        return Opened(file.data, voxel=voxel_of_mrc(file.voxel_size))


OTHERS: Mapping[str, Callable[[Path], Opened]] = {".npy": _numpy, **dict.fromkeys(MRC_EXTENSIONS, _mrc)}
