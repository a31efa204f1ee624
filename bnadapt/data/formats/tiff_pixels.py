"""Pixels of TIFF files: images as a viewer shows them, masks with values as stored."""

from pathlib import Path
from typing import Any

import numpy as np

from bnadapt.data.formats.base import check_real_numbers, warn_once
from bnadapt.data.formats.display import ORIENTATION, mask_without_alpha, upright
from bnadapt.errors import InputError

UPRIGHT = 1  # value of the tag Orientation
ALPHA = (1, 2)  # values of the tag ExtraSamples


def shown_pixels(series: Any, path: Path) -> tuple[np.ndarray, str]:
    """Pixels of a series of images, see `ImageFormat.read`."""
    page, axes = series.keyframe, series.axes
    pixels = _numbers(series, path)
    if channels := _alpha_channels(series):
        pixels = np.delete(pixels, channels, axes.index("S"))
    pixels = _black_is_zero(pixels, page, path)
    pixels, axes = _in_colour(pixels, axes, page, path)
    return _upright(_in_full_range(pixels, page), axes, page), axes


def mask_pixels(series: Any, path: Path) -> tuple[np.ndarray, str]:
    """Values of a series of masks, see `ImageFormat.read_mask`."""
    page, axes = series.keyframe, series.axes
    pixels = _numbers(series, path)
    for channel in _alpha_channels(series):
        pixels = mask_without_alpha(pixels, axes.index("S"), channel, path)
    if page.photometric.name == "MINISWHITE":
        by_tifffile = pixels.dtype == bool and page.software.startswith("tifffile")
        if not (page.parent.is_imagej or by_tifffile):
            raise InputError(
                f"{path}: stores white as zero, so it is ambiguous whether black or white is foreground; save the mask"
                " with black as zero."
            )
        warn_once(
            path.absolute().parent, "holds masks that store white as zero; pixels above 0 (black) are foreground."
        )
    return _upright(pixels, axes, page), axes


def is_shown_as_stored(series: Any) -> bool:
    """Whether `shown_pixels` would return what is stored."""
    dtype = series.dtype
    return is_plain(series) and (dtype.kind != "u" or series.keyframe.bitspersample == 8 * dtype.itemsize)


def is_plain(series: Any) -> bool:
    """Whether `mask_pixels` would return what is stored."""
    page = series.keyframe
    return (
        page.photometric.name == "MINISBLACK"
        and series.dtype.kind in "uif"
        and "S" not in series.axes
        and not page.extrasamples
        and _orientation(page) == UPRIGHT
    )


def _numbers(series: Any, path: Path) -> np.ndarray:
    pixels = series.asarray()
    check_real_numbers(pixels.dtype, str(path))
    return pixels


def _alpha_channels(series: Any) -> list[int]:
    """Indices of the alpha channels among the samples of a pixel, the last one first."""
    if "S" not in series.axes:
        return []
    extra = series.keyframe.extrasamples
    first = series.shape[series.axes.index("S")] - len(extra)
    return [number for number, kind in reversed([*enumerate(extra, first)]) if int(kind) in ALPHA]


def _orientation(page: Any) -> int:
    tag = page.tags.get(ORIENTATION)
    return int(tag.value) if tag else UPRIGHT


def _upright(pixels: np.ndarray, axes: str, page: Any) -> np.ndarray:
    return upright(pixels, _orientation(page), axes.index("Y"), axes.index("X"))


def _black_is_zero(pixels: np.ndarray, page: Any, path: Path) -> np.ndarray:
    """Pixels inverted, if needed, so that values increase with brightness."""
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
    if name == "YCBCR" and "JPEG" in page.compression.name:  # tifffile has converted it to RGB
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
