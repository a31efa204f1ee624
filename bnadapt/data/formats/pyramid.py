"""Resolution levels of a section, each with half the rows and columns of the one before."""

from collections.abc import Sequence

import numpy as np

from bnadapt.data.formats.base import Reduction

COARSEST = 256  # largest side in pixels of the last level


def level_sizes(size: Sequence[int]) -> list[tuple[int, int]]:
    """Rows and columns of the levels of a pyramid."""
    sizes = [tuple(size)]
    while max(sizes[-1]) > COARSEST:
        sizes.append(tuple(-(-side // 2) for side in sizes[-1]))
    return sizes


def halved(section: np.ndarray, reduce: Reduction) -> np.ndarray:
    """A section (H, W) with half the rows and columns, rounded up; odd last ones are repeated."""
    padded = np.pad(section, [(0, side % 2) for side in section.shape], mode="edge")
    height, width = (side // 2 for side in padded.shape)
    blocks = padded.reshape(height, 2, width, 2).swapaxes(1, 2).reshape(height, width, 4)
    return reduce(blocks).astype(section.dtype)


def mean(blocks: np.ndarray) -> np.ndarray:
    """Mean over the last axis of (..., 4), rounded for integers."""
    means = blocks.mean(-1)
    return np.rint(means) if blocks.dtype.kind in "iu" else means


def majority(blocks: np.ndarray) -> np.ndarray:
    """The most frequent value along the last axis of (..., 4); the smaller one of a tie."""
    least, lower, upper, greatest = np.moveaxis(np.sort(blocks, axis=-1), -1, 0)
    pairs = np.where(upper == greatest, upper, least)
    return np.where(lower == upper, lower, np.where(least == lower, least, pairs))
