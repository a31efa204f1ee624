"""Additive sums over the pixels of regions, for sizes, centroids and mean probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy import ndimage


@dataclass(frozen=True)
class Regions:
    """R regions of one class each; the sums of parts add up to those of the whole.

    Attributes:
        classes: (R,) class index.
        pixels: (R,) number of pixels, or voxels.
        positions: (R, 3) sum of their sections, rows and columns.
        first: (R, 3) least section, row and column.
        last: (R, 3) greatest section, row and column.
        probabilities: (R,) sum of their probabilities; NaN if unknown.
    """

    classes: np.ndarray
    pixels: np.ndarray
    positions: np.ndarray
    first: np.ndarray
    last: np.ndarray
    probabilities: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: np.ndarray) -> "Regions":
        """Select regions by indices or truth values."""
        return Regions(*(getattr(self, field.name)[index] for field in fields(self)))

    @property
    def centroids(self) -> np.ndarray:
        """(R, 3) mean section, row and column."""
        return self.positions / self.pixels[:, np.newaxis]

    @property
    def mean_probabilities(self) -> np.ndarray:
        """(R,) mean probability."""
        return self.probabilities / self.pixels


def regions_of(labels: np.ndarray, classes: np.ndarray, probability: np.ndarray | None, section: int) -> Regions:
    """The regions of one section.

    Args:
        labels: (H, W) 1 to R, 0 for background.
        classes: (H, W) class indices, one in each region.
        probability: (H, W) in 0..1, if there is one.
        section: number of the section.
    """
    rows, columns = np.nonzero(labels)
    numbers = labels[rows, columns] - 1
    pixels = np.bincount(numbers)
    own_class = np.empty(len(pixels), classes.dtype)
    own_class[numbers] = classes[rows, columns]
    boxes = [[(side.start, side.stop - 1) for side in box] for box in ndimage.find_objects(labels)]
    corners = np.array(boxes, np.int64).reshape(-1, 2, 2)
    sections = np.full(len(pixels), section)
    return Regions(
        classes=own_class,
        pixels=pixels,
        positions=np.stack(
            [pixels * float(section), np.bincount(numbers, weights=rows), np.bincount(numbers, weights=columns)], axis=1
        ),
        first=np.column_stack([sections, corners[..., 0]]),
        last=np.column_stack([sections, corners[..., 1]]),
        probabilities=np.full(len(pixels), np.nan)
        if probability is None
        else np.bincount(numbers, weights=probability[rows, columns]),
    )


def concatenated(regions: Sequence[Regions]) -> Regions:
    """All regions of several sections, at least one."""
    return Regions(*(np.concatenate([getattr(each, field.name) for each in regions]) for field in fields(Regions)))


def united(parts: Regions, whole: np.ndarray) -> Regions:
    """Unite P parts into R regions; `whole` (P,) is the number of the region of each part, 0 to R - 1."""
    count = int(whole.max(initial=-1)) + 1
    classes = np.empty(count, parts.classes.dtype)
    classes[whole] = parts.classes
    first = np.full((count, 3), np.iinfo(np.int64).max)
    last = np.zeros((count, 3), np.int64)
    np.minimum.at(first, whole, parts.first)
    np.maximum.at(last, whole, parts.last)
    return Regions(
        classes=classes,
        pixels=np.bincount(whole, weights=parts.pixels, minlength=count).astype(np.int64),
        positions=np.stack([np.bincount(whole, weights=axis, minlength=count) for axis in parts.positions.T], axis=1),
        first=first,
        last=last,
        probabilities=np.bincount(whole, weights=parts.probabilities, minlength=count),
    )
