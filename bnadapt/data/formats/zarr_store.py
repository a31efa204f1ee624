"""Zarr stores, and the OME-Zarr images in them."""

import logging
import math
import os
import posixpath
import random
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bnadapt.data.formats.base import (
    ArrayWriter,
    NewVolume,
    Opened,
    Reduction,
    StackWriter,
    StoredChunks,
    VolumeFormat,
    array_of,
    geometry_of_names,
    reason,
    say_once,
)
from bnadapt.data.geometry import UNKNOWN, Axis, Geometry, length, named_axes, same_size
from bnadapt.errors import InputError

log = logging.getLogger(__name__)

METADATA = (".zarray", ".zattrs", ".zgroup", "zarr.json")
XARRAY = "_ARRAY_DIMENSIONS"  # attribute of Zarr 2
MOST_CHUNKS = 100_000  # up to so many are checked one by one
DRAWN_CHUNKS = 2_000  # sample of larger numbers
VERSION = "0.5"
COARSEST = 256  # largest side in pixels of the last level
TYPES = {"T": "time", "C": "channel"}  # types of axes by letter; "space" for others


class Zarr(VolumeFormat):
    """A store in a folder or zip file: an array, or one of a group."""

    suffixes = (".zarr.zip", ".zip", ".zarr")
    title = "Zarr"
    in_any_order = True
    states_size = False
    states_place = False

    def suffix_of(self, path: Path) -> str | None:
        """See `Format.suffix_of`; the folder of a store may have any name."""
        return super().suffix_of(path) or ("" if is_store(path) else None)

    def open(self, path: Path, key: str | None, pixel_size_nm: float | None) -> Opened:
        """See `VolumeFormat.open`; OME-Zarr (0.1 to 0.5) opens at full resolution if no level has the pixel size."""
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
            return self._of_array(store, path, None)
        key = None if key is None else _inside(key, f"{path}")
        group, image = _image_of(store, path, key)
        level = None
        if image and key in (None, group):
            level = level_by_pixel_size(image, pixel_size_nm) if pixel_size_nm else None
            key = f"{group}/{(level or image[0]).path}".strip("/")
        opened = self._of_array(array_of(store, path, key), path, key)
        geometry = image and _stated(image, group, key, opened.array.ndim, f"{path}:{key}")
        if not geometry:
            return opened
        sizes = {each.path: each.geometry.voxel.pixel_size_nm for each in image}
        return replace(opened, geometry=geometry, format=OmeZarr(), levels=sizes, level=level and level.path)

    def output_suffix(self, path: Path) -> str:
        """See `VolumeFormat.output_suffix`; folders are written, not zip files."""
        return self.suffixes[-1]

    def create(self, volume: NewVolume) -> StackWriter:
        """See `VolumeFormat.create`; continues what another process has begun."""
        array = new_array(volume.path, volume.key, volume.stored_shape, volume.dtype, volume.chunks, volume.geometry)
        return ArrayWriter.of(array, volume.geometry)

    def _of_array(self, array: Any, path: Path, key: str | None) -> Opened:
        names = getattr(array.metadata, "dimension_names", None) or array.attrs.get(XARRAY) or []
        geometry = geometry_of_names(names, array.ndim, f"{path}" if key is None else f"{path}:{key}")
        count, files = partial(_count_chunks, array, path), partial(_files, array, path)
        return Opened(array, geometry, key, ZARR, count_chunks=count, files=files)


class OmeZarr(Zarr):
    """OME-Zarr (0.5 when written): an image with a pyramid of resolutions, each with half the rows and columns."""

    suffixes = (".ome.zarr.zip", ".ome.zarr")
    title = "OME-Zarr"
    states_size = True
    states_place = True

    def suffix_of(self, path: Path) -> str | None:
        return VolumeFormat.suffix_of(self, path)

    def create(self, volume: NewVolume) -> StackWriter:
        """See `VolumeFormat.create`; continues what another process has begun."""
        return _Pyramid(volume)


ZARR = Zarr()


class Level(NamedTuple):
    """A resolution level of an image: the path of its array in the group of the image, and its geometry."""

    path: str
    geometry: Geometry


Image = tuple[Level, ...]
"""Levels of an OME-Zarr image, the finest first."""


class _Pyramid(StackWriter):
    """Writes the sections of a volume, of rows Y and columns X, in any order into all levels."""

    def __init__(self, volume: NewVolume) -> None:
        import zarr

        self.reduce = volume.reduce
        group = zarr.open_group(volume.path, mode="a", zarr_format=3)
        levels = [replace(volume, shape=(volume.shape[0], *size)) for size in _sizes(volume.shape[1:])]
        geometry = replace(volume.geometry, axes=_in_ome_units(volume.geometry))
        names = [geometry[letter].name or letter.lower() for letter in geometry.letters]
        with zarr.config.set({"array.write_empty_chunks": True}):  # what is missing is not background
            arrays = [
                group.require_array(
                    str(number), shape=each.stored_shape, dtype=each.dtype, chunks=each.chunks, dimension_names=names
                )
                for number, each in enumerate(levels)
            ]
        self.levels = [ArrayWriter.of(array, geometry) for array in arrays]
        if volume.provenance:
            group.attrs["bnadapt"] = dict(volume.provenance)
        image = _metadata(volume.path.name.partition(".")[0], len(levels), geometry)
        group.attrs["ome"] = {"version": VERSION, "multiscales": [image]}

    def write(self, index: int, section: np.ndarray) -> None:
        """Write a section into all levels."""
        for level in self.levels:
            level.write(index, section)
            section = halved(section, self.reduce)


def new_array(
    path: Path, key: str | None, shape: Sequence[int], dtype: np.dtype, chunks: Sequence[int], geometry: Geometry
) -> Any:
    """An array of Zarr 3, alone or in a group; opens one that another process has begun."""
    import zarr

    options = {"shape": shape, "dtype": dtype, "chunks": chunks, "dimension_names": geometry.names()}
    with zarr.config.set({"array.write_empty_chunks": True}):  # what is missing is not background
        if key is not None:
            return zarr.open_group(path, mode="a").require_array(key, **options)
        return zarr.open_array(path, mode="r+") if path.exists() else zarr.create_array(path, **options)


def is_store(path: Path) -> bool:
    """Whether a path is the folder of a Zarr store."""
    return path.is_dir() and (path.suffix.lower() == ".zarr" or any((path / name).exists() for name in METADATA))


def level_by_pixel_size(levels: Sequence[Level], pixel_size_nm: float) -> Level | None:
    """The first level of this pixel size up to rounding; None if there is none."""
    sizes = ((each.geometry.voxel.pixel_size_nm, each) for each in levels)
    return next((level for size, level in sizes if size and same_size(size, pixel_size_nm)), None)


def halved(section: np.ndarray, reduce: Reduction) -> np.ndarray:
    """A section (H, W) with half the rows and columns, rounded up; odd last ones are repeated."""
    padded = np.pad(section, [(0, side % 2) for side in section.shape], mode="edge")
    height, width = (side // 2 for side in padded.shape)
    blocks = padded.reshape(height, 2, width, 2).swapaxes(1, 2).reshape(height, width, 4)
    return reduce(blocks).astype(section.dtype)


def mean(blocks: np.ndarray) -> np.ndarray:
    """Mean over the last axis of (..., 4), rounded for integers."""
    means = blocks.mean(-1)
    return np.rint(means) if blocks.dtype.kind in "iu" else means


def majority(blocks: np.ndarray) -> np.ndarray:
    """The most frequent value along the last axis of (..., 4); the smaller one of a tie."""
    least, lower, upper, greatest = np.moveaxis(np.sort(blocks, axis=-1), -1, 0)
    pairs = np.where(upper == greatest, upper, least)
    return np.where(lower == upper, lower, np.where(least == lower, least, pairs))


# Reading


def _check_format(path: Path) -> None:
    if path.is_file():
        return
    attributes = path / "attributes.json"
    if path.suffix.lower() == ".n5" or (attributes.is_file() and '"n5"' in attributes.read_text(errors="replace")):
        raise InputError(f"{path}: is an N5 container, which is not read; convert it to Zarr, HDF5 or TIFF.")
    if not any((path / name).exists() for name in METADATA):
        raise InputError(
            f"{path}: is a folder, but not a Zarr store; give the store itself, or a folder of images to the domain"
            " `Folder`."
        )


def _image_of(store: Any, path: Path, key: str | None) -> tuple[str, Image | None]:
    """The OME-Zarr image that a key names or lies in, and the path of its group."""
    if key is None or not hasattr(store.get(key), "shape"):
        group = store if key is None else store.get(key)
        attributes = {} if group is None else group.attrs.asdict()
        return key or "", _ome_image(attributes, f"{path}" if key is None else f"{path}:{key}")
    parts = key.split("/")
    for count in range(len(parts) - 1, -1, -1):
        inside = "/".join(parts[:count])
        try:
            image = _ome_image((store[inside] if inside else store).attrs.asdict(), f"{path}:{inside}".strip(":"))
        except InputError as error:
            log.warning("%s, and are ignored.", str(error).partition(";")[0])
            return inside, None
        if image is not None:
            return inside, image
    return "", None


def _ome_image(attributes: Mapping[str, Any], context: str) -> Image | None:
    """The first image of a group with these attributes, None if there is none; refuses broken metadata."""
    try:
        images = attributes.get("ome", attributes).get("multiscales")
        if not images:
            return None
        axes = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in images[0].get("axes") or []]
        return tuple(_level(dataset, axes, images[0], context) for dataset in images[0].get("datasets") or [])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{context}: its OME metadata are broken ({type(error).__name__}: {reason(error)}); mend `multiscales` in"
            " its attributes, or name the array by its key."
        ) from error


def _level(
    dataset: Mapping[str, Any], axes: Sequence[Mapping[str, Any]], image: Mapping[str, Any], context: str
) -> Level:
    named = named_axes([str(axis["name"]) for axis in axes], [axis.get("type") for axis in axes])
    transformations = [step for each in (dataset, image) for step in each.get("coordinateTransformations") or []]
    scale, start = _placed(transformations, len(axes), context)
    placed = {
        letter: replace(named[letter], step=length(step), start=float(place), unit=_unit(axis.get("unit")))
        for letter, step, place, axis in zip(named.letters, scale, start, axes, strict=True)
    }
    return Level(_inside(str(dataset["path"]), context), replace(named, axes=placed))


def _inside(key: str, context: str) -> str:
    """The path of an array in a store, without `.` and `..`.

    Raises:
        InputError: it leads out of the store.
    """
    path = posixpath.normpath(key.strip("/"))
    if path.partition("/")[0] == "..":
        raise InputError(f"{context}: {key!r} leads out of the store; name an array inside of it.")
    return "" if path == "." else path


def _placed(transformations: Sequence[Mapping[str, Any]], count: int, context: str) -> tuple[np.ndarray, np.ndarray]:
    """Scale (NaN if unknown) and translation of `count` axes, from a sequence of transformations."""
    scale, start, is_scaled = np.ones(count), np.zeros(count), False
    for step in transformations:
        kind = step.get("type")
        if kind not in ("scale", "translation"):
            if kind != "identity":
                say_once(context, f"states a transformation of the type {kind}, which is ignored.")
            continue
        values = np.array([float(value) for value in step[kind]])
        if len(values) != count or not np.isfinite(values).all() or (kind == "scale" and (values <= 0).any()):
            say_once(context, f"states the {kind} {step[kind]} of {count} axes, which is ignored.")
        elif kind == "scale":
            scale, start, is_scaled = scale * values, start * values, True
        else:
            start = start + values
    return (scale if is_scaled else np.full(count, np.nan)), start


def _unit(unit: Any) -> str | None:
    if unit is not None and not isinstance(unit, str):
        raise TypeError(f"the unit {unit!r} is not a text")
    return unit


def _stated(image: Image, group: str, key: str, dimensions: int, context: str) -> Geometry | None:
    """The geometry of a level, from the metadata of its image."""
    inside = key.removeprefix(group).strip("/")
    level = next((each for each in image if each.path == inside), None)
    if level is None:
        return None
    geometry = level.geometry
    if not geometry.letters:  # before 0.3 all images had these five axes
        return replace(UNKNOWN, letters="TCZYX" if dimensions == 5 else "")
    if len(geometry.letters) != dimensions:
        raise InputError(
            f"{context}: has {dimensions} axes, but its OME metadata name {len(geometry.letters)},"
            f" {geometry.letters}; mend `axes` in the attributes of its group."
        )
    return geometry


def _chunk_keys(array: Any) -> tuple[list[str], int]:
    """Keys of the chunks, or shards (a random sample if there are very many), and their possible number."""
    grid = [-(-side // file) for side, file in zip(array.shape, array.shards or array.chunks, strict=True)]
    count = math.prod(grid)
    drawn = random.Random(0).sample(range(count), DRAWN_CHUNKS) if count > MOST_CHUNKS else range(count)
    places = (tuple(int(each) for each in np.unravel_index(number, grid)) for number in drawn)
    return [f"{array.path}/{array.metadata.encode_chunk_key(place)}".strip("/") for place in places], count


def _count_chunks(array: Any, path: Path) -> StoredChunks:
    keys, count = _chunk_keys(array)
    is_stored = _is_stored(path)
    stored = sum(map(is_stored, keys))
    return StoredChunks(round(stored / len(keys) * count), count, array.fill_value, len(keys) < count)


def _is_stored(path: Path) -> Callable[[str], bool]:
    """Whether a store has a key."""
    if path.is_dir():
        return lambda key: os.path.isfile(f"{path}/{key}")
    with zipfile.ZipFile(path) as file:
        return set(file.namelist()).__contains__


def _files(array: Any, path: Path) -> list[Path]:
    """The chunks of an array and the metadata of its groups; for a zip file, that file."""
    if path.is_file():
        return [path]
    folder = path / array.path
    groups = [folder, *(each for each in folder.parents if path in (each, *each.parents))]
    metadata = [group / name for group in groups for name in METADATA if (group / name).exists()]
    return [*metadata, *(path / key for key in _chunk_keys(array)[0])]


# Writing


def _sizes(size: Sequence[int]) -> list[tuple[int, int]]:
    """Rows and columns of the levels of a pyramid."""
    sizes = [tuple(size)]
    while max(sizes[-1]) > COARSEST:
        sizes.append(tuple(-(-side // 2) for side in sizes[-1]))
    return sizes


def _in_ome_units(geometry: Geometry) -> dict[str, Axis]:
    """Axes in units of OME-Zarr: other lengths in nanometres, unknown units unchanged."""
    axes = {letter: geometry[letter] for letter in geometry.letters}
    return {
        letter: axis if (axis.unit or "").endswith("meter") else axis.in_nanometres() for letter, axis in axes.items()
    }


def _metadata(name: str, levels: int, geometry: Geometry) -> dict[str, Any]:
    """One image of `multiscales`; axes without a known step have a scale of 1 and no unit."""
    axes = [(letter, geometry[letter]) for letter in geometry.letters]
    named = [
        {
            "name": axis.name or letter.lower(),
            "type": axis.kind or TYPES.get(letter, "space"),
            **({"unit": axis.unit} if axis.unit and axis.step else {}),
        }
        for letter, axis in axes
    ]
    return {"name": name, "axes": named, "datasets": [_dataset(level, axes) for level in range(levels)]}


def _dataset(level: int, axes: Sequence[tuple[str, Axis]]) -> dict[str, Any]:
    """Metadata of a level. Its first pixel averages pixels of the finest level, so its centre lies further in."""
    factors = [2**level if letter in "YX" else 1 for letter, _ in axes]
    steps = [axis.step or 1.0 for _, axis in axes]
    scale = [step * factor for step, factor in zip(steps, factors, strict=True)]
    start = [axis.start + step * (factor - 1) / 2 for (_, axis), step, factor in zip(axes, steps, factors, strict=True)]
    translation = [{"type": "translation", "translation": start}] if any(start) else []
    return {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}, *translation]}
