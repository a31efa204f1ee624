"""The sides of a voxel in nanometres, where a file says them; that of a pixel where rows and columns are alike."""

import math
from typing import Any

from bnadapt.data.voxel import UNKNOWN, Voxel

NANOMETRES = {
    "angstrom": 0.1,
    "Å": 0.1,
    "nanometer": 1.0,
    "nm": 1.0,
    "micrometer": 1e3,
    "micron": 1e3,
    "um": 1e3,
    "µm": 1e3,
    "μm": 1e3,
    "\\u00B5m": 1e3,  # as ImageJ writes it
    "millimeter": 1e6,
    "mm": 1e6,
}
"""In one of these units; `pixel`, `inch` and what printers go by are none."""
UNSET_VOXEL = 1.0  # angstrom that MRC files say where nobody has measured
ALIKE = 1e-3  # relative difference of rows and columns


def voxel_of_tiff(file: Any, series: int) -> Voxel:
    """Of a series of an OME-TIFF, or of a file for ImageJ."""
    if file.is_ome:
        return _of_ome(file.ome_metadata, series)
    if file.is_imagej:
        told = file.imagej_metadata or {}
        unit, tags = told.get("unit"), file.pages[0].tags
        sides = [_ratio(tags.get(name)) for name in ("YResolution", "XResolution")]
        rows, columns = (None if not side else nanometres(1 / side, unit) for side in sides)
        return voxel_of(nanometres(told.get("spacing"), unit), rows, columns)
    return UNKNOWN


def voxel_of_mrc(voxel_size: Any) -> Voxel:
    """Of the header of an MRC file, in angstroms."""
    z, y, x = (float(getattr(voxel_size, axis)) for axis in "zyx")
    if UNSET_VOXEL in (y, x):
        return UNKNOWN
    return voxel_of(*(nanometres(side, "angstrom") for side in (z, y, x)))


def voxel_of_hdf5(array: Any) -> Voxel:
    """Of a data set with the attribute `element_size_um` (z, y, x), as Fiji's and others' plugins write it."""
    import numpy as np

    sizes = np.ravel(array.attrs.get("element_size_um", ()))
    if len(sizes) != 3:
        return UNKNOWN
    return voxel_of(*(nanometres(size, "um") for size in sizes))


def voxel_of(section: float | None, row: float | None, column: float | None) -> Voxel:
    """A voxel of sides along z, y and x, of which some may not be known."""
    if not row or not column:
        return Voxel(None, section)
    is_square = abs(row - column) <= ALIKE * column
    return Voxel(column if is_square else None, section, is_square)


def nanometres(length: Any, unit: str | None) -> float | None:
    """A length that a file states; None if it is no length or in no unit that is known."""
    factor = NANOMETRES.get(unit or "")
    try:
        length = float(length)
    except (TypeError, ValueError):
        return None
    return factor * length if factor is not None and 0 < length < math.inf else None


def _of_ome(text: str, series: int) -> Voxel:
    from xml.etree import ElementTree

    images = [each for each in ElementTree.fromstring(text).iter() if each.tag.endswith("}Pixels")]
    if series >= len(images):
        return UNKNOWN
    said = images[series]
    return voxel_of(
        *(nanometres(said.get(f"PhysicalSize{axis}"), said.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "ZYX")
    )


def _ratio(tag: Any) -> float:
    """A fraction of a TIFF tag."""
    if tag is None:
        return 0.0
    above, below = tag.value
    return above / below if below else 0.0
