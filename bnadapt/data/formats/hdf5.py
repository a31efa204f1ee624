"""HDF5 files, including those of ilastik and Imaris."""

import json
import logging
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bnadapt.data.formats.base import ArrayWriter, NewVolume, Opened, StackWriter, StoredChunks, VolumeFormat, reason
from bnadapt.data.formats.containers import array_of, geometry_of_names
from bnadapt.data.geometry import Axis, Geometry
from bnadapt.data.lengths import length
from bnadapt.errors import InputError

log = logging.getLogger(__name__)
SIZES = "element_size_um"  # (z, y, x), as written by Fiji's and other plugins
TYPE_FLAGS = {"C": 1, "T": 8}  # in vigra's axistags; 2 for space


class Hdf5(VolumeFormat):
    """A data set, with names of its dimensions or ilastik's axistags, and `element_size_um`."""

    suffixes = (".h5", ".hdf5", ".hdf", ".ilp", ".nwb")
    title = "HDF5"
    states_place = False
    needs_key = True

    def open(self, path: Path, key: str | None, pixel_size_nm: float | None) -> Opened:
        import h5py

        try:
            store = h5py.File(path, "r")
        except Exception as error:
            raise InputError(
                f"{path}: cannot be read as HDF5 ({reason(error)}); copy it again from its origin."
            ) from error
        array = array_of(store, path, key)
        count, files = partial(_count_chunks, array), partial(_files, array)
        return Opened(*self.pixels_and_geometry(array, f"{path}:{key}"), key, self, count_chunks=count, files=files)

    def pixels_and_geometry(self, array: Any, context: str) -> tuple[Any, Geometry]:
        """The pixels of a data set and its geometry."""
        tags = _tags(array, context)
        geometry = geometry_of_names([tag["key"] for tag in tags], array.ndim, context)
        steps = {
            letter: (length(tag.get("resolution")), None) for letter, tag in zip(geometry.letters, tags, strict=False)
        }
        sizes = np.ravel(array.attrs.get(SIZES, ()))
        if len(sizes) in (2, 3):
            letters = "ZYX"[-len(sizes) :]
            steps |= {letter: (length(size), "micrometer") for letter, size in zip(letters, sizes, strict=True)}
        elif len(sizes):
            log.warning("%s: its %s is not one number for each axis, and is ignored.", context, SIZES)
        axes = {letter: geometry[letter].of_step(*step) for letter, step in steps.items()}
        return array, Geometry(geometry.letters, axes)

    def create(self, volume: NewVolume) -> StackWriter:
        import h5py

        store = h5py.File(volume.path, "w")
        array = store.create_dataset(
            volume.key, volume.stored_shape, volume.dtype, chunks=volume.chunks, compression="gzip"
        )
        self.write_geometry(array, volume.geometry)
        return ArrayWriter.of(array, volume.geometry, store)

    def write_geometry(self, array: Any, geometry: Geometry) -> None:
        """Write the names and steps of the axes of a data set."""
        if names := geometry.names():
            tags = [
                {
                    "key": name,
                    "typeFlags": TYPE_FLAGS.get(letter, 2),
                    "resolution": geometry[letter].step or 0,
                    "description": "",
                }
                for name, letter in zip(names, geometry.letters, strict=True)
            ]
            array.attrs["axistags"] = json.dumps({"axes": tags})
            for number, name in enumerate(names):
                array.dims[number].label = name
        if geometry.voxel.y and geometry.voxel.x:
            array.attrs[SIZES] = [(side or 0.0) / 1e3 for side in geometry.voxel]


class Imaris(Hdf5):
    """Imaris volumes: data sets padded to whole blocks, with attributes for the size and extent of the image."""

    suffixes = (".ims",)
    title = "Imaris"
    states_place = True

    def pixels_and_geometry(self, array: Any, context: str) -> tuple[Any, Geometry]:
        """See `Hdf5.pixels_and_geometry`."""
        sizes = [_number_of(array.parent.attrs.get(f"ImageSize{letter}")) for letter in "ZYX"]
        if array.ndim != 3 or not all(sizes):
            return super().pixels_and_geometry(array, context)
        shape = tuple(min(int(size), side) for size, side in zip(sizes, array.shape, strict=True))
        cropped = array if shape == array.shape else Cropped(array, shape)
        return cropped, Geometry("ZYX", _extent(array.file.get("DataSetInfo/Image"), shape))

    def write_geometry(self, array: Any, geometry: Geometry) -> None:
        """Write size and extent, as Imaris does."""
        image = array.file.require_group("DataSetInfo/Image")
        for number, letter in enumerate("XYZ"):
            axis = geometry[letter].in_nanometres()
            size = array.shape[geometry.letters.index(letter)] if letter in geometry.letters else 1
            array.parent.attrs[f"ImageSize{letter}"] = _text(size)
            if axis.step_nm:
                least = (axis.start - axis.step_nm / 2) / 1e3
                image.attrs[f"ExtMin{number}"] = _text(least)
                image.attrs[f"ExtMax{number}"] = _text(least + size * axis.step_nm / 1e3)
        image.attrs["Unit"] = _text("um")


class Cropped:
    """The first part of an array, of this shape, read on slicing."""

    def __init__(self, array: Any, shape: tuple[int, ...]) -> None:
        self.array, self.shape = array, shape
        self.dtype, self.chunks, self.ndim = array.dtype, array.chunks, array.ndim

    def __getitem__(self, where: tuple[slice, ...]) -> np.ndarray:
        """Read the part at these slices, one for each axis."""
        return self.array[tuple(slice(*each.indices(side)) for each, side in zip(where, self.shape, strict=True))]


def _tags(array: Any, context: str) -> list[Mapping[str, Any]]:
    """Tags with the names of the dimensions, from axistags, labels or attached dimension scales."""
    labels = [{"key": dimension.label or next(iter(dimension.keys()), None)} for dimension in array.dims]
    stored = array.attrs.get("axistags")
    if stored is None:
        return labels
    try:
        tags = [{**tag, "key": str(tag["key"])} for tag in json.loads(stored)["axes"]]
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        log.warning("%s: its axistags are broken (%s) and ignored.", context, reason(error))
        return labels
    labelled, tagged = ([tag["key"] for tag in each] for each in (labels, tags))
    if all(labelled) and len(labelled) == len(tagged) and labelled != tagged:
        raise InputError(
            f"{context}: its axistags name the axes {', '.join(tagged)}, its dimensions {', '.join(labelled)}; correct"
            " one of the two."
        )
    return tags


def _extent(image: Any, shape: tuple[int, ...]) -> dict[str, Axis]:
    """Axes of an Imaris image from its stated extent, which ends at edges of pixels."""
    axes = {}
    for number, letter in enumerate("XYZ"):
        ends = [None if image is None else _number_of(image.attrs.get(f"Ext{end}{number}")) for end in ("Min", "Max")]
        count = shape["ZYX".index(letter)]
        step = None if None in ends else length((ends[1] - ends[0]) / count)
        unit = "um" if step is None else _text_of(image.attrs.get("Unit")) or "um"
        axes[letter] = Axis(letter.lower(), step, ends[0] + step / 2 if step else 0.0, unit)
    return axes


def _text_of(stored: Any) -> str:
    """Text that Imaris stores as an array of characters."""
    return b"".join(np.ravel([] if stored is None else stored).astype("S")).decode(errors="replace").strip()


def _number_of(stored: Any) -> float | None:
    try:
        return float(_text_of(stored))
    except ValueError:
        return None


def _text(value: object) -> np.ndarray:
    """Text as Imaris stores it."""
    return np.frombuffer(str(value).encode(), "S1")


def _files(array: Any) -> list[Path]:
    """The file of a data set, and the files of its virtual or external sources."""
    file = Path(array.file.filename)
    names = {each.file_name for each in array.virtual_sources()} - {"."} if array.is_virtual else ()
    parts = [file.parent / name for name in sorted(names)]
    return [file, *parts, *(file.parent / Path(name) for name, *_ in array.external or ())]


def _count_chunks(array: Any) -> StoredChunks:
    """Chunk counts of a data set: one if it is not chunked; the source files of a virtual one."""
    if array.is_virtual:
        folder = Path(array.file.filename).parent
        exist = [(folder / each.file_name).exists() for each in array.virtual_sources() if "%" not in each.file_name]
        return StoredChunks(sum(exist), len(exist), array.fillvalue)
    if not array.chunks:
        return StoredChunks(int(array.id.get_storage_size() > 0), 1, array.fillvalue)
    chunks = math.prod(-(-side // chunk) for side, chunk in zip(array.shape, array.chunks, strict=True))
    return StoredChunks(array.id.get_num_chunks(), chunks, array.fillvalue)
