"""What the metadata of OME-Zarr images (0.1 to 0.5) say: axes, and resolution levels with the sides of their voxels."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bnadapt.data.readers.files import reason
from bnadapt.data.readers.pixel_size import nanometres, voxel_of
from bnadapt.data.voxel import Voxel
from bnadapt.errors import InputError

MOST_APART = math.sqrt(2)  # of a pixel size and that of the level that is chosen by it; levels mostly halve
ROUNDING = 1e-3


class Level(NamedTuple):
    """A resolution level of an image.

    Attributes:
        path: of its array in the group of the image.
        voxel: its sides, as far as they are told.
    """

    path: str
    voxel: Voxel


class Image(NamedTuple):
    """An OME-Zarr image.

    Attributes:
        axes: a letter for each, none where they are not told.
        levels: the finest first.
    """

    axes: str
    levels: tuple[Level, ...]


def ome_zarr_image(attributes: Mapping[str, Any], context: str) -> Image | None:
    """The first image of a group with these attributes; None if it has none.

    Args:
        attributes: of the group.
        context: file (and key) that messages name.

    Raises:
        InputError: the metadata are broken.
    """
    try:
        images = attributes.get("ome", attributes).get("multiscales")
        if not images:
            return None
        axes = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in images[0].get("axes") or []]
        levels = [_level(dataset, axes, images[0]) for dataset in images[0].get("datasets") or []]
        return Image("".join(str(axis["name"])[:1] for axis in axes).upper(), tuple(levels))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{context}: its OME metadata are broken ({type(error).__name__}: {reason(error)}); mend `multiscales` in"
            " its attributes, or name the array by its key."
        ) from error


def level_by_pixel_size(levels: Sequence[Level], pixel_size_nm: float) -> Level | None:
    """The level whose pixel size is nearest in ratio; None if all are more than a factor of `MOST_APART` away.

    Args:
        levels: those that do not tell their pixel size are left out of account.
        pixel_size_nm: that is wanted.
    """
    apart = [
        (abs(math.log(level.voxel.pixel_size_nm / pixel_size_nm)), level)
        for level in levels
        if level.voxel.pixel_size_nm
    ]
    least, nearest = min(apart, key=lambda each: each[0], default=(math.inf, None))
    return nearest if least <= math.log(MOST_APART) + ROUNDING else None


def _level(dataset: Mapping[str, Any], axes: Sequence[Mapping[str, Any]], image: Mapping[str, Any]) -> Level:
    steps = [step for told in (dataset, image) for step in told.get("coordinateTransformations") or []]
    scales = [step["scale"] for step in steps if step.get("type") == "scale"]
    sides: dict[str, float | None] = {}
    if scales and all(len(scale) == len(axes) for scale in scales):
        total = (math.prod(map(float, lengths)) for lengths in zip(*scales, strict=True))
        sides = {
            str(axis["name"]).lower(): nanometres(side, axis.get("unit"))
            for axis, side in zip(axes, total, strict=True)
        }
    return Level(str(dataset["path"]).strip("/"), voxel_of(*map(sides.get, "zyx")))
