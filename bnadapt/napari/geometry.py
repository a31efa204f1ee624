"""Geometry of images in napari's terms: scale, translation and units of a layer."""

from collections.abc import Mapping
from typing import Any

from bnadapt.data.geometry import Axis, Geometry
from bnadapt.data.lengths import nanometres_in

PIXEL, NANOMETRE = "pixel", "nanometer"


def placement(geometry: Geometry, letters: str) -> dict[str, Any]:
    """Options of a layer with these axes, ZYX or YX.

    Axes of known length are in nanometres. An unknown distance of sections is drawn as a pixel's side.
    """
    axes = [geometry[letter].in_nanometres() for letter in letters]
    if axes[-1].step_nm is None:
        return {}
    sides = [axis.step_nm or axes[-1].step_nm for axis in axes]
    starts = [axis.start if axis.step_nm else 0.0 for axis in axes]
    return {"scale": sides, "translate": starts, "units": [NANOMETRE] * len(axes)}


def geometry_of(attributes: Mapping[str, Any], letters: str) -> Geometry:
    """The geometry of a layer with these attributes, whose last axes are those of the letters."""
    count = len(letters)
    scale = [float(each) for each in attributes.get("scale", [1.0] * count)][-count:]
    starts = [float(each) for each in attributes.get("translate", [0.0] * count)][-count:]
    units = [str(each) for each in attributes.get("units", [PIXEL] * count)][-count:]
    axes = {
        letter: Axis(letter.lower(), step, start, unit) if nanometres_in(unit) else Axis(letter.lower())
        for letter, step, start, unit in zip(letters, scale, starts, units, strict=True)
    }
    return Geometry(letters, axes)
