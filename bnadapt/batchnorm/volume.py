"""Random tiles of volumes of any size; only the tiles drawn are read."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bnadapt.batchnorm.layers import StatisticsError

DRAWN_AT_ONCE = 64


def as_float(pixels: np.ndarray) -> Tensor:
    """Float32 tensor; integers are divided by their type's greatest value.

    Raises:
        StatisticsError: integers have 64 bits, a range too large to scale by.
    """
    pixels = real_numbers(pixels)
    if np.issubdtype(pixels.dtype, np.integer):
        if pixels.dtype.itemsize == 8:
            raise StatisticsError(
                f"Images are of type {pixels.dtype}, with a range too large to scale by; convert them to the type of"
                " the training images."
            )
        pixels = pixels / np.float32(np.iinfo(pixels.dtype).max)
    return torch.from_numpy(np.array(pixels, dtype=np.float32))


def real_numbers(pixels: Any) -> np.ndarray:
    """An array in memory, in this machine's byte order; refuses masked pixels, complex numbers and objects."""
    if np.ma.is_masked(pixels):
        raise StatisticsError("Images are an array with masked pixels; fill these, or leave the images out.")
    pixels = np.asarray(pixels)
    if pixels.dtype.kind not in "biuf":
        raise StatisticsError(f"Images are of type {pixels.dtype}; give integers or floating point numbers.")
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))


class VolumeTiles:
    """All tiles (1, tile_size, tile_size) float32 of one or more volumes, each once, in random but even order.

    The order follows a scrambled Sobol sequence (Owen, 1998) over sections, rows and columns, so that the first tiles
    of any number cover the volumes evenly. Tiles lie on an even grid; those at the border overlap their neighbours.
    Every iteration gives the same order.

    Args:
        volumes: an array (Z, H, W), or several: NumPy, memory map, HDF5, Zarr or anything with `shape` and slices.
        tile_size: side of a tile; by default 256, or the shortest side if that is less.
        seed: seed of the order.
        scale: from the pixels (H, W) of a tile to a float32 tensor (H, W), as in training. By default integers are
            divided by their type's greatest value.

    Raises:
        StatisticsError: a volume is smaller than a tile or has another number of axes.

    Examples:
        >>> tiles = VolumeTiles(np.zeros((10, 100, 100), np.uint8), tile_size=50)
        >>> len(tiles), next(iter(tiles)).shape
        (40, torch.Size([1, 50, 50]))
    """

    def __init__(
        self,
        volumes: Any,
        tile_size: int | None = None,
        seed: int = 0,
        scale: Callable[[np.ndarray], Tensor] = as_float,
    ) -> None:
        self.volumes = [volumes] if hasattr(volumes, "shape") else list(volumes)
        for volume in self.volumes:
            if len(volume.shape) != 3:
                raise StatisticsError(f"A volume has the shape {tuple(volume.shape)}; give (Z, H, W).")
        shortest = min((min(volume.shape) and min(volume.shape[1:]) for volume in self.volumes), default=0)
        if shortest == 0:
            raise StatisticsError("A volume is missing or has no pixels; give at least one section.")
        self.tile_size = min(256, shortest) if tile_size is None else tile_size
        if not 1 <= self.tile_size <= shortest:
            raise StatisticsError(
                f"tile_size is {tile_size}, the shortest side of a section {shortest} pixels; give at most that."
            )
        self.seed = seed
        self.scale = scale
        self._grids = [_grid(volume.shape, self.tile_size) for volume in self.volumes]
        self._ends = np.cumsum([len(rows) * len(columns) * depth for depth, rows, columns in self._grids])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __iter__(self) -> Iterator[Tensor]:
        for index in self._order():
            which = int(np.searchsorted(self._ends, index, side="right"))
            depth, rows, columns = self._grids[which]
            start = self._ends[which - 1] if which else 0
            section, row, column = np.unravel_index(index - start, (depth, len(rows), len(columns)))
            top, left = rows[row], columns[column]
            tile = self.volumes[which][int(section), top : top + self.tile_size, left : left + self.tile_size]
            yield self.scale(real_numbers(tile)).unsqueeze(0)

    def _order(self) -> Iterator[int]:
        """Every index once: first in the order of the sequence, then those that many points of it have missed."""
        from scipy.stats import qmc

        sequence = qmc.Sobol(d=3, rng=np.random.default_rng(self.seed))
        met: set[int] = set()
        for _ in range(0, 4 * len(self) + DRAWN_AT_ONCE, DRAWN_AT_ONCE):
            for point in sequence.random(DRAWN_AT_ONCE):
                index = self._index_at(point)
                if index not in met:
                    met.add(index)
                    yield index
        missed = np.array(sorted(set(range(len(self))) - met), dtype=int)
        yield from np.random.default_rng(self.seed).permutation(missed).tolist()

    def _index_at(self, point: Sequence[float]) -> int:
        """The tile at a point of the unit cube (section, row, column)."""
        position = point[0] * len(self)
        which = int(np.searchsorted(self._ends, position, side="right"))
        start = int(self._ends[which - 1]) if which else 0
        depth, rows, columns = self._grids[which]
        section = min(int((position - start) / (len(rows) * len(columns))), depth - 1)
        row, column = int(point[1] * len(rows)), int(point[2] * len(columns))
        return start + int(np.ravel_multi_index((section, row, column), (depth, len(rows), len(columns))))


def _grid(shape: Sequence[int], tile_size: int) -> tuple[int, list[int], list[int]]:
    """Number of sections, first rows and first columns of the tiles."""
    depth, height, width = shape
    return depth, tile_starts(height, tile_size), tile_starts(width, tile_size)


def tile_starts(side: int, tile_size: int, overlap: int = 0) -> list[int]:
    """First pixels of as few tiles as possible that cover a side evenly, the first and the last at its ends.

    Args:
        side: side of the image in pixels, at least a tile's.
        tile_size: side of a tile in pixels.
        overlap: least number of pixels that neighbouring tiles share.

    Examples:
        >>> tile_starts(100, 40)
        [0, 30, 60]
        >>> tile_starts(100, 40, overlap=20)
        [0, 20, 40, 60]
    """
    steps = max(0, -(-(side - tile_size) // (tile_size - overlap)))
    return [round(step * (side - tile_size) / steps) for step in range(steps + 1)] if steps else [0]
