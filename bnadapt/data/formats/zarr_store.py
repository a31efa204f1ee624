"""Zarr stores, and the OME-Zarr images in them."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bnadapt.data.formats.base import ArrayWriter, NewVolume, Opened, StackWriter, VolumeFormat, reason
from bnadapt.data.formats.containers import array_of, geometry_of_names
from bnadapt.data.formats.multiscales import (
    VERSION,
    find_image,
    image_metadata,
    in_ome_units,
    level_by_pixel_size,
    path_inside,
    stated_geometry,
)
from bnadapt.data.formats.pyramid import halved, level_sizes
from bnadapt.data.formats.zarr_chunks import METADATA, count_chunks, files_of
from bnadapt.data.geometry import Geometry
from bnadapt.errors import InputError

XARRAY = "_ARRAY_DIMENSIONS"  # attribute of Zarr 2


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
                raise InputError(f"{path}: holds a single array; leave out the key {key!r}.")
            return self._of_array(store, path, None)
        key = None if key is None else path_inside(key, f"{path}")
        group, image = find_image(store, path, key)
        level = None
        if image and key in (None, group):
            level = level_by_pixel_size(image, pixel_size_nm) if pixel_size_nm else None
            key = f"{group}/{(level or image[0]).path}".strip("/")
        opened = self._of_array(array_of(store, path, key), path, key)
        geometry = image and stated_geometry(image, group, key, opened.array.ndim, f"{path}:{key}")
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
        count, files = partial(count_chunks, array, path), partial(files_of, array, path)
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


class _Pyramid(StackWriter):
    """Writes the sections of a volume, of rows Y and columns X, in any order into all levels."""

    def __init__(self, volume: NewVolume) -> None:
        import zarr

        self.reduce = volume.reduce
        group = zarr.open_group(volume.path, mode="a", zarr_format=3)
        levels = [replace(volume, shape=(volume.shape[0], *size)) for size in level_sizes(volume.shape[1:])]
        geometry = replace(volume.geometry, axes=in_ome_units(volume.geometry))
        names = [geometry[letter].name or letter.lower() for letter in geometry.letters]
        with zarr.config.set({"array.write_empty_chunks": True}):  # a missing chunk is not background
            arrays = [
                group.require_array(
                    str(number), shape=each.stored_shape, dtype=each.dtype, chunks=each.chunks, dimension_names=names
                )
                for number, each in enumerate(levels)
            ]
        self.levels = [ArrayWriter.of(array, geometry) for array in arrays]
        if volume.provenance:
            group.attrs["bnadapt"] = dict(volume.provenance)
        image = image_metadata(volume.path.name.partition(".")[0], len(levels), geometry)
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
    with zarr.config.set({"array.write_empty_chunks": True}):  # a missing chunk is not background
        if key is not None:
            return zarr.open_group(path, mode="a").require_array(key, **options)
        return zarr.open_array(path, mode="r+") if path.exists() else zarr.create_array(path, **options)


def is_store(path: Path) -> bool:
    """Whether a path is the folder of a Zarr store."""
    return path.is_dir() and (path.suffix.lower() == ".zarr" or any((path / name).exists() for name in METADATA))


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
