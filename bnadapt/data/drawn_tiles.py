"""Random tiles for uses without masks: adaptation, latents, figures."""

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor
from torch.utils.data import IterableDataset

from bnadapt.data.prepare import PreparedSection, all_blank, check_channels, is_blank
from bnadapt.data.section_tiles import Tiles

SECTIONS_IN_MEMORY = 32


class Place(NamedTuple):
    """Position of a tile: name of its section, and the rows and columns of the file that it covers, from 0."""

    section: str
    rows: range
    columns: range


class DrawnTiles(IterableDataset):
    """Tiles without masks in random order, stratified: about equally many from every section.

    Sections contribute one tile each in turn, a few dozen sections at a time, which are kept in memory. So a section is
    read once, when its first tile is due (and once more if others have too few tiles), and stopping early reads only
    what was drawn. Blank tiles are left out and counted. The order is the same in every iteration and process; an item
    holds its `image` and its `number` in this order.

    Args:
        sections: functions that read a section each, in random order.
        context: name of their domain, for messages.
        tile_size: side of a tile.
        overlap: least number of pixels that neighbouring tiles share.
        count: number of tiles to draw; None draws all.
        shard: rank and number of processes; this one takes batch `shard[0]` of every `shard[1]`.
        batch_size: tiles in a batch.
        seed: seed of the order of tiles within sections.
        of_a_section: number of tiles to draw from each section that is read, if it has as many.

    Attributes:
        blank_sections: names of the blank sections of the last iteration.
        blank_tiles: blank tiles of other sections, by section and number.

    Raises:
        InputError: while iterating, if a section cannot be used, or all are blank.
    """

    def __init__(
        self,
        sections: Sequence[Callable[[], PreparedSection]],
        context: str,
        tile_size: int,
        overlap: int,
        count: int | None,
        shard: tuple[int, int] = (0, 1),
        batch_size: int = 1,
        seed: int = 0,
        of_a_section: int = 1,
    ) -> None:
        self.sections = sections
        self.context = context
        self.tile_size = tile_size
        self.overlap = overlap
        self.count = count
        self.shard = shard
        self.batch_size = batch_size
        self.seed = seed
        self.of_a_section = of_a_section
        self.blank_sections: set[str] = set()
        self.blank_tiles: set[tuple[int, int]] = set()
        self._first: PreparedSection | None = None

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return (tile for tile, _ in self.with_places())

    def with_places(self) -> Iterator[tuple[dict[str, Tensor], Place]]:
        """The tiles, each with its position."""
        rank, processes = self.shard
        self.blank_sections, self.blank_tiles = set(), set()
        number = -1
        for number, (tile, place) in enumerate(self._drawn()):
            if number // self.batch_size % processes == rank:
                yield {**tile, "number": number}, place
        if number < 0:
            raise all_blank(self.context, len(self.sections))

    def _drawn(self) -> Iterator[tuple[dict[str, Tensor], Place]]:
        """The tiles, in sweeps over the sections, each with the average number of tiles still due per section."""
        counts = dict.fromkeys(range(len(self.sections)), 0)
        due = sys.maxsize if self.count is None else self.count
        while quotas := _shared_out(due, list(counts), self.of_a_section):
            for group in _groups(list(quotas), SECTIONS_IN_MEMORY):
                streams = {section: islice(self._tiles(section, counts[section]), quotas[section]) for section in group}
                for section, tile in _in_turn(streams):
                    counts[section] += 1
                    quotas[section] -= 1
                    due -= 1
                    yield tile
            counts = {section: count for section, count in counts.items() if not quotas.get(section)}

    def _tiles(self, section: int, start: int) -> Iterator[tuple[dict[str, Tensor], Place]]:
        """The tiles of a section that are not blank, in random order, without the first `start`."""
        prepared = self.sections[section]()
        self._first = self._first or prepared
        check_channels(prepared, self._first, self.context)
        if prepared.is_blank:
            self.blank_sections.add(prepared.name)
            return
        tiles = Tiles([prepared], self.tile_size, self.overlap)
        visible = 0
        for number in np.random.default_rng([self.seed, section]).permutation(len(tiles)).tolist():
            tile = tiles[number]
            if is_blank(tile["image"].numpy()):
                self.blank_tiles.add((section, number))
                continue
            visible += 1
            if visible > start:
                yield tile, place_of(prepared, tiles.tiles[number][1].area)


def place_of(section: PreparedSection, area: tuple[slice, slice]) -> Place:
    """The position of rows and columns of a section in pixels of its file, before resampling."""
    rows, columns = (
        range(round(part.start * old / new), round(part.stop * old / new))
        for part, old, new in zip(area, section.original_size, section.size, strict=True)
    )
    return Place(section.name, rows, columns)


def _shared_out(count: int, sections: list[int], at_least: int) -> dict[int, int]:
    """Number of tiles per section, without sections that contribute none."""
    sections = sections[: -(-count // at_least)]
    share, remainder = divmod(count, len(sections)) if sections else (0, 0)
    return {
        section: share + (number < remainder) for number, section in enumerate(sections) if share or number < remainder
    }


def _groups(sections: list[int], size: int) -> Iterator[list[int]]:
    return (sections[start : start + size] for start in range(0, len(sections), size))


def _in_turn(streams: dict[int, Iterator[Any]]) -> Iterator[tuple[int, Any]]:
    """Items of all streams in turn, until all have ended."""
    while streams:
        for key in list(streams):
            try:
                yield key, next(streams[key])
            except StopIteration:
                del streams[key]
