"""The metadata `multiscales` of OME-Zarr: images with resolution levels, read from version 0.1 on, written as 0.5."""

import logging
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bnadapt.data.formats.base import reason, warn_once
from bnadapt.data.geometry import UNKNOWN, Axis, Geometry, named_axes
from bnadapt.data.lengths import length, same_size
from bnadapt.errors import InputError

log = logging.getLogger(__name__)
VERSION = "0.5"
TYPES = {"T": "time", "C": "channel"}  # types of axes by letter; "space" for others


class Level(NamedTuple):
    """A resolution level of an image: the path of its array in the group of the image, and its geometry."""

    path: str
    geometry: Geometry


Image = tuple[Level, ...]
"""Levels of an OME-Zarr image, the finest first."""


def find_image(store: Any, path: Path, key: str | None) -> tuple[str, Image | None]:
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
            f"{context}: its OME metadata are broken ({type(error).__name__}: {reason(error)}); correct `multiscales`"
            " in its attributes, or name the array by its key."
        ) from error


def _level(
    dataset: Mapping[str, Any], axes: Sequence[Mapping[str, Any]], image: Mapping[str, Any], context: str
) -> Level:
    geometry = named_axes([str(axis["name"]) for axis in axes], [axis.get("type") for axis in axes])
    transformations = [step for each in (dataset, image) for step in each.get("coordinateTransformations") or []]
    scale, start = _placed(transformations, len(axes), context)
    axes_by_letter = {
        letter: replace(geometry[letter], step=length(step), start=float(place), unit=_unit(axis.get("unit")))
        for letter, step, place, axis in zip(geometry.letters, scale, start, axes, strict=True)
    }
    return Level(path_inside(str(dataset["path"]), context), replace(geometry, axes=axes_by_letter))


def path_inside(key: str, context: str) -> str:
    """The path of an array in a store, without `.` and `..`; refuses paths that lead out of the store."""
    path = posixpath.normpath(key.strip("/"))
    if path.partition("/")[0] == "..":
        raise InputError(f"{context}: {key!r} leads out of the store; name an array inside it.")
    return "" if path == "." else path


def _placed(transformations: Sequence[Mapping[str, Any]], count: int, context: str) -> tuple[np.ndarray, np.ndarray]:
    """Scale (NaN if unknown) and translation of `count` axes, from a sequence of transformations."""
    scale, start, is_scaled = np.ones(count), np.zeros(count), False
    for step in transformations:
        kind = step.get("type")
        if kind not in ("scale", "translation"):
            if kind != "identity":
                warn_once(context, f"states a transformation of the type {kind}, which is ignored.")
            continue
        values = np.array([float(value) for value in step[kind]])
        if len(values) != count or not np.isfinite(values).all() or (kind == "scale" and (values <= 0).any()):
            warn_once(context, f"states the {kind} {step[kind]} of {count} axes, which is ignored.")
        elif kind == "scale":
            scale, start, is_scaled = scale * values, start * values, True
        else:
            start = start + values
    return (scale if is_scaled else np.full(count, np.nan)), start


def _unit(unit: Any) -> str | None:
    if unit is not None and not isinstance(unit, str):
        raise TypeError(f"the unit {unit!r} is not a text")
    return unit


def stated_geometry(image: Image, group: str, key: str, dimensions: int, context: str) -> Geometry | None:
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
            f" {geometry.letters}; correct `axes` in the attributes of its group."
        )
    return geometry


def level_by_pixel_size(levels: Sequence[Level], pixel_size_nm: float) -> Level | None:
    """The first level of this pixel size up to rounding; None if there is none."""
    sizes = ((each.geometry.voxel.pixel_size_nm, each) for each in levels)
    return next((level for size, level in sizes if size and same_size(size, pixel_size_nm)), None)


def in_ome_units(geometry: Geometry) -> dict[str, Axis]:
    """Axes in units of OME-Zarr: other lengths in nanometres, unknown units unchanged."""
    axes = {letter: geometry[letter] for letter in geometry.letters}
    return {
        letter: axis if (axis.unit or "").endswith("meter") else axis.in_nanometres() for letter, axis in axes.items()
    }


def image_metadata(name: str, levels: int, geometry: Geometry) -> dict[str, Any]:
    """One image of `multiscales`; axes without a known step have a scale of 1 and no unit."""
    axes = [(letter, geometry[letter]) for letter in geometry.letters]
    described = [
        {
            "name": axis.name or letter.lower(),
            "type": axis.kind or TYPES.get(letter, "space"),
            **({"unit": axis.unit} if axis.unit and axis.step else {}),
        }
        for letter, axis in axes
    ]
    return {"name": name, "axes": described, "datasets": [_dataset(level, axes) for level in range(levels)]}


def _dataset(level: int, axes: Sequence[tuple[str, Axis]]) -> dict[str, Any]:
    """Metadata of a level. Its first pixel averages pixels of the finest level, so its centre lies further in."""
    factors = [2**level if letter in "YX" else 1 for letter, _ in axes]
    steps = [axis.step or 1.0 for _, axis in axes]
    scale = [step * factor for step, factor in zip(steps, factors, strict=True)]
    start = [axis.start + step * (factor - 1) / 2 for (_, axis), step, factor in zip(axes, steps, factors, strict=True)]
    translation = [{"type": "translation", "translation": start}] if any(start) else []
    return {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}, *translation]}
