"""Read images and stacks from files, and refuse broken ones by name."""

from pathlib import Path

import numpy as np

from bnadapt.errors import InputError

IMAGE_ENDINGS = (".png", ".tif", ".tiff")
MOST_CHANNELS = 4
HDF5_ENDINGS = (".h5", ".hdf5", ".hdf")


def read_image(path: Path) -> np.ndarray:
    """Read one PNG or TIFF image.

    Returns:
        (H, W) or (H, W, C) in the file's type; an alpha channel is dropped, and equal colour
        channels become one.

    Raises:
        InputError: the file is missing, empty, truncated or no image.
    """
    image = _decode(_existing(path))
    if image.ndim == 3 and image.shape[2] in (2, 4):
        image = image[..., :-1]
    if image.ndim == 3 and all(np.array_equal(image[..., 0], other) for other in np.moveaxis(image, 2, 0)):
        image = image[..., 0]
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] > MOST_CHANNELS):
        raise InputError(
            f"{path}: holds an array of shape {image.shape}, not one image; give a stack to the domain `Stack`."
        )
    return image


def _decode(path: Path) -> np.ndarray:
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            import tifffile

            return tifffile.imread(path)
        import imageio.v3

        return imageio.v3.imread(path)
    except Exception as error:
        raise InputError(
            f"{path}: cannot be read as an image ({_reason(error)}); copy it again from its origin or leave it out."
        ) from error


def open_stack(path: Path, key: str | None = None) -> np.ndarray:
    """Open a stack of sections: multi-page TIFF, HDF5 or Zarr.

    Args:
        path: the file, or the Zarr folder.
        key: path of the array inside an HDF5 file or a Zarr group.

    Returns:
        An array (sections, H, W) or (sections, H, W, C) read on indexing (TIFF: whole).

    Raises:
        InputError: the file is missing or broken, the key is missing, or the array is no stack.
    """
    stack = _open_array(_existing(path), key)
    if stack.ndim not in (3, 4):
        raise InputError(
            f"{_place(path, key)}: has shape {tuple(stack.shape)}; a stack is (sections, height, width) or"
            " (sections, height, width, channels). Give single images to the domain `Folder`."
        )
    return stack


def _open_array(path: Path, key: str | None) -> np.ndarray:
    suffix = path.suffix.lower()
    if suffix in (".tif", ".tiff"):
        return _decode(path) if key is None else _no_key(path, key)
    try:
        if suffix in HDF5_ENDINGS:
            import h5py

            store = h5py.File(path, "r")
        else:
            import zarr

            store = zarr.open(path, mode="r")
    except Exception as error:
        raise InputError(
            f"{path}: cannot be read as {'HDF5' if suffix in HDF5_ENDINGS else 'Zarr'} ({_reason(error)});"
            " copy it again from its origin."
        ) from error
    return _member(store, path, key)


def _member(store: object, path: Path, key: str | None) -> np.ndarray:
    """The array `key` of an HDF5 file or Zarr group; a Zarr array may be the store itself."""
    if hasattr(store, "shape"):
        return store if key is None else _no_key(path, key)
    names = sorted(store.keys())
    if key is None or key not in store:
        raise InputError(f"{path}: has no array {key!r}; name one of {', '.join(names) or '(none)'} as the key.")
    if not hasattr(store[key], "shape"):
        inside = ", ".join(f"{key}/{name}" for name in sorted(store[key].keys()))
        raise InputError(f"{path}: {key!r} is a group; name one of {inside or '(none)'} as the key.")
    return store[key]


def _no_key(path: Path, key: str) -> np.ndarray:
    raise InputError(f"{path}: holds a single array, so the key {key!r} means nothing; leave it out.")


def _existing(path: Path) -> Path:
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file; check the path.")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes); copy it again from its origin or leave it out.")
    return path


def _place(path: Path, key: str | None) -> str:
    return f"{path}" if key is None else f"{path}:{key}"


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
