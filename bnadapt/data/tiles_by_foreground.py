"""The tiles of a domain with a certain share of foreground."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import product
from pathlib import Path

import numpy as np

from bnadapt.data.domain import BLOCKS, Domain, Section
from bnadapt.data.masks import IGNORED
from bnadapt.errors import InputError

SECTIONS_IN_MEMORY = 4


class TilesByForeground(Domain):
    """Real images of other class proportions: labelled tiles of a domain with a share of foreground within bounds.

    Masks only select tiles; adaptation to them still reads no mask. Every tile is a separate section and stays in
    the block of its original section.

    Args:
        domain: domain of which labelled sections are cut into tiles, without overlap.
        tile_size: side of a tile, in pixels of the domain's files.
        foreground: least and greatest share of class 1 among the labelled pixels of a tile.
        label: name of the domain in tables and tags.

    Raises:
        InputError: the bounds are not shares; on reading, if no tile of a block lies within them.
    """

    def __init__(self, domain: Domain, tile_size: int, foreground: Sequence[float], label: str | None = None) -> None:
        super().__init__(domain.split, domain.gap)
        if len(foreground) != 2 or not 0 <= foreground[0] <= foreground[1] <= 1:
            raise InputError(
                f"foreground is {list(foreground)}; give the least and the greatest share, such as [0, 0.1]."
            )
        if tile_size < 1:
            raise InputError(f"tile_size is {tile_size}; give the side of a tile in pixels.")
        self.domain = domain
        self.tile_size = tile_size
        self.foreground = tuple(foreground)
        self.name = label or f"{domain.name}, foreground {foreground[0]:g} to {foreground[1]:g}"
        self.classes = domain.classes
        self._tiles_of_block = lru_cache(len(BLOCKS))(self._within_bounds)

    def labelled(self) -> list[Section]:
        """The tiles of all labelled sections."""
        return self._tiles(self.domain.labelled())

    def files(self) -> list[Path]:
        """The files of the domain."""
        return self.domain.files()

    def block(self, which: str) -> list[Section]:
        """The tiles of the domain's block; refuses if none is within the bounds."""
        return self._tiles_of_block(which)

    def _within_bounds(self, which: str) -> list[Section]:
        sections = self.domain.block(which)
        tiles = self._tiles(sections)
        if not tiles:
            raise InputError(
                f"{self.name}: no tile of {self.tile_size} pixels in the {len(sections)} sections of the {which} block"
                f" has a share of foreground from {self.foreground[0]:g} to {self.foreground[1]:g}; give other"
                " bounds, or smaller tiles."
            )
        return tiles

    def _tiles(self, sections: Sequence[Section]) -> list[Section]:
        read_image = lru_cache(SECTIONS_IN_MEMORY)(lambda index: sections[index].read_image())
        return [
            tile for index, section in enumerate(sections) for tile in self._of(section, partial(read_image, index))
        ]

    def _of(self, section: Section, read_image: Callable[[], np.ndarray]) -> Iterator[Section]:
        mask = section.read_mask()
        rows, columns = (range(0, side - self.tile_size + 1, self.tile_size) for side in mask.shape)
        for top, left in product(rows, columns):
            area = slice(top, top + self.tile_size), slice(left, left + self.tile_size)
            labelled = mask[area] != IGNORED
            if labelled.any() and self.foreground[0] <= (mask[area] == 1)[labelled].mean() <= self.foreground[1]:
                yield replace(
                    section,
                    name=f"{section.name}[{top}:{area[0].stop}, {left}:{area[1].stop}]",
                    read_image=partial(_cut, read_image, area),
                    read_mask=partial(np.copy, mask[area]),
                    group=section.group or section.name,
                )


def _cut(read_image: Callable[[], np.ndarray], area: tuple[slice, slice]) -> np.ndarray:
    return read_image()[area]
