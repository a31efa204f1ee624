"""Bring arrays of named axes into one order: sections, height, width, channels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bnadapt.errors import InputError

MOST_CHANNELS = 4
NAMES = {"T": "times", "C": "channels", "Z": "sections", "S": "samples"}


Remedy = Callable[[int], str]
"""What to do about an axis, of this number, that is one too many."""


@dataclass(frozen=True)
class Layout:
    """Where the axes of an array are.

    Attributes:
        sections: the axis of the sections, None for a single one.
        rows: the axis of the height.
        columns: the axis of the width.
        channels: the axis of the channels, None for a single one.
        dropped: axes of length one.
    """

    sections: int | None
    rows: int
    columns: int
    channels: int | None
    dropped: tuple[int, ...]


def save_part(axis: int) -> str:
    """What to do about an axis that is one too many where none can be chosen."""
    return "save the part that is meant as a file of its own"


def layout(axes: str, shape: Sequence[int], context: str, remedy: Remedy = save_part) -> Layout:
    """The layout of an array whose axes have one letter each.

    Args:
        axes: Y and X; C or S for channels; any other letter for sections.
        shape: of the array.
        context: file (and key) that messages name.
        remedy: what to do about axes that are too many.

    Raises:
        InputError: more than one axis of sections or of channels is longer than one, Y or X is missing or there twice,
            or the array has no pixels.
    """
    told = f"{context}: has the axes {axes} of lengths {tuple(shape)}"
    if 0 in shape:
        raise InputError(f"{told}; give images with pixels.")
    if axes.count("Y") != 1 or axes.count("X") != 1:
        raise InputError(f"{told}, of which one must be Y, the rows, and one X, the columns; name them so in the file.")
    long = [axis for axis, length in enumerate(shape) if length > 1]
    channels = [axis for axis in long if axes[axis] in "CS"]
    sections = [axis for axis in long if axes[axis] not in "CSYX"]
    for kind, several in (("channels", channels), ("sections", sections)):
        if len(several) > 1:
            meant = min(several, key=lambda axis: axes[axis] == "Z")
            lengths = " and ".join(f"{shape[axis]} {NAMES.get(axes[axis], f'along {axes[axis]}')}" for axis in several)
            raise InputError(f"{told}, {lengths}, of which one at most can be {kind}; {remedy(meant)}.")
    rows, columns = axes.index("Y"), axes.index("X")
    used = {rows, columns, *channels, *sections}
    return Layout(
        sections[0] if sections else None,
        rows,
        columns,
        channels[0] if channels else None,
        tuple(axis for axis in range(len(shape)) if axis not in used),
    )


def guessed_axes(shape: Sequence[int], context: str, remedy: Remedy = save_part) -> str:
    """Axes of an array without names: (H, W), (sections, H, W) or (sections, H, W, channels).

    Axes of length one in front of them are left out of account.

    Raises:
        InputError: the shape is none of these.
    """
    shortest = min(range(len(shape)), key=lambda axis: (shape[axis] == 1, shape[axis]), default=0)
    front = 0
    while len(shape) - front > 3 and shape[front] == 1:
        front += 1
    rest = tuple(shape[front:])
    if len(rest) == 4 and rest[3] > MOST_CHANNELS:
        raise InputError(
            f"{context}: has the shape {tuple(shape)}; taken as (sections, height, width, channels) it has {rest[3]}"
            f" channels, of which at most {MOST_CHANNELS} are read. Give (sections, height, width), put the channels"
            f" last, or {remedy(shortest)}."
        )
    if not 2 <= len(rest) <= 4:
        raise InputError(
            f"{context}: has the shape {tuple(shape)}; a stack is (sections, height, width) or (sections, height,"
            f" width, channels){f'; {remedy(shortest)}' if len(rest) > 4 else ''}."
        )
    return "T" * front + {2: "YX", 3: "ZYX", 4: "ZYXC"}[len(rest)]


def single_channel(image: np.ndarray) -> np.ndarray:
    """An image (H, W, C) as (H, W) if all channels are the same, as where grey values are stored as colours."""
    if image.ndim == 3 and all(np.array_equal(image[..., 0], other) for other in np.moveaxis(image, 2, 0)):
        return image[..., 0]
    return image
