"""The sides of a voxel."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Voxel:
    """Sides of a voxel in nanometres, where they are known.

    Args:
        pixel_size_nm: in plane.
        spacing_nm: from section to section.
    """

    pixel_size_nm: float | None = None
    spacing_nm: float | None = None


UNKNOWN = Voxel()
