"""The side of a pixel in nanometres, where a file says it and says the same for rows and columns."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

NANOMETRES: Mapping[str, float] = {
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


def sides_of_ome_zarr(multiscales: Mapping[str, Any], key: str) -> dict[str, float | None]:
    """Sides of a voxel, by axis, of a resolution level of an OME-Zarr image (0.4 and 0.5)."""
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in multiscales.get("axes", [])]
    level = next((each for each in multiscales.get("datasets", []) if each["path"].strip("/") == key.strip("/")), {})
    steps = [*level.get("coordinateTransformations", []), *multiscales.get("coordinateTransformations", [])]
    scales = [step["scale"] for step in steps if step.get("type") == "scale"]
    if not scales or any(len(scale) != len(axes) for scale in scales):
        return {}
    total = [math.prod(lengths) for lengths in zip(*scales, strict=True)]
    return {axis["name"].lower(): _nanometres(side, axis.get("unit")) for axis, side in zip(axes, total, strict=True)}


def of_tiff(file: Any) -> float | None:
    """Of an OME-TIFF, or of one that ImageJ has written."""
    if file.is_ome:
        return _of_ome(file.ome_metadata)
    if file.is_imagej:
        unit = (file.imagej_metadata or {}).get("unit")
        tags = file.pages[0].tags
        sides = [_ratio(tags.get(name)) for name in ("YResolution", "XResolution")]
        return alike(*(None if not side else _nanometres(1 / side, unit) for side in sides))
    return None


def of_mrc(voxel_size: Any) -> float | None:
    """Of the header of an MRC file, in angstroms."""
    sides = [float(getattr(voxel_size, axis)) for axis in "yx"]
    return None if any(side <= 0 or side == UNSET_VOXEL for side in sides) else alike(*(side / 10 for side in sides))


def of_hdf5(array: Any) -> float | None:
    """Of a data set with the attribute `element_size_um`, as Fiji's and others' plugins write it."""
    sizes: Sequence[float] = list(array.attrs.get("element_size_um", ()))
    return alike(*(1e3 * float(size) for size in sizes[-2:])) if len(sizes) == 3 else None


def alike(rows: float | None, columns: float | None) -> float | None:
    """The side of a square pixel; None if it is not known, or is not square."""
    if not rows or not columns or abs(rows - columns) > ALIKE * columns:
        return None
    return columns


def _of_ome(text: str) -> float | None:
    from xml.etree import ElementTree

    found = next((each for each in ElementTree.fromstring(text).iter() if each.tag.endswith("}Pixels")), None)
    if found is None:
        return None
    sides = [
        _nanometres(float(found.get(f"PhysicalSize{axis}", 0)), found.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "YX"
    ]
    return alike(*sides)


def _nanometres(length: float, unit: str | None) -> float | None:
    factor = NANOMETRES.get(unit or "")
    return None if factor is None or length <= 0 else factor * float(length)


def _ratio(tag: Any) -> float:
    """A fraction of a TIFF tag."""
    if tag is None:
        return 0.0
    above, below = tag.value
    return above / below if below else 0.0
