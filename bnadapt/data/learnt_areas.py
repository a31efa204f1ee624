"""Areas of images that a network has learnt from, which are left out of its scores."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Any

import numpy as np

from bnadapt.data.domain import Section
from bnadapt.data.drawn_tiles import Place
from bnadapt.data.masks import IGNORED
from bnadapt.errors import InputError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LearntArea:
    """An area of an image, recognised by its pixels whatever file or data set they are read from.

    Attributes:
        section: name of the image, for people.
        top, left, height, width: position and size in pixels of the file.
        digest: SHA-256 of its pixels as the file holds them.
    """

    section: str
    top: int
    left: int
    height: int
    width: int
    digest: str

    @classmethod
    def at(cls, place: Place, image: np.ndarray) -> "LearntArea":
        """The area at a place of an image (H, W) or (H, W, C)."""
        rows, columns = place.rows, place.columns
        sides = rows.start, columns.start, len(rows), len(columns)
        return cls(place.section, *sides, _digest(image[rows.start : rows.stop, columns.start : columns.stop]))

    @property
    def is_possible(self) -> bool:
        """Whether its numbers are those of an area; a stored one may be damaged."""
        return all(type(each) is int and each >= 0 for each in (self.top, self.left, self.height, self.width))

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def lies_in(self, image: np.ndarray) -> bool:
        """Whether an image (H, W) or (H, W, C) holds the same pixels at this position."""
        part = image[self.window]
        return part.shape[:2] == (self.height, self.width) and _digest(part) == self.digest


def as_areas(stored: Any) -> list[LearntArea]:
    """Areas from `as_plain`.

    Raises:
        InputError: they are damaged.
    """
    try:
        areas = [LearntArea(**each) for each in stored]
    except TypeError:
        areas = None
    if areas is None or not all(each.is_possible for each in areas):
        raise InputError("the checkpoint's list of areas that it has learnt from is damaged; use another copy of it.")
    return areas


def as_plain(areas: Iterable[LearntArea]) -> list[Mapping[str, Any]]:
    """Areas as plain types."""
    return [asdict(each) for each in areas]


def covered(image: np.ndarray, areas: Iterable[LearntArea]) -> np.ndarray:
    """Which pixels (H, W) of an image lie in an area of these pixels at this position."""
    inside = np.zeros(image.shape[:2], bool)
    for each in areas:
        if each.lies_in(image):
            inside[each.window] = True
    return inside


def unlearnt(sections: Sequence[Section], areas: Sequence[LearntArea], name: str) -> list[Section]:
    """Labelled sections with masks that ignore what was learnt from; logs how many that concerns.

    Args:
        sections: sections with masks.
        areas: areas that a network has learnt from.
        name: name of their domain, for messages.

    Raises:
        InputError: nothing is left to score.
    """
    if not areas:
        return list(sections)
    kept, known, has_labels = [], 0, False
    for section in sections:
        inside = covered(section.read_image(), areas)
        if not inside.any():
            has_labels = True
            kept.append(section)
            continue
        known += 1
        has_labels = has_labels or bool((section.read_mask() != IGNORED)[~inside].any())
        kept.append(replace(section, read_mask=partial(_ignoring, section.read_mask, np.packbits(inside))))
    if not has_labels:
        raise InputError(
            f"{name}: the network has learnt from all that is labelled in the images to score; give other images, or"
            " another split."
        )
    if known:
        log.warning(
            "%s: the network has learnt from tiles of %d of %d images to score; these tiles are left out.",
            name,
            known,
            len(sections),
        )
    return kept


def _ignoring(read_mask: Callable[[], np.ndarray], packed: np.ndarray) -> np.ndarray:
    """A mask (H, W) without the pixels that are set."""
    mask = read_mask()
    inside = np.unpackbits(packed, count=mask.size).reshape(mask.shape)
    return np.where(inside, np.uint8(IGNORED), mask)


def _digest(pixels: np.ndarray) -> str:
    return sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
