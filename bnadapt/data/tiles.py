"""Cut images into overlapping tiles so that every pixel belongs to exactly one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from bnadapt.batchnorm.volume import tile_starts
from bnadapt.errors import InputError

MOST_AT_ONCE = 2**20  # pixels in a batch to segment, unless a single tile has more


@dataclass(frozen=True)
class Tile:
    """A tile of an image.

    Attributes:
        area: rows and columns of the image that the tile covers.
        core: rows and columns of the image that belong to this tile alone. These parts of all tiles cover the image
            once, as far from the tiles' borders as the overlap allows.
    """

    area: tuple[slice, slice]
    core: tuple[slice, slice]

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        rows, columns = self.area
        return (rows.stop - rows.start) * (columns.stop - columns.start)

    @property
    def core_inside(self) -> tuple[slice, slice]:
        """`core` in the tile's coordinates."""
        return tuple(
            slice(core.start - area.start, core.stop - area.start)
            for core, area in zip(self.core, self.area, strict=True)
        )


def tiles_of(size: Sequence[int], tile_size: int, overlap: int, context: str) -> list[Tile]:
    """The tiles of an image of `size` = (H, W) with at least `overlap` shared pixels.

    Refuses images smaller than a tile, and overlaps as large as a tile; `context` is the image's name in messages.
    """
    if min(size) < tile_size:
        raise InputError(
            f"{context}: {size[0]} x {size[1]} pixels (after resampling) are smaller than a tile of {tile_size}; set"
            f" --data.tile_size to {min(size) // 16 * 16 or min(size)} or less, or leave the image out."
        )
    if not 0 <= overlap < tile_size:
        raise InputError(
            f"overlap is {overlap} for tiles of {tile_size}; set --data.overlap to at least 0 and less than a tile."
        )
    axes = [_intervals(side, tile_size, overlap) for side in size]
    return [Tile((row[0], column[0]), (row[1], column[1])) for row, column in product(*axes)]


@dataclass(frozen=True)
class Blocks:
    """Division of an image for segmentation: blocks on an even grid, each with a margin of context.

    If the margin is the radius of the network's receptive field, the result does not depend on the blocks.

    Attributes:
        size: side of a block in pixels.
        margin: least number of pixels of context on every side of a block, up to the border of the image.
        stride: tiles begin at multiples of this.
    """

    size: int
    margin: int
    stride: int = 1

    def padded(self, size: Sequence[int]) -> tuple[int, ...]:
        """The next (H, W) that are multiples of the stride."""
        return tuple(_up(side, self.stride) for side in size)

    def tiles(self, size: Sequence[int]) -> list[Tile]:
        """The tiles, of equal size, of an image of (H, W), multiples of the stride."""
        axes = [list(self._intervals(side)) for side in size]
        return [Tile((row[0], column[0]), (row[1], column[1])) for row, column in product(*axes)]

    def _intervals(self, side: int) -> Iterator[tuple[slice, slice]]:
        margin = _up(self.margin, self.stride)
        length = _up(self.size, self.stride) + 2 * margin + (self.stride if self.size % self.stride else 0)
        length = min(length, side)
        for first in range(0, side, self.size):
            start = min(max(0, first // self.stride * self.stride - margin), side - length)
            yield slice(start, start + length), slice(first, min(first + self.size, side))


def tiles_at_once(tile: Tile, batch_size: int) -> int:
    """Number of tiles of this size that go through a network together, at most `batch_size`."""
    return max(1, min(batch_size, MOST_AT_ONCE // tile.pixels))


def _up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple


def _intervals(side: int, tile_size: int, overlap: int) -> list[tuple[slice, slice]]:
    """Evenly spread intervals of `tile_size` along one side, each with the part that belongs to it alone."""
    starts = tile_starts(side, tile_size, overlap)
    borders = [(before + tile_size + after) // 2 for before, after in pairwise(starts)]
    borders = [0, *borders, side]
    return [
        (slice(start, start + tile_size), slice(first, last))
        for start, first, last in zip(starts, borders, borders[1:], strict=False)
    ]
