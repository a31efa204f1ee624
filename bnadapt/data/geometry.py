"""The geometry of an image: the axes of its array with step, origin and unit."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, TypeVar

from bnadapt.data.lengths import PIXELS, SYMBOLS, is_size, nanometres_in

UNNAMED = "?"  # letter of an axis without a name
WORDS = {
    **dict.fromkeys(("section", "slice", "plane", "depth"), "Z"),
    **dict.fromkeys(("row", "height"), "Y"),
    **dict.fromkeys(("column", "col", "width"), "X"),
    **dict.fromkeys(("time", "frame"), "T"),
    **dict.fromkeys(("channel", "band"), "C"),
}
ABBREVIATED = re.compile(r"[zyx]|[tcs](?![a-z])|time|chan|ch(?![a-z])|colou?r")  # how other names of these axes begin
MEANINGFUL = "ZYXTCSQ"  # letters not given to other axes; Q is that of a selected one
PLACEHOLDER = re.compile(r"|(phony_)?(dim|axis)_?\d+")  # names that libraries give to unnamed dimensions

PRINTED = 1e3  # nm; larger pixels stated in inches or centimetres are those of a printer
ALIKE = 1e-3  # relative difference of rows and columns of square pixels

Plane = Literal["xy", "xz", "yz"]
ACROSS: dict[str, int] = {"xy": 0, "xz": 1, "yz": 2}
"""Axis of a volume (Z, Y, X) along which the sections of a plane follow each other; they are (Y, X), (Z, X), (Z, Y)."""
Item = TypeVar("Item")


class Voxel(NamedTuple):
    """Sides of a voxel in nanometres along Z, Y and X, None where unknown."""

    z: float | None = None
    y: float | None = None
    x: float | None = None

    @property
    def pixel_size_nm(self) -> float | None:
        """Side of a pixel, if it is square."""
        return self.x if self.y and self.x and self.is_square else None

    @property
    def spacing_nm(self) -> float | None:
        """Distance between two sections."""
        return self.z

    @property
    def is_square(self) -> bool:
        """Whether rows and columns are alike, as far as is known."""
        return not (self.y and self.x) or abs(self.y - self.x) <= ALIKE * self.x


@dataclass(frozen=True)
class Axis:
    """An axis of an array.

    Attributes:
        name: name in the file.
        step: distance of two indices, in `unit`; None if unknown.
        start: position of the centre of index 0, in `unit`.
        unit: unit as the file names it.
        kind: space, time or channel, where the file states it.
    """

    name: str | None = None
    step: float | None = None
    start: float = 0.0
    unit: str | None = None
    kind: str | None = None

    @property
    def step_nm(self) -> float | None:
        """The step in nanometres, if its unit is a known length and it is a size that pixels have."""
        factor = nanometres_in(self.unit)
        if factor is None or self.step is None or not is_size(factor * self.step):
            return None
        is_printed = factor in (SYMBOLS["cm"], SYMBOLS["in"]) and factor * self.step > PRINTED
        return None if is_printed else factor * self.step

    def of_step(self, step: float | None, unit: str | None) -> "Axis":
        """The same axis with another step; the start scales with it."""
        start = self.start * step / self.step if step and self.step else self.start
        return replace(self, step=step, start=start, unit=unit)

    def in_nanometres(self) -> "Axis":
        """The same axis in nanometres, where its unit is a known length."""
        return self if self.step_nm is None else self.of_step(self.step_nm, "nanometer")


@dataclass(frozen=True)
class Geometry:
    """The axes of an array.

    Attributes:
        letters: one per axis, in order: Z, Y and X; T for time; C or S for channels; `UNNAMED` if the file gives no
            name; any other for other axes. Empty if no axis has a name.
        axes: step, start and unit of the axes, by letter.
    """

    letters: str = ""
    axes: Mapping[str, Axis] = field(default_factory=dict)

    def __getitem__(self, letter: str) -> Axis:
        return self.axes.get(letter, Axis())

    @property
    def voxel(self) -> Voxel:
        """The sides of a voxel in nanometres."""
        return Voxel(*(self[letter].step_nm for letter in "ZYX"))

    @property
    def across(self) -> int | None:
        """Index of the axis of the sections, which is neither Y nor X."""
        return next((axis for axis, letter in enumerate(self.letters) if letter not in "YX"), None)

    @property
    def is_known(self) -> bool:
        """Whether any axis has a step or a start."""
        return any(self[letter].step or self[letter].start for letter in self.letters)

    def only(self, letters: str) -> "Geometry":
        """The geometry of an array with these axes alone."""
        return Geometry(letters, {letter: self[letter] for letter in letters})

    def by_sections(self) -> "Geometry":
        """The same axes in the order sections, Y, X."""
        section = "" if self.across is None else self.letters[self.across]
        return replace(self, letters=f"{section}YX")

    def with_sides(self, pixel_size_nm: float | None = None, spacing_nm: float | None = None) -> "Geometry":
        """The same geometry with the given sides."""
        sides = {"Z": spacing_nm, "Y": pixel_size_nm, "X": pixel_size_nm}
        axes = {
            letter: self[letter].of_step(side, "nanometer")
            for letter, side in sides.items()
            if side and letter in self.letters
        }
        return replace(self, axes={**self.axes, **axes})

    def like(self, other: "Geometry") -> bool:
        """Whether rows, columns and sections have the same steps and positions, where both are known."""
        for letter in set(self.letters) & set(other.letters):
            first, second = self[letter].in_nanometres(), other[letter].in_nanometres()
            apart = (
                [abs(first.step - second.step), abs(first.start - second.start)] if first.step and second.step else []
            )
            if first.unit == second.unit and max(apart, default=0) > ALIKE * (first.step or 1):
                return False
        return True

    def names(self) -> list[str] | None:
        """The name of each axis; None if the file named none."""
        if not any(self[letter].name for letter in self.letters):
            return None
        return [self[letter].name or letter.lower() for letter in self.letters]

    def shape_of(self, count: int, rows: int, columns: int) -> tuple[int, ...]:
        """Shape of the array of `count` sections."""
        return tuple({"Y": rows, "X": columns}.get(letter, count) for letter in self.letters)

    def unread(self) -> str | None:
        """End of a message on a stated pixel size that cannot be used for resampling; None if there is none."""
        y, x = self["Y"], self["X"]
        if not y.step or not x.step or self.voxel.pixel_size_nm:
            return None
        if self.voxel.y and self.voxel.x:
            return (
                f"its pixels are {self.voxel.y:g} x {self.voxel.x:g} nm, as its file says, and so not square; they are"
                " not resampled."
            )
        if (x.unit or "").lower() in PIXELS and x.step == y.step == 1:
            return None
        if (factor := nanometres_in(x.unit)) and is_size(factor * x.step):  # of a printer
            return None
        unknown = f"in the unknown unit {x.unit!r}" if x.unit else "without a unit"
        unit = f"{x.unit}, which is impossible" if factor else unknown
        return f"its file states pixels of {y.step:g} x {x.step:g} {unit}; set their size by `pixel_size_nm`."


UNKNOWN = Geometry()


def named_axes(names: Sequence[str | None], kinds: Sequence[str | None] | None = None) -> Geometry:
    """The geometry of axes with these names and OME types."""
    kinds = kinds or [None] * len(names)
    letters = [letter_of(name, kind) for name, kind in zip(names, kinds, strict=True)]
    axes = {
        letter: Axis(name, kind=kind)
        for letter, name, kind in zip(letters, names, kinds, strict=True)
        if letter != UNNAMED
    }
    return Geometry("".join(letters), axes)


def letter_of(name: str | None, kind: str | None = None) -> str:
    """The letter of an axis by its name, such as Z for `depth`, and by an OME type other than space.

    An axis of another kind gets the first letter of its name without a meaning of its own: A for `sample`.
    """
    word = (name or "").strip().lower()
    if PLACEHOLDER.fullmatch(word):
        return UNNAMED
    kinds = {"time": "T", "channel": "C"}
    letter = kinds.get(kind or "") or WORDS.get(word.removesuffix("s"))
    if letter or ABBREVIATED.match(word):
        return letter or word[0].upper()
    return next((each for each in word.upper() if each.isalpha() and each not in MEANINGFUL), "O")


def in_plane(plane: Plane, of_axes: Sequence[Item]) -> list[Item]:
    """Items of the axes (Z, Y, X) of a volume, reordered to (sections, rows, columns) of a plane.

    Examples:
        >>> in_plane("xz", ["Z", "Y", "X"])
        ['Y', 'Z', 'X']
    """
    remaining = list(of_axes)
    return [remaining.pop(ACROSS[plane]), *remaining]


def section_index(plane: Plane, index: int) -> str:
    """A section as NumPy would index it.

    Examples:
        >>> section_index("yz", 5)
        '[:, :, 5]'
    """
    return f"[{':, ' * ACROSS[plane]}{index}]"
