"""Choose one index of an axis, such as one time or one channel, by the axis's letter or number."""

from collections.abc import Mapping, Sequence

from bnadapt.data.readers.axes import Remedy, guessed_axes, save_part
from bnadapt.errors import InputError

UNNAMED = "Q"  # an axis of which one index is chosen, in an array whose axes have no names


def how_to_choose(axes: str | None, axis: int) -> str:
    """What to do about an axis that is one too many: an example of the option, by its letter where that is its own."""
    name = axis if axes is None or axes.count(axes[axis]) > 1 else axes[axis]
    return f"choose one index of an axis, such as --data.target.index '{{\"{name}\": 0}}'"


def axes_with_choice(
    axes: str | None, shape: Sequence[int], index: Mapping[str, int], context: str, remedy: Remedy = save_part
) -> str:
    """A letter for each axis of an array; guessed, but for those chosen by number, where the file names none."""
    if axes is not None:
        return axes
    numbers = {int(name) for name in index if name.isdecimal()}
    rest = [axis for axis in range(len(shape)) if axis not in numbers]
    guessed = iter(guessed_axes([shape[axis] for axis in rest], context, lambda axis: remedy(rest[axis])))
    return "".join(UNNAMED if axis in numbers else next(guessed) for axis in range(len(shape)))


def chosen(index: Mapping[str, int], axes: str, shape: Sequence[int], context: str) -> dict[int, int]:
    """Which axes are read at which index.

    Args:
        index: by the letter of an axis, or its number from 0.
        axes: a letter for each.
        shape: of the array.
        context: file (and key) that messages name.

    Raises:
        InputError: an axis is not there, is that of rows or columns, or is shorter.
    """
    found: dict[int, int] = {}
    for name, position in index.items():
        axis = _axis(name, axes, shape, context)
        if axis in found:
            raise InputError(f"{context}: `index` names the axis {axes[axis]} twice, as {name!r} too; leave one out.")
        if not 0 <= position < shape[axis]:
            raise InputError(
                f"{context}: index {position} of the axis {name} is none of its {shape[axis]}; give one from 0 to"
                f" {shape[axis] - 1}."
            )
        found[axis] = position
    return found


def _axis(name: str, axes: str, shape: Sequence[int], context: str) -> int:
    told = f"{context}: has the axes {axes} of lengths {tuple(shape)}"
    if name.isdecimal() and int(name) < len(axes):
        axis = int(name)
    elif axes.count(name.upper()) == 1:
        axis = axes.index(name.upper())
    else:
        raise InputError(
            f"{told}, and so not one axis {name!r} to choose of; let `index` name one by its letter, or by its number"
            f" from 0 to {len(axes) - 1}."
        )
    if axes[axis] in "YX":
        raise InputError(f"{told}, and the axis {name!r} to choose of is that of rows or columns; name another one.")
    return axis


def choice_for_masks(
    index: Mapping[str, int], images: int, axes: str | None, shape: Sequence[int], context: str
) -> dict[str, int]:
    """What of a choice for images holds for their masks: that of axes which the masks have, too, and longer than one.

    A number of an axis holds for masks with as many axes as the images alone.

    Args:
        index: for the images.
        images: their number of axes.
        axes: of the masks, where they are named.
        shape: of the masks.
        context: file (and key) that messages name.
    """
    numbers = {
        name: position
        for name, position in index.items()
        if name.isdecimal() and len(shape) == images and shape[int(name)] > 1
    }
    named = axes_with_choice(axes, shape, numbers, context)
    long = {letter for letter, length in zip(named, shape, strict=True) if length > 1}
    return numbers | {name: position for name, position in index.items() if name.upper() in long}
