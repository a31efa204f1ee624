"""Results in plain types, without torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Region:
    """A rectangle of a section, in pixels of the file; rows and columns are [first, last)."""

    section: int
    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]

    def within(self, size: Sequence[int], most: int) -> "Region":
        """The part inside a section of this size, and of that the middle of at most `most` pixels."""
        rows, columns = (
            _clipped(*limits, side, most) for limits, side in zip((self.rows, self.columns), size, strict=True)
        )
        return replace(self, rows=rows, columns=columns)


@dataclass(frozen=True, eq=False)
class Look:
    """A region under every candidate."""

    region: Region
    classes: Mapping[str, np.ndarray]  # (h, w) uint8 by the candidate's name
    titles: Mapping[str, str]
    disagreement: np.ndarray  # (h, w) share of the candidates that differ from the most frequent class
    left_out: Mapping[str, str]  # missing information by the name of the candidate that needs it
    tiles: int  # behind the statistics

    def foreground(self, name: str) -> float:
        """Share of the region that a candidate predicts as foreground."""
        return float((self.classes[name] > 0).mean())


@dataclass(frozen=True)
class Advice:
    """A recommendation in words: the candidate, what to do and whether it helps, what to check, and to self-train."""

    choice: str
    sentence: str
    warnings: Sequence[str] = ()
    self_training: bool = False  # whether it is expected to gain more


@dataclass(frozen=True, eq=False)
class ProposedTile:
    """A tile to correct."""

    file: str  # name of its image and its mask
    region: Region
    prediction: np.ndarray  # (h, w) uint8 class indices
    disagreement: float = 0.0  # share of its pixels on which candidates disagree


def _clipped(first: int, last: int, side: int, most: int) -> tuple[int, int]:
    first, last = max(0, first), min(side, last)
    surplus = max(0, last - first - most)
    return first + surplus // 2, last - (surplus - surplus // 2)
