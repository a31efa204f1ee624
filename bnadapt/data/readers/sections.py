"""Sections of an array in a file, read one by one."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bnadapt.data.formats.base import Opened, reason
from bnadapt.data.geometry import Geometry, Plane, in_plane
from bnadapt.data.readers.axes import (
    MOST_CHANNELS,
    NAMES,
    Layout,
    Remedy,
    layout,
    save_part,
    selected_positions,
    single_channel,
)
from bnadapt.errors import InputError

MOST_SLAB = 2**28  # bytes of sections kept in memory because they share chunks
LOOKED_AT = 16  # colour sections sampled to find out whether they are grey


class Slab(NamedTuple):
    """Consecutive sections in memory: number of the first one, and their pixels with all axes of the array."""

    start: int
    pixels: np.ndarray


class Sections:
    """The sections of an array along one of its axes, read on indexing: (H, W) or (H, W, C) each.

    Truth values become 0 and 255, and channels one if they are equal in all sections. If a chunk of the file holds
    several sections, they are read together, up to `MOST_SLAB` bytes, and the last slab is kept, so that reading in
    order decodes each chunk once. Threads may read at the same time; another process, forked or spawned, reopens the
    file, because processes must not share the position in it.

    Args:
        opened: the array.
        letters: one letter per axis, see `layout`.
        index: the single index of an axis to read, by the axis's letter or number.
        context: file (and key) named in messages.
        reopen: opens the array again.
        remedy: how to resolve surplus axes.
        plane: plane of the sections.

    Attributes:
        depth: sections in a chunk of the file.
        geometry: geometry of sections, rows and columns, in the order of these axes in the file.

    Raises:
        InputError: the axes or the index do not fit a stack, or the plane needs sections along Z.
    """

    def __init__(
        self,
        opened: Opened,
        letters: str,
        index: Mapping[str, int],
        context: str,
        reopen: Callable[[], Opened],
        remedy: Remedy = save_part,
        plane: Plane = "xy",
    ) -> None:
        self.opened = opened
        self.letters = letters
        self.index = index
        self.dtype = np.dtype(opened.array.dtype)
        self.context = context
        self._positions = selected_positions(index, letters, opened.array.shape, context)
        self._lengths = tuple(1 if axis in self._positions else side for axis, side in enumerate(opened.array.shape))
        self._layout = axes = layout(letters, self._lengths, context, remedy)
        if axes.channels is not None and self._lengths[axes.channels] > MOST_CHANNELS:
            raise InputError(
                f"{context}: has {self._lengths[axes.channels]} channels, but at most {MOST_CHANNELS} are supported;"
                f" {remedy(axes.channels)}."
            )
        self.geometry = self._geometry(axes)
        if plane != "xy":
            self._layout = axes = self._in_plane(plane, axes)
        self._order = [axes.rows, axes.columns, *([] if axes.channels is None else [axes.channels])]
        self._reopen = reopen
        self._process = os.getpid()
        self.depth = self._sections_of_a_chunk()
        self._last: Slab | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(sections, H, W) or (sections, H, W, C)."""
        count = 1 if self._layout.sections is None else self._lengths[self._layout.sections]
        return (count, *(self._lengths[axis] for axis in self._order))

    @property
    def spacing_nm(self) -> float | None:
        """Distance between two sections in the plane xy in nanometres, if the file states it."""
        return self.geometry.voxel.spacing_nm

    @property
    def are_times(self) -> bool:
        """Whether sections follow each other in time."""
        return "T" in self.geometry.letters

    def files(self) -> list[Path]:
        """The files that hold the pixels; a sample if there are very many."""
        self._array()
        return list(self.opened.files())

    def __len__(self) -> int:
        return self.shape[0]

    def __getstate__(self) -> dict[str, Any]:
        """The state without the open file and the kept slab, which belong to a process."""
        opened = replace(self.opened, array=None, count_chunks=None, files=None)
        return self.__dict__ | {"opened": opened, "_process": None, "_last": None}

    def __getitem__(self, index: int) -> np.ndarray:
        """Section number `index`; refuses one that cannot be read."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        try:
            pixels = self._section(index)
        except Exception as error:
            raise InputError(
                f"{self.context}: section {index} cannot be read ({reason(error)}); copy the file again."
            ) from error
        surplus = [axis for axis in range(pixels.ndim) if axis not in self._order]
        section = pixels.transpose(*self._order, *surplus).reshape(self.shape[1:])
        section = section.astype(np.uint8) * 255 if section.dtype == bool else section.copy()
        return self._as_grey(section, index) if section.ndim == 3 and self._is_grey else section

    @cached_property
    def _is_grey(self) -> bool:
        """Whether the channels of the sampled sections are equal."""
        step = max(1, len(self) // LOOKED_AT)
        parts = (self._section(index) for index in range(0, len(self), step))
        return all((part == part.take([0], self._layout.channels)).all() for part in parts)

    def _as_grey(self, section: np.ndarray, index: int) -> np.ndarray:
        grey = single_channel(section)
        if grey.ndim == 3:
            raise InputError(
                f"{self.context}: section {index} has colours, others have grey values only; convert all to the same."
            )
        return grey

    def _geometry(self, axes: Layout) -> Geometry:
        """The geometry of sections, rows and columns; for a single section also its position along Z or in time."""
        candidates = [axis for axis, letter in enumerate(self.letters) if letter not in "YXCS"]
        section = axes.sections
        if section is None:
            section = min(candidates, key=lambda axis: "ZT".find(self.letters[axis]) % 3, default=None)
        spatial = sorted({axes.rows, axes.columns} | ({section} - {None}))
        stated = self.opened.geometry.only("".join(self.letters[axis] for axis in spatial))
        if section not in self._positions:
            return stated
        axis = stated[self.letters[section]]
        moved = replace(axis, start=axis.start + self._positions[section] * (axis.step or 0))
        return replace(stated, axes={**stated.axes, self.letters[section]: moved})

    def _in_plane(self, plane: Plane, axes: Layout) -> Layout:
        if axes.sections is None or self.letters[axes.sections] != "Z":
            kind = "one section" if axes.sections is None else NAMES.get(self.letters[axes.sections], "other sections")
            raise InputError(f"{self.context}: has {kind}, and so no sections in the plane {plane}; leave out `plane`.")
        sections, rows, columns = in_plane(plane, [axes.sections, axes.rows, axes.columns])
        return replace(axes, sections=sections, rows=rows, columns=columns)

    def _section(self, index: int) -> np.ndarray:
        """The pixels of a section, with all axes of the array."""
        start, stop = self._neighbours(index)
        if stop - start == 1:
            return self._read(start, stop)
        slab = self._last  # stays this thread's, even if others replace it
        if slab is None or slab.start != start:
            slab = self._last = None  # frees memory before the next one is read
            slab = self._last = Slab(start, self._read(start, stop))
        return np.take(slab.pixels, [index - start], self._layout.sections)

    def _neighbours(self, index: int) -> tuple[int, int]:
        """The range [first, last) of the sections that are read together with one."""
        if self.depth == 1:
            return index, index + 1
        section = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        parts = -(-self.depth // max(1, MOST_SLAB // section))
        height = -(-self.depth // parts)
        chunk = index // self.depth * self.depth
        start = chunk + (index - chunk) // height * height
        return start, min(start + height, chunk + self.depth, len(self))

    def _read(self, start: int, stop: int) -> np.ndarray:
        where = [slice(None)] * len(self._lengths)
        for axis, position in self._positions.items():
            where[axis] = slice(position, position + 1)
        if self._layout.sections is not None:
            where[self._layout.sections] = slice(start, stop)
        return np.asarray(self._array()[tuple(where)])

    def _array(self) -> Any:
        if self._process != os.getpid():
            if not isinstance(self.opened.array, np.ndarray):
                self.opened = self._reopen()
            self._process = os.getpid()
        return self.opened.array

    def _sections_of_a_chunk(self) -> int:
        chunks = getattr(self.opened.array, "chunks", None)
        return 1 if not chunks or self._layout.sections is None else int(chunks[self._layout.sections])
