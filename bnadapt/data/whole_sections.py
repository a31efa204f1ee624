"""Whole sections as bags of tiles, to segment."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bnadapt.data.prepare import PreparedSection, check_channels
from bnadapt.data.tiles import Blocks, Tile, tiles_at_once

AHEAD = 1  # batches that are read while the network processes another
END = object()


class Outline(NamedTuple):
    """A section's metadata, without its image."""

    index: int  # in its domain
    name: str
    size: tuple[int, int]  # height and width of the network's input
    original_size: tuple[int, int]  # height and width in the file
    dtype: str  # of the file's pixels
    is_blank: bool  # whether all pixels are equal


class SectionsToSegment(Dataset):
    """Whole sections as bags of tiles, read on indexing.

    An item has `image` (tiles, C, h, w), without tiles for a blank section, `section`, an Outline, and `at_once`, the
    number of tiles that go through the network together.

    Args:
        sections: function that reads a section, by the section's index in the domain.
        blocks: division of the sections.
        context: name of the domain, for messages.
        batch_size: greatest number of tiles that go through the network at once.
    """

    def __init__(
        self,
        sections: Mapping[int, Callable[[], PreparedSection]],
        blocks: Blocks,
        context: str = "target",
        batch_size: int = 8,
    ) -> None:
        self.sections = sections
        self.numbers = list(sections)
        self.blocks = blocks
        self.context = context
        self.batch_size = batch_size
        self._first: PreparedSection | None = None

    def __len__(self) -> int:
        return len(self.sections)

    def __getitem__(self, index: int) -> dict[str, Any]:
        number = self.numbers[index]
        section = self.sections[number]()
        if self._first is None and not section.is_blank:
            self._first = section.without_pixels()
        check_channels(section, self._first or section, self.context)
        outline = Outline(
            number, section.name, section.size, section.original_size, section.dtype.str, section.is_blank
        )
        if section.is_blank:
            return {"image": torch.zeros(0, *section.image.shape), "section": outline, "at_once": 1}
        padded = self.blocks.padded(section.size)
        height, width = (new - old for new, old in zip(padded, section.size, strict=True))
        image = torch.from_numpy(np.pad(section.image, ((0, 0), (0, height), (0, width)), mode="edge"))
        tiles = self._tiles(outline)
        bag = torch.stack([image[:, *tile.area] for tile in tiles])
        return {"image": bag, "section": outline, "at_once": tiles_at_once(tiles[0], self.batch_size)}

    def put_together(self, section: Outline, maps: Tensor) -> Tensor:
        """Assemble a section's probabilities (K, H, W) from those of its tiles (tiles, K, h, w).

        A blank section is background.
        """
        padded = self.blocks.padded(section.size)
        whole = maps.new_zeros(maps.shape[1], *padded)
        if section.is_blank:
            whole[0] = 1
        else:
            for tile, part in zip(self._tiles(section), maps, strict=True):
                whole[:, *tile.core] = part[:, *tile.core_inside]
        return whole[:, : section.size[0], : section.size[1]]

    def _tiles(self, section: Outline) -> list[Tile]:
        return self.blocks.tiles(self.blocks.padded(section.size))


class ReadingAhead(DataLoader):
    """A DataLoader that reads in a background thread; arguments as in torch."""

    def __iter__(self) -> Iterator[Any]:
        batches = iter(super().__iter__())
        with ThreadPoolExecutor(1, thread_name_prefix="reading") as thread:
            waiting = deque(thread.submit(next, batches, END) for _ in range(AHEAD))
            while (batch := waiting.popleft().result()) is not END:
                waiting.append(thread.submit(next, batches, END))
                yield batch
