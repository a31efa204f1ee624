"""Pixel sizes given by the user, stated by files, and expected by a network."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bnadapt.data.geometry import Geometry, Voxel
from bnadapt.data.lengths import SIZES, is_size, same_size
from bnadapt.errors import InputError

UNREPORTED = 1.5  # factor up to which images are resampled without a message


@dataclass(frozen=True)
class GivenPixelSize:
    """The pixel size that a user gives for images.

    A size within 2 % of that of a file counts as rounded, and the file's is used.

    Attributes:
        nm: side of a pixel in nanometres; None if it is not given.
        overrides: whether it is used even if a file states another one.

    Raises:
        InputError: the size is impossible, or missing although it overrides files.
    """

    nm: float | None = None
    overrides: bool = False

    def __post_init__(self) -> None:
        check_size(self.nm, "pixel_size_nm")
        if self.overrides and self.nm is None:
            raise InputError("override_pixel_size is set, but no pixel size is given; add pixel_size_nm.")

    def of(self, path: Path | str, voxel: Voxel, levels: Iterable[float | None] = ()) -> float | None:
        """The pixel size of an image; None if it is unknown.

        Args:
            path: file of the image, for messages.
            voxel: sides stated by the file.
            levels: pixel sizes of the resolution levels in the file.

        Raises:
            InputError: the file states another one, and is not overridden.
        """
        if self.nm is None:
            return voxel.pixel_size_nm
        sides = [side for side in (voxel.y, voxel.x) if side]
        if self.overrides or not sides:
            return self.nm
        refuse_contradiction(path, self.nm, sides, "override_pixel_size", levels)
        return voxel.pixel_size_nm or self.nm

    def stated_in(self, geometry: Geometry) -> Geometry:
        """The geometry for outputs: that of the file, with the given size if it overrides or the file has none."""
        voxel = geometry.voxel
        return geometry.with_sides(self.nm) if self.overrides or not (voxel.y or voxel.x) else geometry


def check_size(nm: float | None, name: str) -> None:
    """Refuse a length in nanometres that is impossible for a pixel; `name` is its option."""
    if nm is not None and not is_size(nm):
        raise InputError(f"{name} is {nm:g}; give a number from {SIZES[0]:g} to {SIZES[1]:g}.")


NOT_GIVEN = GivenPixelSize()


def refuse_contradiction(
    path: Path | str,
    requested: float,
    stated: Sequence[float],
    override: str,
    levels: Iterable[float | None] = (),
    name: str = "pixel_size_nm",
) -> None:
    """Refuse a size that is neither one of those that a file states nor between them.

    Args:
        path: the file.
        requested: the user's size in nanometres.
        stated: sizes in the file, in nanometres, such as the two sides of an oblong pixel.
        override: option that overrides the file.
        levels: pixel sizes of resolution levels that could be chosen.
        name: option of the size.
    """
    if min(stated) < requested < max(stated) or any(same_size(requested, each) for each in stated):
        return
    stated_text = " x ".join(f"{each:g}" for each in dict.fromkeys(stated))
    sizes = ", ".join(f"{each:g}" for each in levels if each)
    choice = f", give that of one of its resolution levels ({sizes} nm)" if "," in sizes else ""
    raise InputError(
        f"{path}: states {stated_text} nm, {name} is {requested:g}; leave out {name}{choice}, or add {override} if the"
        " file is wrong."
    )


def resampling_sentence(sizes: Iterable[float | None], network_nm: float | None) -> str | None:
    """The effect of resampling images of these pixel sizes (None: unknown) to the network's; None if negligible."""
    sizes = set(sizes)
    if network_nm is None or not sizes:
        return None
    if None in sizes:
        return (
            f"its pixel size is unknown, so images are not resampled to the network's {network_nm:g} nm;"
            " set it by pixel_size_nm."
        )
    size = max(sizes, key=lambda each: abs(math.log(each / network_nm)))
    factor = max(size / network_nm, network_nm / size)
    if factor <= UNREPORTED:
        return None
    change = "enlarged" if size > network_nm else "reduced"
    return f"its images are {change} {factor:.3g} times, from pixels of {size:g} nm to the network's {network_nm:g} nm."
