"""Planes in which the sections of a volume lie."""

from collections.abc import Sequence
from typing import Literal, TypeVar

Plane = Literal["xy", "xz", "yz"]
ACROSS: dict[str, int] = {"xy": 0, "xz": 1, "yz": 2}
"""Axis of a volume (Z, Y, X) along which the sections of a plane follow each other; they are (Y, X), (Z, X), (Z, Y)."""
Item = TypeVar("Item")


def in_plane(plane: Plane, of_axes: Sequence[Item]) -> list[Item]:
    """Items of the axes (Z, Y, X) of a volume, reordered to (sections, rows, columns) of a plane.

    Examples:
        >>> in_plane("xz", ["Z", "Y", "X"])
        ['Y', 'Z', 'X']
    """
    rest = list(of_axes)
    return [rest.pop(ACROSS[plane]), *rest]


def named(plane: Plane, index: int) -> str:
    """A section as NumPy would index it.

    Examples:
        >>> named("yz", 5)
        '[:, :, 5]'
    """
    return f"[{':, ' * ACROSS[plane]}{index}]"
