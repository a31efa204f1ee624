"""The sides of a voxel."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Voxel:
    """Sides of a voxel in nanometres, where they are known.

    Args:
        pixel_size_nm: in plane.
        spacing_nm: from section to section.
        is_square: whether rows and columns are alike, as far as is known; else there is no size of a pixel.
    """

    pixel_size_nm: float | None = None
    spacing_nm: float | None = None
    is_square: bool = True


UNKNOWN = Voxel()
