"""Zarr and OME-Zarr stores."""

import logging
import math
import os
import random
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bnadapt.data.readers.containers import array_of
from bnadapt.data.readers.files import reason
from bnadapt.data.readers.ome_zarr import Image, level_by_pixel_size, ome_zarr_image
from bnadapt.data.readers.opened import Opened, StoredChunks
from bnadapt.errors import InputError

log = logging.getLogger(__name__)

METADATA = (".zarray", ".zgroup", "zarr.json")
MOST_CHUNKS = 100_000  # of which each is looked for
DRAWN_CHUNKS = 2_000  # of more than these


def open_zarr(path: Path, key: str | None, pixel_size_nm: float | None = None) -> Opened:
    """An array of a Zarr store, read on indexing.

    Args:
        path: folder, or zip file, of the store.
        key: path of the array inside a group, or of an image of OME-Zarr (0.4 and 0.5).
        pixel_size_nm: of the level of an image that is read, where `key` names no array; by default, and where no
            level is near, the full resolution.

    Returns:
        The array, with what OME metadata say of it.

    Raises:
        InputError: the store is none or is broken, or has no such array.
    """
    import zarr

    _check_format(path)
    try:
        store = zarr.open(zarr.storage.ZipStore(path, mode="r") if path.is_file() else path, mode="r")
    except Exception as error:
        raise InputError(
            f"{path}: cannot be read as Zarr ({reason(error)}); give the folder of a whole Zarr store, or a"
            " zip file with its contents at the top."
        ) from error
    if hasattr(store, "shape"):
        if key is not None:
            raise InputError(f"{path}: holds a single array, so the key {key!r} means nothing; leave it out.")
        return Opened(store, count_chunks=partial(_count_chunks, store, path))
    key = None if key is None else key.strip("/")
    group, image = _image_of(store, path, key)
    level = None
    if image and image.levels and key in (None, group):
        level = level_by_pixel_size(image.levels, pixel_size_nm) if pixel_size_nm else None
        key = f"{group}/{(level or image.levels[0]).path}".strip("/")
    array = array_of(store, path, key)
    told = _told(image, group, key, array.ndim, f"{path}:{key}") if image else {}
    return Opened(array, key=key, level=level and level.path, count_chunks=partial(_count_chunks, array, path), **told)


def _check_format(path: Path) -> None:
    if path.is_file():
        return
    attributes = path / "attributes.json"
    if path.suffix.lower() == ".n5" or (attributes.is_file() and '"n5"' in attributes.read_text(errors="replace")):
        raise InputError(f"{path}: is an N5 container, which is not read; convert it to Zarr, HDF5 or TIFF.")
    if not any((path / name).exists() for name in METADATA):
        raise InputError(
            f"{path}: is a folder, but no Zarr store; give the store itself, or a folder of images to the domain"
            " `Folder`."
        )


def _image_of(store: Any, path: Path, key: str | None) -> tuple[str, Image | None]:
    """The OME-Zarr image that a key names or lies in, and the path of its group."""
    if key is None or not hasattr(store.get(key), "shape"):
        group = store if key is None else store.get(key)
        attributes = {} if group is None else group.attrs.asdict()
        return key or "", ome_zarr_image(attributes, f"{path}" if key is None else f"{path}:{key}")
    parts = key.split("/")
    for length in range(len(parts) - 1, -1, -1):
        inside = "/".join(parts[:length])
        try:
            image = ome_zarr_image((store[inside] if inside else store).attrs.asdict(), f"{path}:{inside}".strip(":"))
        except InputError as error:
            log.warning("%s, and are left out of account.", str(error).partition(";")[0])
            return inside, None
        if image is not None:
            return inside, image
    return "", None


def _told(image: Image, group: str, key: str, dimensions: int, context: str) -> dict[str, Any]:
    """What the metadata of an image say of one of its levels."""
    inside = key.removeprefix(group).strip("/")
    level = next((each for each in image.levels if each.path == inside), None)
    if level is None:
        return {}
    if image.axes and len(image.axes) != dimensions:
        raise InputError(
            f"{context}: has {dimensions} axes, but its OME metadata name {len(image.axes)}, {image.axes}; mend `axes`"
            " in the attributes of its group."
        )
    return {"axes": image.axes or None, "voxel": level.voxel, "is_ome_zarr": True}


def _count_chunks(array: Any, path: Path) -> StoredChunks:
    """Those that are stored, or shards of them; of very many by some that are drawn at random."""
    grid = [-(-side // file) for side, file in zip(array.shape, array.shards or array.chunks, strict=True)]
    count, is_stored = math.prod(grid), _is_stored(path)
    is_estimate = count > MOST_CHUNKS
    drawn = random.Random(0).sample(range(count), DRAWN_CHUNKS) if is_estimate else range(count)
    found = 0
    for number in drawn:
        where = tuple(int(each) for each in np.unravel_index(number, grid))
        found += is_stored(f"{array.path}/{array.metadata.encode_chunk_key(where)}".strip("/"))
    return StoredChunks(round(found / len(drawn) * count), count, array.fill_value, is_estimate)


def _is_stored(path: Path) -> Callable[[str], bool]:
    """Whether a store has a key."""
    if path.is_dir():
        return lambda key: os.path.isfile(f"{path}/{key}")
    with zipfile.ZipFile(path) as file:
        return set(file.namelist()).__contains__
