"""TIFF files of images and stacks, including those of ImageJ and OME."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bnadapt.data.formats.base import (
    ImageFormat,
    NewVolume,
    Opened,
    StackWriter,
    StoredChunks,
    VolumeFormat,
    check_numbers,
    reason,
    say_once,
)
from bnadapt.data.formats.shown import ORIENTATION, upright, without_alpha
from bnadapt.data.geometry import PIXELS, UNKNOWN, UNNAMED, Axis, Geometry, length, nanometres_in
from bnadapt.errors import InputError

DAMAGED = ("page offset", "corrupt", "truncated", "missing data", "incomplete")
CLASSIC = 2**32 - 2**25  # bytes above which offsets need 64 bits
WITHOUT_NAMES = {"Q": UNNAMED, "I": UNNAMED}  # tifffile's letters for pages of unknown meaning
PRINTERS = {2: "inch", 3: "centimeter"}  # values of the tag ResolutionUnit


class Tiff(ImageFormat, VolumeFormat):
    """Images, and stacks with one page per section."""

    suffixes = (".tif", ".tiff", ".btf", ".tf8")
    title = "multi-page TIFF"
    orders_axes = False  # a page has rows and columns

    def read(self, path: Path, as_shown: bool, key: str | None = None) -> tuple[np.ndarray, str]:
        """See `ImageFormat.read`; the key is the number of the series, from 0."""
        with _refusing_damage(path), _opened(path) as file:
            series = file.series[_number(file, path, key)]
            page = series.keyframe
            pixels, axes = series.asarray(), series.axes
            check_numbers(pixels.dtype, str(path))
            pixels = _without_alpha(pixels, axes, page, as_shown, path)
            if as_shown:
                pixels = _black_is_zero(pixels, page, path)
                pixels, axes = _in_colour(pixels, axes, page, path)
                pixels = _in_full_range(pixels, page)
            elif page.photometric.name == "MINISWHITE":
                by_tifffile = pixels.dtype == bool and page.software.startswith("tifffile")
                _check_black_is_foreground(file.is_imagej or by_tifffile, path)
            tag = page.tags.get(ORIENTATION)
        return upright(pixels, int(tag.value) if tag else 1, axes.index("Y"), axes.index("X")), axes

    def header(self, path: Path) -> tuple[int, Geometry]:
        import tifffile

        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            colours = 3 if page.photometric.name == "PALETTE" else page.samplesperpixel
            return colours, replace(_stated(file, 0), letters="YX")

    def write(self, path: Path, image: np.ndarray, geometry: Geometry = UNKNOWN) -> None:
        _Pages(NewVolume(path, (1, *image.shape), image.dtype, geometry)).write(0, image).close()

    def open(self, path: Path, key: str | None, as_shown: bool, pixel_size_nm: float | None) -> Opened:
        """See `VolumeFormat.open`; pixels that need no conversion are read on indexing."""
        import zarr

        with _refusing_damage(path):
            file = _opened(path)
            number = _number(file, path, key)
            series, stated = file.series[number], _stated(file, number)
            files = [path] if not file.is_ome else _files_of(series)
            stored = _stored_parts(series)
            letters, array = series.axes, None
            if letters == "SYX":  # how three or four sections come out that were written without saying what they are
                letters, array = "QYX", series.asarray()
            elif _is_plain(series, as_shown):
                _check_complete(series)
                array = zarr.open(series.aszarr(level=0), mode="r")
        if array is None:
            file.close()
            array, letters = self.read(path, as_shown, key)
        if not set(letters) - set("YXS"):
            raise InputError(
                f"{path}: has the shape {array.shape}, one image; give single images to the domain `Folder`."
            )
        letters = "".join(WITHOUT_NAMES.get(letter, letter) for letter in letters)
        geometry = replace(stated, letters=letters)
        return Opened(array, geometry, key, self, count_chunks=lambda: stored, files=lambda: files)

    def create(self, volume: NewVolume) -> StackWriter:
        return _Pages(volume)

    def is_volume(self, path: Path) -> bool:
        """Whether there are several pages."""
        import tifffile

        try:
            with tifffile.TiffFile(path) as file:
                return len(file.pages) > 1
        except tifffile.TiffFileError:
            return False


class _Pages(StackWriter):
    """Writes one page per section, in order, with known sizes, times and positions as ImageJ does.

    ImageJ states the number of sections, the unit, their distance and the position of the first pixel in the
    description of the first page, and the pixels per unit as the resolution of every page.
    """

    def __init__(self, volume: NewVolume) -> None:
        import tifffile

        large = int(np.prod(volume.shape)) * volume.dtype.itemsize > CLASSIC
        self.file = tifffile.TiffWriter(volume.path, bigtiff=large)
        self.options, self.description = _imagej_form(volume.shape[0], volume.geometry)

    def write(self, index: int, section: np.ndarray) -> "_Pages":
        """Write a page."""
        self.file.write(
            section,
            photometric="minisblack",
            compression="zlib",
            metadata=None,
            description=None if index else self.description,
            **self.options,
        )
        return self

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def _imagej_form(count: int, geometry: Geometry) -> tuple[dict[str, Any], str | None]:
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
    return options, described if is_known or kind == "frames" else None


def _in_unit(axis: Axis, unit: str | None) -> Axis | None:
    """An axis in another unit of length; None if one of the units is unknown."""
    if axis.unit == unit:
        return axis
    factor = nanometres_in(unit)
    return axis.of_step(axis.step_nm / factor, unit) if factor and axis.step_nm else None


def _stated(file: Any, series: int) -> Geometry:
    """Steps and positions stated by an OME-TIFF series, by ImageJ, or by the tags of another file."""
    if file.is_ome:
        return _of_ome(file.ome_metadata, series)
    imagej, tags = (file.imagej_metadata or {}) if file.is_imagej else {}, file.pages[0].tags
    resolution_unit = tags.valueof("ResolutionUnit", 1)
    unit = imagej.get("unit") if file.is_imagej else PRINTERS.get(int(resolution_unit))
    own = {letter: imagej.get(f"{letter.lower()}unit", unit) for letter in "ZYX"}  # ImageJ states those that differ
    units = {letter: each if isinstance(each, str) else None for letter, each in own.items()}
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
    said = images[series]
    named = {letter: f"PhysicalSize{letter}" for letter in "ZYX"}
    axes = {
        letter: Axis(None, length(said.get(name)), unit=said.get(f"{name}Unit", "µm")) for letter, name in named.items()
    }
    interval = length(said.get("TimeIncrement"))
    return Geometry("", axes | {"T": Axis(None, interval, unit=said.get("TimeIncrementUnit", "s"))})


def _magnitude(spacing: Any) -> float | None:
    """A distance of sections, which ImageJ states below zero where their order is reversed."""
    return length(abs(spacing)) if isinstance(spacing, int | float) else None


def _pixels_in_a_unit(tag: Any) -> float:
    """The value of a rational TIFF tag."""
    if tag is None:
        return 0.0
    above, below = tag.value
    return above / below if below else 0.0


def _files_of(series: Any) -> list[Path]:
    """The files of an OME-TIFF, which may be several."""
    return sorted({Path(page.parent.filehandle.path) for page in series.pages if page is not None})


def _is_plain(series: Any, as_shown: bool) -> bool:
    """Whether pixels are returned as they are stored."""
    page, dtype = series.keyframe, series.dtype
    turned = page.tags.get(ORIENTATION)
    in_full_range = dtype.kind != "u" or page.bitspersample == 8 * dtype.itemsize
    return (
        page.photometric.name == "MINISBLACK"
        and dtype.kind in "uif"
        and "S" not in series.axes
        and not page.extrasamples
        and (turned is None or int(turned.value) == 1)
        and (in_full_range or not as_shown)
    )


def _check_complete(series: Any) -> None:
    """Refuse files that end before their pixels do."""
    if series.dataoffset is not None:
        ends = [(series.keyframe, series.dataoffset + series.nbytes)]
    else:
        ends = [(page, _end(page)) for page in series.pages if page is not None]
    for page, end in ends:
        file = page.parent.filehandle
        if end > file.size:
            raise InputError(
                f"{file.path}: is incomplete, {end - file.size} bytes of its pixels are missing; copy it again from its"
                " origin or leave it out."
            )


def _end(page: Any) -> int:
    """Where the pixels of a page end in its file."""
    parts = zip(page.dataoffsets, page.databytecounts, strict=False)
    return max((offset + count for offset, count in parts), default=0)


def _stored_parts(series: Any) -> StoredChunks:
    """Counts of the strips and tiles; those of pages that are stated alone, or without bytes, are not stored."""
    if series.dataoffset is not None:
        return StoredChunks(1, 1, 0)
    counts = [() if page is None else page.databytecounts for page in series.pages]
    stored = sum(count > 0 for page in counts for count in page)
    return StoredChunks(stored, len(counts) * max(map(len, counts), default=0), 0)


@contextmanager
def _refusing_damage(path: Path) -> Iterator[None]:
    """Refuse a file that tifffile cannot read, or logs as incomplete while returning the rest."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger("tifffile")
    passed_on, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{path}: cannot be read as an image ({reason(error)}); copy it again from its origin or leave it out."
        ) from error
    finally:
        logger.removeHandler(handler)
        logger.propagate = passed_on
    for message in messages:
        if any(word in message for word in DAMAGED):
            raise InputError(
                f"{path}: is incomplete or damaged ({message.rpartition('> ')[2]}); copy it again from its origin or"
                " leave it out."
            )


def _opened(path: Path) -> Any:
    """Open a TIFF file; equal pages that were written as separate series are joined to one."""
    import tifffile

    file = tifffile.TiffFile(path)
    if len(file.series) == 1 or len({(each.shape, each.dtype, each.axes) for each in file.series}) > 1:
        return file
    if not file.is_shaped:  # only tifffile's own description of pages tells them apart
        return file
    file.close()
    return tifffile.TiffFile(path, is_shaped=False)


def _number(file: Any, path: Path, key: str | None) -> int:
    """Number of the series that the key names, from 0."""
    if not file.series:
        raise InputError(f"{path}: holds no image; copy it again from its origin or leave it out.")
    if key is None and len(file.series) == 1:
        return 0
    if key is not None and key.isdecimal() and int(key) < len(file.series):
        return int(key)
    listed = ", ".join(
        f"{number}: {f'{each.name} ' if each.name else ''}{each.shape}" for number, each in enumerate(file.series)
    )
    other = "" if key is None else f", none of which is {key!r}"
    raise InputError(
        f"{path}: holds {len(file.series)} series ({listed}){other}; name one by its number as the key of a"
        " `Stack`, such as --data.target.images_key 0, or save it as a separate file."
    )


def _without_alpha(pixels: np.ndarray, axes: str, page: Any, as_shown: bool, path: Path) -> np.ndarray:
    """Pixels without alpha channels."""
    if "S" not in axes or not page.extrasamples:
        return pixels
    axis = axes.index("S")
    first = pixels.shape[axis] - len(page.extrasamples)
    for number, kind in reversed([*enumerate(page.extrasamples, first)]):
        if int(kind) in (1, 2):
            pixels = without_alpha(pixels, axis, number, as_shown, path)
    return pixels


def _black_is_zero(pixels: np.ndarray, page: Any, path: Path) -> np.ndarray:
    """Pixels whose values increase with brightness."""
    if page.photometric.name != "MINISWHITE":
        return pixels
    if pixels.dtype == bool:
        return ~pixels
    if pixels.dtype.kind == "f":
        raise InputError(f"{path}: stores floating point numbers with white as zero; save them with black as zero.")
    if pixels.dtype.kind == "i":
        return -1 - pixels
    return pixels.dtype.type(2**page.bitspersample - 1) - pixels


def _in_colour(pixels: np.ndarray, axes: str, page: Any, path: Path) -> tuple[np.ndarray, str]:
    """Apply a colour map; refuse ways to store colours other than RGB."""
    name = page.photometric.name
    if name == "PALETTE" and page.colormap is not None:
        colours = page.colormap.T
        if not (colours % 257).any():
            colours = (colours // 257).astype(np.uint8)
        return colours[pixels], f"{axes}S"
    if name == "YCBCR" and "JPEG" in page.compression.name:  # tifffile has made RGB of it
        return pixels, axes
    if name not in ("MINISWHITE", "MINISBLACK", "RGB"):
        raise InputError(f"{path}: stores pixels as {name}; convert it to grey values or RGB.")
    return pixels, axes


def _in_full_range(pixels: np.ndarray, page: Any) -> np.ndarray:
    """Stretch integers of few bits to the range of the type that holds them."""
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * 255
    bits = page.bitspersample
    if pixels.dtype.kind != "u" or bits >= 8 * pixels.dtype.itemsize or page.photometric.name == "PALETTE":
        return pixels
    factor = np.iinfo(pixels.dtype).max / (2**bits - 1)
    return np.rint(pixels * factor).astype(pixels.dtype)


def _check_black_is_foreground(is_known: bool, path: Path) -> None:
    """Refuse a mask with white as zero, unless a program wrote it that stores objects as black, not zero."""
    if not is_known:
        raise InputError(
            f"{path}: stores white as zero, so it is ambiguous whether black or white is foreground; save the mask with"
            " black as zero."
        )
    say_once(path.absolute().parent, "holds masks that store white as zero; pixels above 0 (black) are foreground.")
