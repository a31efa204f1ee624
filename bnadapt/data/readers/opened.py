"""What is known of a stack before any of its pixels are read."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Opened:
    """An array of a file.

    Attributes:
        array: read on indexing.
        axes: a letter for each of its axes, where the file names them.
        pixel_size_nm: side of a pixel in nanometres, where the file says it.
        spacing_nm: distance of two sections in nanometres, where the file says it.
        is_ome_zarr: whether it is a level of an OME-Zarr image.
    """

    array: Any
    axes: str | None = None
    pixel_size_nm: float | None = None
    spacing_nm: float | None = None
    is_ome_zarr: bool = False
