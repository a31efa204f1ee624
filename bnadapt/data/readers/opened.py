"""What is known of a stack before any of its pixels are read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from bnadapt.data.voxel import UNKNOWN, Voxel


class StoredChunks(NamedTuple):
    """How many chunks of an array are stored.

    Attributes:
        stored: of them.
        chunks: that there could be.
        fill_value: what the pixels of the others read as.
        is_estimate: whether only some were looked for.
    """

    stored: int
    chunks: int
    fill_value: Any
    is_estimate: bool = False


@dataclass(frozen=True, eq=False)
class Opened:
    """An array of a file.

    Attributes:
        array: read on indexing.
        axes: a letter for each of its axes, where the file names them.
        voxel: its sides, where the file says them.
        key: where the array is in its file, if it is not the only one.
        is_ome_zarr: whether it is a level of an OME-Zarr image.
        level: of that image, which was chosen by the pixel size.
        count_chunks: counts those that are stored, where chunks may be missing.
    """

    array: Any
    axes: str | None = None
    voxel: Voxel = UNKNOWN
    key: str | None = None
    is_ome_zarr: bool = False
    level: str | None = None
    count_chunks: Callable[[], StoredChunks] | None = None
