"""The table of objects, one row each, with lengths in nanometres if known, else in pixels."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from bnadapt.data.geometry import Voxel
from bnadapt.files import printable
from bnadapt.volumes.regions import Regions


def volume_table(objects: Regions, voxel: Voxel) -> pd.DataFrame:
    """Table of objects in 3-D, in the order of the regions.

    Columns are the number from 1, class, first and last section, row and column (from 0), voxels, volume, centroid z,
    y, x (the centre of the first voxel is 0), and mean probability (NaN if unknown). Their names end in the unit.
    """
    size = {"voxels": objects.pixels}
    if all(voxel):
        size["volume_nm3"] = objects.pixels * math.prod(voxel)
    return _table(objects, _box(objects, ("section", "row", "column")), size, _centroids(objects, voxel, "zyx"))


def section_table(objects: Regions, voxel: Voxel, names: Sequence[str]) -> pd.DataFrame:
    """Table of objects in 2-D, with areas in place of volumes, and names of the sections (or their numbers from 0)."""
    sections = objects.first[:, 0]
    place = {"image": np.array([*map(printable, names)], object)[sections]} if names else {"section": sections}
    size = {"pixels": objects.pixels}
    if voxel.y and voxel.x:
        size["area_nm2"] = objects.pixels * (voxel.y * voxel.x)
    return _table(objects, place | _box(objects, ("row", "column")), size, _centroids(objects, voxel, "yx"))


def _table(objects: Regions, *columns: dict[str, np.ndarray]) -> pd.DataFrame:
    data = {"object": np.arange(1, len(objects) + 1), "class": objects.classes}
    for each in columns:
        data |= each
    return pd.DataFrame(data | {"mean_probability": objects.mean_probabilities})


def _box(objects: Regions, axes: Sequence[str]) -> dict[str, np.ndarray]:
    """Columns of the first and last pixel along the last axes."""
    return {
        f"{end}_{axis}": corners[:, number - len(axes)]
        for number, axis in enumerate(axes)
        for end, corners in (("first", objects.first), ("last", objects.last))
    }


def _centroids(objects: Regions, voxel: Voxel, axes: str) -> dict[str, np.ndarray]:
    """Columns of the centroids along the last axes."""
    sides = voxel._asdict()
    centroids = dict(zip("zyx", objects.centroids.T, strict=True))
    return {f"centroid_{axis}_{_unit(axis, sides[axis])}": centroids[axis] * (sides[axis] or 1) for axis in axes}


def _unit(axis: str, side: float | None) -> str:
    if side:
        return "nm"
    return "sections" if axis == "z" else "px"
