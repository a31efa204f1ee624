"""Sizes, positions and units that TIFF files state: those of ImageJ, of OME, and the tags of TIFF itself."""

from typing import Any

from bnadapt.data.geometry import UNKNOWN, Axis, Geometry
from bnadapt.data.lengths import PIXELS, length, nanometres_in

PRINTERS = {2: "inch", 3: "centimeter"}  # values of the tag ResolutionUnit


def stated_geometry(file: Any, series: int) -> Geometry:
    """Steps and positions stated by an OME-TIFF series, by ImageJ, or by the tags of another file."""
    if file.is_ome:
        return _of_ome(file.ome_metadata, series)
    imagej, tags = (file.imagej_metadata or {}) if file.is_imagej else {}, file.pages[0].tags
    resolution_unit = tags.valueof("ResolutionUnit", 1)
    unit = imagej.get("unit") if file.is_imagej else PRINTERS.get(int(resolution_unit))
    stated_units = {
        letter: imagej.get(f"{letter.lower()}unit", unit) for letter in "ZYX"
    }  # ImageJ states units that differ
    units = {letter: each if isinstance(each, str) else None for letter, each in stated_units.items()}
    rows, columns = (_pixels_in_a_unit(tags.get(f"{axis}Resolution")) for axis in "YX")
    spacing = _magnitude(imagej.get("spacing"))
    steps = {"Y": length(rows and 1 / rows), "X": length(columns and 1 / columns), "Z": spacing}
    if (units["X"] or "").lower() in PIXELS and steps["Y"] == steps["X"] == 1:
        steps = dict.fromkeys("ZYX")
    origins = {letter: imagej.get(f"{letter.lower()}origin") or 0.0 for letter in steps}
    axes = {
        letter: Axis(None, step, 0.0 - origins[letter] * (step or 0), units[letter]) for letter, step in steps.items()
    }
    interval = length(imagej.get("finterval"))
    return Geometry("", axes | {"T": Axis(None, interval, unit=imagej.get("tunit", "sec") if interval else None)})


def _of_ome(text: str, series: int) -> Geometry:
    from xml.etree import ElementTree

    images = [each for each in ElementTree.fromstring(text).iter() if each.tag.rpartition("}")[2] == "Pixels"]
    if series >= len(images):
        return UNKNOWN
    pixels = images[series]
    attributes = {letter: f"PhysicalSize{letter}" for letter in "ZYX"}
    axes = {
        letter: Axis(None, length(pixels.get(name)), unit=pixels.get(f"{name}Unit", "µm"))
        for letter, name in attributes.items()
    }
    interval = length(pixels.get("TimeIncrement"))
    return Geometry("", axes | {"T": Axis(None, interval, unit=pixels.get("TimeIncrementUnit", "s"))})


def _magnitude(spacing: Any) -> float | None:
    """A distance of sections; ImageJ states it below zero if their order is reversed."""
    return length(abs(spacing)) if isinstance(spacing, int | float) else None


def _pixels_in_a_unit(tag: Any) -> float:
    """The value of a rational TIFF tag."""
    if tag is None:
        return 0.0
    above, below = tag.value
    return above / below if below else 0.0


def imagej_form(count: int, geometry: Geometry) -> tuple[dict[str, Any], str | None]:
    """Options of every page, and the description by which ImageJ recognises its stacks."""
    x, y, z, t = (geometry[letter] for letter in "XYZT")
    if x.unit in PRINTERS.values() and x.step_nm is None and x.step and y.step:
        return {"resolution": (1 / x.step, 1 / y.step), "resolutionunit": x.unit.upper()}, None
    if x.unit != y.unit or not (x.unit or "").isascii() or (x.unit or "").endswith("meter"):
        x, y = x.in_nanometres(), y.in_nanometres()
    unit, is_known = ("nm" if x.unit == "nanometer" else x.unit), bool(x.step and y.step and x.unit == y.unit)
    kind = "frames" if "T" in geometry.letters else "slices"
    lines = {"ImageJ": "1.54f", "images": count, kind: count}
    if is_known:
        lines |= {"unit": unit} if unit else {}
        z = _in_unit(z, x.unit)
        lines |= {"spacing": z.step} if z and z.step else {}
        lines |= {
            f"{name}origin": -axis.start / axis.step
            for name, axis in (("x", x), ("y", y), ("z", z))
            if axis and axis.step and axis.start
        }
    if kind == "frames" and t.step:
        lines |= {"finterval": t.step, "tunit": t.unit or "sec"}
    described = "".join(f"{name}={value}\n" for name, value in lines.items())
    options = {"resolution": (1 / x.step, 1 / y.step), "resolutionunit": "NONE"} if is_known else {}
    return options, described if is_known or kind == "frames" or count > 1 else None


def _in_unit(axis: Axis, unit: str | None) -> Axis | None:
    """An axis in another unit of length; None if one of the units is unknown."""
    if axis.unit == unit:
        return axis
    factor = nanometres_in(unit)
    return axis.of_step(axis.step_nm / factor, unit) if factor and axis.step_nm else None
