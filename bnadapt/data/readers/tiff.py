"""TIFF files: pixels as a viewer shows them, or the values of a mask."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bnadapt.data.readers.files import check_numbers, reason
from bnadapt.data.readers.opened import Opened
from bnadapt.data.readers.orientation import ORIENTATION, upright
from bnadapt.data.readers.pixel_size import voxel_of_tiff
from bnadapt.errors import InputError

TIFF_EXTENSIONS = (".tif", ".tiff", ".btf", ".tf8")
DAMAGED = ("page offset", "corrupt", "truncated", "missing data", "incomplete")


def read_tiff(path: Path, as_shown: bool, key: str | None = None) -> tuple[np.ndarray, str]:
    """A series of a TIFF file.

    Args:
        path: the file.
        as_shown: whether to give pixels as a viewer shows them: colour maps applied, and few bits stretched to the
            range of their type. Otherwise values as they are stored, such as the class indices of a mask.
            Turned images are put right in both cases, and so is white that is stored as zero; only in masks of 1 bit
            or by ImageJ objects are black then, and keep their values.
        key: number of the series, from 0; may be left out where there is only one.

    Returns:
        The array, and a letter for each of its axes, as tifffile names them; S are samples of a pixel.

    Raises:
        InputError: the file is damaged, has several series or not that one, or a kind of pixels that is not read.
    """
    with _refusing_damage(path), _opened(path) as file:
        series = file.series[_number(file, path, key)]
        page = series.keyframe
        pixels, axes = series.asarray(), series.axes
        objects_are_black = pixels.dtype == bool or file.is_imagej
    check_numbers(pixels.dtype, str(path))
    pixels, axes = _without_alpha(pixels, axes, page)
    if as_shown or not objects_are_black:
        pixels = _black_is_zero(pixels, page, path)
    if as_shown:
        pixels, axes = _in_colour(pixels, axes, page, path)
        pixels = _in_full_range(pixels, page)
    tag = page.tags.get(ORIENTATION)
    return upright(pixels, int(tag.value) if tag else 1, axes.index("Y"), axes.index("X")), axes


def open_tiff(path: Path, as_shown: bool, key: str | None = None) -> Opened:
    """As `read_tiff`; but pixels that need no conversion are read when they are asked for.

    Args:
        path: the file.
        as_shown: see `read_tiff`.
        key: see `read_tiff`.

    Returns:
        The array, with what the file says of it.

    Raises:
        InputError: see `read_tiff`.
    """
    import zarr

    with _refusing_damage(path):
        file = _opened(path)
        number = _number(file, path, key)
        series, voxel = file.series[number], voxel_of_tiff(file, number)
        if _is_plain(series, as_shown):
            _check_complete(series, path)
            return Opened(zarr.open(series.aszarr(level=0), mode="r"), series.axes, voxel, key)
        file.close()
    return Opened(*read_tiff(path, as_shown, key), voxel, key)


def _is_plain(series: Any, as_shown: bool) -> bool:
    """Whether pixels are given as they are stored."""
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


def _check_complete(series: Any, path: Path) -> None:
    """Refuse a file that ends before its pixels do."""
    size = path.stat().st_size
    if series.dataoffset is not None:
        ends = [series.dataoffset + series.nbytes]
    else:
        own = (
            page for page in series.pages if page is not None and page.parent.filehandle.path == str(path.absolute())
        )
        ends = [
            offset + count for page in own for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
        ]
    if max(ends, default=0) > size:
        raise InputError(
            f"{path}: is incomplete, {max(ends) - size} bytes of its pixels are missing; copy it again from its origin"
            " or leave it out."
        )


@contextmanager
def _refusing_damage(path: Path) -> Iterator[None]:
    """Refuse a file that tifffile cannot read, or of which it logs that parts are missing: it would give the rest."""
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
    """A TIFF file; pages alike, of which each was written as a series of its own, are one series."""
    import tifffile

    file = tifffile.TiffFile(path)
    if len(file.series) == 1 or len({(each.shape, each.dtype, each.axes) for each in file.series}) > 1:
        return file
    if not file.is_shaped:  # only tifffile's own description of pages tells them apart
        return file
    file.close()
    return tifffile.TiffFile(path, is_shaped=False)


def _number(file: Any, path: Path, key: str | None) -> int:
    """Of the series that is meant, counted from 0."""
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
        " `Stack`, such as --data.target.images_key 0, or save it as a file of its own."
    )


def _without_alpha(pixels: np.ndarray, axes: str, page: Any) -> tuple[np.ndarray, str]:
    """Without samples that say how transparent a pixel is."""
    if "S" not in axes or not page.extrasamples:
        return pixels, axes
    first = pixels.shape[axes.index("S")] - len(page.extrasamples)
    alpha = [first + number for number, kind in enumerate(page.extrasamples) if int(kind) in (1, 2)]
    return np.delete(pixels, alpha, axes.index("S")), axes


def _black_is_zero(pixels: np.ndarray, page: Any, path: Path) -> np.ndarray:
    """Values that grow with brightness."""
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
    """Colours of a colour map; other ways to store colours than RGB are refused."""
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
    """Integers of few bits, stretched to the range of the type that holds them."""
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * 255
    bits = page.bitspersample
    if pixels.dtype.kind != "u" or bits >= 8 * pixels.dtype.itemsize or page.photometric.name == "PALETTE":
        return pixels
    factor = np.iinfo(pixels.dtype).max / (2**bits - 1)
    return np.rint(pixels * factor).astype(pixels.dtype)
