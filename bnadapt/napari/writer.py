"""Save layers in the formats of bnadapt, with pixel size, position and unit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bnadapt.data.formats import VolumeFormat, format_of, image_format
from bnadapt.data.formats.base import NewVolume, Reduction
from bnadapt.data.formats.pyramid import majority, mean
from bnadapt.data.writers import storable
from bnadapt.errors import InputError
from bnadapt.files import atomic_folder
from bnadapt.napari.geometry import geometry_of


def write_image(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write an image layer (H, W) or (sections, H, W); floating point becomes 32 bits."""
    if attributes.get("rgb"):
        raise InputError(f"{path}: the layer is in colours, which are not written; save it with napari's own writer.")
    return _written(Path(path), _finest(data), attributes, "images", mean)


def write_labels(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write a labels layer (H, W) or (sections, H, W), in as few bits as the largest label needs."""
    return _written(Path(path), _finest(data), attributes, "labels", majority)


def _written(path: Path, data: Any, attributes: Mapping[str, Any], key: str, reduce: Reduction) -> list[str]:
    if data.ndim not in (2, 3):
        raise InputError(f"{path}: the layer has {data.ndim} axes; save a layer of sections, or of one of them.")
    with atomic_folder(path.parent, [path.name]) as folder:
        if data.ndim == 2 and (format_ := image_format(path)):
            format_.write(folder / path.name, _stored(data, key), geometry_of(attributes, "YX"))
        else:
            _write_volume(folder / path.name, data if data.ndim == 3 else data[None], attributes, key, reduce)
    return [str(path)]


def _write_volume(path: Path, data: Any, attributes: Mapping[str, Any], key: str, reduce: Reduction) -> None:
    format_ = format_of(path)
    if not isinstance(format_, VolumeFormat):
        raise InputError(f"{path.name}: is not a volume format; save it as .ome.zarr, .tif or .h5.")
    greatest = max((int(np.max(section)) for section in data), default=0) if key == "labels" else None
    dtype = storable(_stored(np.asarray(data[0]), key, greatest), format_).dtype
    geometry = geometry_of(attributes, "ZYX")
    format_.warn_of_losses(path, geometry)
    writer = format_.create(NewVolume(path, data.shape, dtype, geometry, key if format_.needs_key else None, reduce))
    for index, section in enumerate(data):
        writer.write(index, np.asarray(section).astype(dtype))
    writer.close()


def _stored(data: Any, key: str, greatest: int | None = None) -> np.ndarray:
    """Pixels in a type that files store."""
    pixels = np.asarray(data)
    if key == "labels":
        return pixels.astype(np.min_scalar_type(int(pixels.max(initial=0)) if greatest is None else greatest))
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * 255
    return pixels.astype(np.float32) if pixels.dtype.kind == "f" else pixels


def _finest(data: Any) -> Any:
    """The finest level of a pyramid."""
    return data[0] if isinstance(data, (list, tuple)) or type(data).__name__ == "MultiScaleData" else data
