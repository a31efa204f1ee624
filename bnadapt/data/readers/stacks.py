"""Stacks of sections: one file, or the folder of a store."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from bnadapt.data.formats import volume_format
from bnadapt.data.formats.base import Opened, StoredChunks, check_real_numbers
from bnadapt.data.geometry import Plane
from bnadapt.data.readers.axes import Remedy, choice_for_masks, how_to_choose, resolved, save_part, warn_of_guess
from bnadapt.data.readers.sections import Sections
from bnadapt.errors import InputError
from bnadapt.files import existing

log = logging.getLogger(__name__)
MOST_MISSING = 0.9
"""Share of missing chunks above which an image counts as lost. Stores omit blank chunks, so a block of tissue in a
larger box lacks many; masks may lack any number, because background is blank."""


def open_stack(
    path: str | Path,
    key: str | None = None,
    pixel_size_nm: float | None = None,
    index: Mapping[str, int] | None = None,
    plane: Plane = "xy",
) -> Sections:
    """Open a stack of sections, read on indexing (for TIFF only if pixels need no conversion).

    Args:
        path: a file in a volume format, see `bnadapt.data.formats`, or the folder of a Zarr store.
        key: path of the array inside an HDF5 file or a Zarr group, or of an image of OME-Zarr; number of a TIFF series,
            from 0.
        pixel_size_nm: pixel size of the OME-Zarr level to read; by default the full resolution.
        index: single index to read along an axis, by the letter of the axis or its number from 0; required for axes
            that are neither sections nor channels.
        plane: plane of the sections.

    Raises:
        InputError: the file is missing or broken, the key is missing, or the array is not a stack.
    """
    path = existing(path)
    reopen = partial(volume_format(path).open, path)
    opened = reopen(key, pixel_size_nm)
    context, letters = _context(path, opened), opened.geometry.letters
    _check(opened, context, MOST_MISSING)
    return _sections(opened, letters, index or {}, context, reopen, partial(how_to_choose, letters), plane)


def open_masks(
    path: str | Path,
    images: Sections | None = None,
    key: str | None = None,
    pixel_size_nm: float | None = None,
    plane: Plane = "xy",
) -> Sections:
    """Open the masks of a stack with values as stored, such as class indices; arguments as for `open_stack`.

    An index chosen on an axis of `images` also applies to the masks' axis of that name; masks of the same shape without
    axis names take those of the images.
    """
    path = existing(path)
    reopen = partial(volume_format(path).open_masks, path)
    opened = reopen(key, pixel_size_nm)
    context, letters, index = _context(path, opened), opened.geometry.letters, {}
    _check(opened, context, most_missing=1.0)
    if images is not None:
        if not letters and opened.array.shape == images.opened.array.shape:
            letters = images.letters
        index = choice_for_masks(images.index, len(images.letters), letters, opened.array.shape, context)
    return _sections(opened, letters, index, context, reopen, save_part, plane)


def _context(path: Path, opened: Opened) -> str:
    """The name of an array in messages."""
    return f"{path}" if opened.key is None else f"{path}:{opened.key}"


def _check(opened: Opened, context: str, most_missing: float) -> None:
    check_real_numbers(opened.array.dtype, context)
    shape = tuple(opened.array.shape or ())
    if not shape or 0 in shape:
        raise InputError(f"{context}: has the shape {shape} and so no pixels; give another array.")
    if opened.count_chunks is not None:
        _check_stored(opened.count_chunks(), context, most_missing)


def _check_stored(chunks: StoredChunks, context: str, most_missing: float) -> None:
    """Warn about chunks that are not stored, since their pixels read like data; refuse if too many are missing."""
    missing = chunks.chunks - chunks.stored
    if missing <= 0:
        return
    counted = f"{'about ' if chunks.is_estimate else ''}{missing} of {chunks.chunks} chunks are not stored"
    if missing > most_missing * chunks.chunks:
        raise InputError(
            f"{context}: {counted}, because they were never written or are lost; copy it again from its origin, or save"
            " the existing part as a separate volume."
        )
    log.warning(
        "%s: %s, because they were never written or are lost; their pixels read as %s.",
        context,
        counted,
        chunks.fill_value,
    )


def _sections(
    opened: Opened,
    letters: str,
    index: Mapping[str, int],
    context: str,
    reopen: Callable[[str | None, float | None], Opened],
    remedy: Remedy,
    plane: Plane,
) -> Sections:
    axes = resolved(letters, opened.array.shape, index, context, remedy)
    warn_of_guess(letters, axes, opened.array.shape, context)
    return Sections(opened, axes, index, context, partial(reopen, opened.key, None), remedy, plane)
