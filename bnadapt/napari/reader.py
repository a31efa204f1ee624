"""Open what bnadapt reads as napari's layers, with pixel size, position and unit; masks become labels."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

LayerData = tuple[Any, dict[str, Any], str]
FILE, KEY = "bnadapt file", "bnadapt key"  # metadata of layers, for commands


def reader_of(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """The reader of a path; None for several paths, and for folders other than images and volumes."""
    if not isinstance(path, str):
        return None
    return layers_of if not Path(path).is_dir() or _is_readable(Path(path)) else None


def layers_of(path: str | Path) -> list[LayerData]:
    """The layer of a file, or of a folder of images of one size; several for HDF5, and for a folder of `predict`.

    Sections come first, then rows, columns, and channels if there are any. Files named like masks become labels, on
    top. Large volumes are read on demand. `viewer.add_layer(napari.layers.Layer.create(*layer))` shows one.
    """
    paths = _predicted(Path(path)) or [Path(path)]
    return [layer for each in paths for key in _keys(each) for layer in _layers(each, key)]


def _is_readable(folder: Path) -> bool:
    from bnadapt.data.formats import IMAGE_EXTENSIONS, format_of

    if format_of(folder) is not None or _predicted(folder):
        return True
    return any(each.suffix.lower() in IMAGE_EXTENSIONS for each in folder.iterdir())


def _predicted(folder: Path) -> list[Path]:
    """Volumes in a folder written by `predict`, masks after probabilities, so that they are shown on top."""
    from bnadapt.data.formats import VolumeFormat, format_of
    from bnadapt.data.writers import KINDS

    if not folder.is_dir() or format_of(folder) is not None:
        return []
    files = sorted(folder.glob("[!.]*"))
    named = [path for kind in reversed(KINDS) for path in files if path.match(f"*_{kind}.*")]
    return [path for path in named if isinstance(format_ := format_of(path), VolumeFormat) and format_.is_volume(path)]


def _layers(path: Path, key: str | None) -> list[LayerData]:
    """The layer of an array in a file."""
    from bnadapt.data.formats import stem_of
    from bnadapt.data.mask_files import MASK_WORDS
    from bnadapt.data.readers import open_masks, open_stack, read_image, read_mask_values

    name = stem_of(path) if key is None else f"{stem_of(path)} {key}"
    is_mask = bool((MASK_WORDS - {"probability"}) & set(re.split(r"[^a-z]+", name.lower())))
    readers = (read_mask_values, open_masks) if is_mask else (read_image, open_stack)
    pixels, options = _read(path, key, *readers)
    options |= {"name": name, "metadata": {FILE: str(path.absolute()), **({KEY: key} if key else {})}}
    finest = pixels[0] if isinstance(pixels, list) else pixels
    is_labels = is_mask and finest.dtype.kind in "iu" and not options.get("rgb")
    return [(pixels, options, "labels" if is_labels else "image")]


def _keys(path: Path) -> Sequence[str | None]:
    """Paths of the arrays in an HDF5 file; for others the only one, without a name."""
    from bnadapt.data.formats import Hdf5, format_of

    if type(format_of(path)) is not Hdf5:
        return [None]
    import h5py

    with h5py.File(path, "r") as file:
        names: list[str] = []
        file.visititems(lambda name, each: names.append(name) if getattr(each, "ndim", 0) in (2, 3, 4) else None)
    return names


def _read(path: Path, key: str | None, read_image: Callable, open_volume: Callable) -> tuple[Any, dict[str, Any]]:
    """Pixels, and options of the layer."""
    from bnadapt.data.formats import VolumeFormat, format_of, image_format
    from bnadapt.napari.geometry import placement
    from bnadapt.napari.lazy import levels_of

    format_ = format_of(path)
    if path.is_dir() and format_ is None:
        return _read_folder(path, read_image)
    if image_format(path) is not None and not (isinstance(format_, VolumeFormat) and format_.is_volume(path)):
        pixels = read_image(path)
        return pixels, {**placement(format_.header(path)[1], "YX"), **_colours(pixels.shape[2:])}
    sections = open_volume(path, key=key)
    options = {**placement(sections.geometry.by_sections(), "ZYX"), **_colours(sections.shape[3:])}
    return levels_of(sections, sections[0]), options


def _read_folder(path: Path, read_image: Callable) -> tuple[Any, dict[str, Any]]:
    """Images of one size, stacked."""
    import numpy as np

    from bnadapt.data.formats import image_format
    from bnadapt.data.image_files import image_files
    from bnadapt.errors import InputError
    from bnadapt.napari.geometry import NANOMETRE, placement

    paths = list(image_files(path).values())
    images = list(map(read_image, paths))
    if len(shapes := {image.shape for image in images}) > 1:
        one, other = sorted(shapes)[:2]
        raise InputError(f"{path}: its images differ in shape, such as {one} and {other}; open them one by one.")
    plane = placement(image_format(paths[0]).header(paths[0])[1], "YX")
    of_sections = {"scale": 1.0, "translate": 0.0, "units": NANOMETRE}
    options = {name: [of_sections[name], *values] for name, values in plane.items()}
    return np.stack(images), {**options, **_colours(images[0].shape[2:])}


def _colours(channels: tuple[int, ...]) -> dict[str, Any]:
    """How a last axis of channels is shown, if there is one."""
    if not channels:
        return {}
    return {"rgb": True} if channels[0] in (3, 4) else {"channel_axis": -1}
