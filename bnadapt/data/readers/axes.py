"""The axes of an array: their meaning, their reading order, and those read at a single index."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bnadapt.data.geometry import UNNAMED
from bnadapt.errors import InputError

log = logging.getLogger(__name__)

MOST_CHANNELS = 4
NAMES = {"T": "times", "C": "channels", "Z": "sections", "S": "samples", "Y": "rows", "X": "columns"}
SELECTED = "Q"  # letter of an unnamed axis that is read at a single index


Remedy = Callable[[int], str]
"""Message text: how to resolve a surplus axis, given its number."""


@dataclass(frozen=True)
class Layout:
    """Positions of the axes of an array.

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
    """How to resolve a surplus axis where no index can be chosen."""
    return "save the part to read as a separate file"


def layout(axes: str, shape: Sequence[int], context: str, remedy: Remedy = save_part) -> Layout:
    """The layout of an array with a letter per axis: Y and X; C or S for channels; any other for sections.

    Args:
        axes: letters of the axes.
        shape: shape of the array.
        context: file (and key) named in messages.
        remedy: how to resolve surplus axes.

    Raises:
        InputError: more than one axis of sections or of channels is longer than one, Y or X is missing or doubled, or
            the array has no pixels.
    """
    shape_text = f"{context}: has the axes {axes} of lengths {tuple(shape)}"
    if 0 in shape:
        raise InputError(f"{shape_text}; give images with pixels.")
    if axes.count("Y") != 1 or axes.count("X") != 1:
        raise InputError(f"{shape_text}; one must be Y, the rows, and one X, the columns: name them so in the file.")
    long = [axis for axis, length in enumerate(shape) if length > 1]
    channels = [axis for axis in long if axes[axis] in "CS"]
    sections = [axis for axis in long if axes[axis] not in "CSYX"]
    for kind, several in (("channels", channels), ("sections", sections)):
        if len(several) > 1:
            surplus = min(several, key=lambda axis: axes[axis] == "Z")
            lengths = " and ".join(f"{shape[axis]} {NAMES.get(axes[axis], f'along {axes[axis]}')}" for axis in several)
            raise InputError(f"{shape_text}, {lengths}, and at most one of them can be {kind}; {remedy(surplus)}.")
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

    Leading axes of length one are ignored; other shapes are refused.
    """
    shortest = min(range(len(shape)), key=lambda axis: (shape[axis] == 1, shape[axis]), default=0)
    front = 0
    while len(shape) - front > 3 + (shape[-1] <= MOST_CHANNELS) and shape[front] == 1:
        front += 1
    remaining = tuple(shape[front:])
    if len(remaining) == 4 and remaining[3] > MOST_CHANNELS:
        raise InputError(
            f"{context}: has the shape {tuple(shape)}; taken as (sections, height, width, channels) it has"
            f" {remaining[3]} channels, but at most {MOST_CHANNELS} are supported. Give (sections, height, width), put"
            f" the channels last, or {remedy(shortest)}."
        )
    if not 2 <= len(remaining) <= 4:
        raise InputError(
            f"{context}: has the shape {tuple(shape)}; a stack is (sections, height, width) or (sections, height,"
            f" width, channels){f'; {remedy(shortest)}' if len(remaining) > 4 else ''}."
        )
    return "T" * front + {2: "YX", 3: "ZYX", 4: "ZYXC"}[len(remaining)]


def single_channel(image: np.ndarray) -> np.ndarray:
    """An image (H, W, C) as (H, W) if all channels are equal, as for grey values stored as colours."""
    if image.ndim == 3 and all(np.array_equal(image[..., 0], channel) for channel in np.moveaxis(image, 2, 0)):
        return image[..., 0]
    return image


def how_to_choose(letters: str, axis: int) -> str:
    """How to resolve a surplus axis: an example of the option, by the axis's letter if that is unique."""
    letter = letters[axis] if letters else UNNAMED
    name = axis if letter == UNNAMED or letters.count(letter) > 1 else letter
    return f"choose one index of an axis, such as --data.target.index '{{\"{name}\": 0}}'"


def resolved(
    letters: str, shape: Sequence[int], index: Mapping[str, int], context: str, remedy: Remedy = save_part
) -> str:
    """A letter for each axis of an array; unnamed axes are guessed, except those chosen by number.

    Args:
        letters: letters of the axes, `UNNAMED` for those without a name; empty if none has one.
        shape: shape of the array.
        index: see `selected_positions`.
        context: file (and key) named in messages.
        remedy: how to resolve surplus axes.

    Raises:
        InputError: no axis has a name, and the shape is not that of a stack.
    """
    names = [*(letters or UNNAMED * len(shape))]
    for name in index:
        if name.isdecimal() and int(name) < len(names) and names[int(name)] == UNNAMED:
            names[int(name)] = SELECTED
    unnamed = [axis for axis, letter in enumerate(names) if letter == UNNAMED]
    if set(names) <= {UNNAMED, SELECTED}:
        guessed = guessed_axes([shape[axis] for axis in unnamed], context, lambda axis: remedy(unnamed[axis]))
    else:
        present = set(names) & {*"ZYX"}
        guessed = [letter for letter in "ZYX"[-len(unnamed) - len(present) :] if letter not in present]
    for axis, letter in zip(unnamed, guessed, strict=False):
        names[axis] = letter
    return "".join(names)


def warn_of_guess(letters: str, resolved_axes: str, shape: Sequence[int], context: str) -> None:
    """Report guessed axes, unless they are only rows and columns."""
    before = letters or UNNAMED * len(shape)
    guessed = [axis for axis, letter in enumerate(before) if letter == UNNAMED and resolved_axes[axis] != SELECTED]
    if {resolved_axes[axis] for axis in guessed} - {"Y", "X"}:
        words = ", ".join(f"{shape[axis]} {NAMES.get(resolved_axes[axis], 'of one more axis')}" for axis in guessed)
        log.warning(
            "%s: does not name %s are taken as %s.",
            context,
            "all of its axes; the others" if letters else "its axes; they",
            words,
        )


def selected_positions(index: Mapping[str, int], axes: str, shape: Sequence[int], context: str) -> dict[int, int]:
    """Map the numbers of axes to the index at which they are read.

    `index` has positions by the letter of an axis, or its number from 0. Refuses axes that do not exist, hold rows or
    columns, or are shorter.
    """
    positions: dict[int, int] = {}
    for name, position in index.items():
        axis = _axis(name, axes, shape, context)
        if axis in positions:
            raise InputError(f"{context}: `index` names the axis {axes[axis]} twice, as {name!r} too; leave one out.")
        if not 0 <= position < shape[axis]:
            raise InputError(
                f"{context}: index {position} of the axis {name} is outside its length {shape[axis]}; give one from"
                f" 0 to {shape[axis] - 1}."
            )
        positions[axis] = position
    return positions


def _axis(name: str, axes: str, shape: Sequence[int], context: str) -> int:
    shape_text = f"{context}: has the axes {axes} of lengths {tuple(shape)}"
    if name.isdecimal() and int(name) < len(axes):
        axis = int(name)
    elif axes.count(name.upper()) == 1:
        axis = axes.index(name.upper())
    else:
        raise InputError(
            f"{shape_text}, and no unique axis {name!r}; name an axis in `index` by its letter, or by its"
            f" number from 0 to {len(axes) - 1}."
        )
    if axes[axis] in "YX":
        raise InputError(f"{shape_text}; {name!r} holds rows or columns, so name another axis in `index`.")
    return axis


def choice_for_masks(
    index: Mapping[str, int], dimensions: int, letters: str, shape: Sequence[int], context: str
) -> dict[str, int]:
    """The part of a choice for images that applies to their masks: axes that the masks share, longer than one.

    The number of an axis applies only to masks with as many axes as the images, `dimensions`.
    """
    numbers = {
        name: position
        for name, position in index.items()
        if name.isdecimal() and len(shape) == dimensions and shape[int(name)] > 1
    }
    axes = resolved(letters, shape, numbers, context)
    long = {letter for letter, length in zip(axes, shape, strict=True) if length > 1}
    return numbers | {name: position for name, position in index.items() if name.upper() in long}
