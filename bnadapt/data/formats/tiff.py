"""TIFF files of images and stacks, including those of ImageJ and OME."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bnadapt.data.formats.base import ImageFormat, NewVolume, Opened, StackWriter, StoredChunks, VolumeFormat, reason
from bnadapt.data.formats.tiff_metadata import imagej_form, stated_geometry
from bnadapt.data.formats.tiff_pixels import is_plain, is_shown_as_stored, mask_pixels, shown_pixels
from bnadapt.data.geometry import UNKNOWN, UNNAMED, Geometry
from bnadapt.errors import InputError

DAMAGED = ("page offset", "corrupt", "truncated", "missing data", "incomplete")
CLASSIC = 2**32 - 2**25  # bytes above which offsets need 64 bits
WITHOUT_NAMES = {"Q": UNNAMED, "I": UNNAMED}  # tifffile's letters for pages of unknown meaning

Conversion = Callable[[Any, Path], tuple[np.ndarray, str]]
"""Reads the pixels of a series of a file: an array, and a letter for each of its axes."""


class Tiff(ImageFormat, VolumeFormat):
    """Images, and stacks with one page per section."""

    suffixes = (".tif", ".tiff", ".btf", ".tf8")
    title = "multi-page TIFF"
    orders_axes = False  # a page has rows and columns

    def read(self, path: Path) -> tuple[np.ndarray, str]:
        return _converted(path, None, shown_pixels)

    def read_mask(self, path: Path) -> tuple[np.ndarray, str]:
        return _converted(path, None, mask_pixels)

    def header(self, path: Path) -> tuple[int, Geometry]:
        import tifffile

        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            colours = 3 if page.photometric.name == "PALETTE" else page.samplesperpixel
            return colours, replace(stated_geometry(file, 0), letters="YX")

    def write(self, path: Path, image: np.ndarray, geometry: Geometry = UNKNOWN) -> None:
        _Pages(NewVolume(path, (1, *image.shape), image.dtype, geometry)).write(0, image).close()

    def open(self, path: Path, key: str | None, pixel_size_nm: float | None) -> Opened:
        """See `VolumeFormat.open`; pixels that need no conversion are read on indexing."""
        return self._volume(path, key, is_shown_as_stored, shown_pixels)

    def open_masks(self, path: Path, key: str | None, pixel_size_nm: float | None) -> Opened:
        return self._volume(path, key, is_plain, mask_pixels)

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

    def _volume(
        self, path: Path, key: str | None, is_stored_as_read: Callable[[Any], bool], convert: Conversion
    ) -> Opened:
        import zarr

        with _refusing_damage(path):
            file = _opened(path)
            number = _number(file, path, key)
            series, stated = file.series[number], stated_geometry(file, number)
            files = [path] if not file.is_ome else _files_of(series)
            stored = _stored_parts(series)
            letters, array = series.axes, None
            if letters == "SYX":  # how tifffile reads three or four sections that were written without a description
                letters, array = "QYX", series.asarray()
            elif is_stored_as_read(series):
                _check_complete(series)
                array = zarr.open(series.aszarr(level=0), mode="r")
        if array is None:
            file.close()
            array, letters = _converted(path, key, convert)
        if not set(letters) - set("YXS"):
            raise InputError(
                f"{path}: has the shape {array.shape}, one image; give single images to the domain `Folder`."
            )
        letters = "".join(WITHOUT_NAMES.get(letter, letter) for letter in letters)
        geometry = replace(stated, letters=letters)
        return Opened(array, geometry, key, self, count_chunks=lambda: stored, files=lambda: files)


class _Pages(StackWriter):
    """Writes one page per section, in order, with known sizes, times and positions as ImageJ does.

    ImageJ states the number of sections, the unit, their distance and the position of the first pixel in the
    description of the first page, and the pixels per unit as the resolution of every page.
    """

    def __init__(self, volume: NewVolume) -> None:
        import tifffile

        large = int(np.prod(volume.shape)) * volume.dtype.itemsize > CLASSIC
        self.file = tifffile.TiffWriter(volume.path, bigtiff=large)
        self.options, self.description = imagej_form(volume.shape[0], volume.geometry)

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


def _converted(path: Path, key: str | None, convert: Conversion) -> tuple[np.ndarray, str]:
    """Pixels of the series that a key names, and the letters of their axes."""
    with _refusing_damage(path), _opened(path) as file:
        return convert(file.series[_number(file, path, key)], path)


def _files_of(series: Any) -> list[Path]:
    """The files of an OME-TIFF, which may be several."""
    return sorted({Path(page.parent.filehandle.path) for page in series.pages if page is not None})


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
    if not file.is_shaped:  # only tifffile's own descriptions separate them
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
    no_such_key = "" if key is None else f", none of them {key!r}"
    raise InputError(
        f"{path}: holds {len(file.series)} series ({listed}){no_such_key}; name one by its number as the key of a"
        " `Stack`, such as --data.target.images_key 0, or save it as a separate file."
    )
