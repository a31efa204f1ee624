"""Zarr and OME-Zarr stores."""

from pathlib import Path
from typing import Any

from bnadapt.data.readers.containers import array_of, warn_of_missing_chunks
from bnadapt.data.readers.files import reason
from bnadapt.data.readers.opened import Opened
from bnadapt.data.readers.pixel_size import alike, sides_of_ome_zarr
from bnadapt.errors import InputError

METADATA = (".zarray", ".zgroup", "zarr.json")
MOST_CHUNKS = 100_000  # to count the stored ones means to list their files


def open_zarr(path: Path, key: str | None) -> Opened:
    """An array of a Zarr store, read on indexing.

    Args:
        path: folder, or zip file, of the store.
        key: path of the array inside a group; of an image of OME-Zarr (0.4 and 0.5) the full resolution by default.

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
            f"{path}: cannot be read as Zarr ({reason(error)}); give the folder, or zip file, of a Zarr store."
        ) from error
    if hasattr(store, "shape"):
        if key is not None:
            raise InputError(f"{path}: holds a single array, so the key {key!r} means nothing; leave it out.")
        array, told = store, {}
    else:
        image = _image(store)
        levels = [level["path"].strip("/") for level in image.get("datasets", [])]
        key = next(iter(levels), None) if key is None else key
        array = array_of(store, path, key)
        told = _told(image, key, array.ndim) if key.strip("/") in levels else {}
    if array.nchunks <= MOST_CHUNKS:
        context = f"{path}" if key is None else f"{path}:{key}"
        warn_of_missing_chunks(context, array.nchunks_initialized, array.nchunks, array.fill_value)
    return Opened(array, **told)


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


def _image(group: Any) -> dict[str, Any]:
    """What OME metadata say of the first image of a group: axes, and resolution levels, the finest first."""
    attributes = group.attrs.asdict()
    return (attributes.get("ome", attributes).get("multiscales") or [{}])[0]


def _told(image: dict[str, Any], key: str, dimensions: int) -> dict[str, Any]:
    """What the metadata of an image say of one of its levels."""
    names = [axis["name"] if isinstance(axis, dict) else axis for axis in image.get("axes", [])]
    axes = "".join(str(name)[:1] for name in names).upper()
    sides = sides_of_ome_zarr(image, key)
    return {
        "axes": axes if len(axes) == dimensions else None,
        "pixel_size_nm": alike(sides.get("y"), sides.get("x")),
        "spacing_nm": sides.get("z"),
        "is_ome_zarr": True,
    }
