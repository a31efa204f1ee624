"""Write OME-Zarr (0.5) images section by section, with a pyramid of resolutions in plane."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bnadapt.data.stack_writers import StackWriter, chunks
from bnadapt.data.voxel import Voxel

VERSION = "0.5"
COARSEST = 256  # pixels of the longer side, below which there is no further level
Reduction = Callable[[np.ndarray], np.ndarray]


class OmeZarrWriter(StackWriter):
    """Takes the sections of a volume in any order; every level halves rows and columns of the one before.

    A store that another process has begun goes on.

    Args:
        path: of the store.
        shape: (sections, H, W).
        dtype: of a pixel.
        voxel: its sides.
        reduce: makes one number of the last axis, of 4: `mean`, or `majority` for classes.
        provenance: what it comes from, for the attribute `bnadapt`.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        dtype: np.dtype,
        voxel: Voxel,
        reduce: Reduction,
        provenance: Mapping[str, str] | None = None,
    ) -> None:
        import zarr

        self.reduce = reduce
        group = zarr.open_group(path, mode="a", zarr_format=3)
        with zarr.config.set({"array.write_empty_chunks": True}):  # what is missing is not background
            self.levels = [
                group.require_array(
                    str(number), shape=each, dtype=dtype, chunks=chunks(each), dimension_names=["z", "y", "x"]
                )
                for number, each in enumerate(_shapes(shape))
            ]
        if provenance:
            group.attrs["bnadapt"] = dict(provenance)
        group.attrs["ome"] = {"version": VERSION, "multiscales": [_metadata(path.name, len(self.levels), voxel)]}

    def write(self, index: int, section: np.ndarray) -> None:
        """Write section number `index`, (H, W), into all levels."""
        for level in self.levels:
            level[index] = section
            section = halved(section, self.reduce)


def halved(section: np.ndarray, reduce: Reduction) -> np.ndarray:
    """A section (H, W) of half the rows and columns, rounded up; the last ones are repeated where they are odd."""
    padded = np.pad(section, [(0, side % 2) for side in section.shape], mode="edge")
    height, width = (side // 2 for side in padded.shape)
    blocks = padded.reshape(height, 2, width, 2).swapaxes(1, 2).reshape(height, width, 4)
    return reduce(blocks).astype(section.dtype)


def mean(blocks: np.ndarray) -> np.ndarray:
    """Of numbers (..., 4); of integers rounded."""
    found = blocks.mean(-1)
    return np.rint(found) if blocks.dtype.kind in "iu" else found


def majority(blocks: np.ndarray) -> np.ndarray:
    """The most frequent of numbers (..., 4); of two as frequent ones the lesser."""
    least, lower, upper, greatest = np.moveaxis(np.sort(blocks, axis=-1), -1, 0)
    pairs = np.where(upper == greatest, upper, least)
    return np.where(lower == upper, lower, np.where(least == lower, least, pairs))


def _shapes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    shapes = [shape]
    while max(shapes[-1][1:]) > COARSEST:
        depth, *plane = shapes[-1]
        shapes.append((depth, *(-(-side // 2) for side in plane)))
    return shapes


def _metadata(name: str, levels: int, voxel: Voxel) -> dict[str, Any]:
    """One image of `multiscales`; axes without a known size have no unit."""
    sides = {"z": voxel.spacing_nm, "y": voxel.pixel_size_nm, "x": voxel.pixel_size_nm}
    axes = [
        {"name": axis, "type": "space", **({} if side is None else {"unit": "nanometer"})}
        for axis, side in sides.items()
    ]
    finest = [side or 1.0 for side in sides.values()]
    scales = [[finest[0], *(side * 2**level for side in finest[1:])] for level in range(levels)]
    datasets = [
        {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        for level, scale in enumerate(scales)
    ]
    return {"name": name.partition(".")[0], "axes": axes, "datasets": datasets}
