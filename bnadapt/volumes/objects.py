"""Objects of a segmentation: connected pixels of one class, labelled section by section.

Components are labelled in every section; touching components of neighbouring sections are linked, and the connected
components of that graph are the objects. Memory holds two sections, and a few numbers for each component.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import label

from bnadapt.errors import InputError
from bnadapt.volumes.regions import Regions, concatenated, regions_of, united


@dataclass(frozen=True)
class Objects:
    """The objects of a segmentation.

    Attributes:
        regions: the objects, sorted by class, first section, row and column.
        of_component: index of the object of every component, in the order of sections and labels; -1 for omitted
            objects.
        left_out: number of omitted objects.
    """

    regions: Regions
    of_component: np.ndarray
    left_out: int = 0

    def of_size(self, least: int) -> "Objects":
        """Keep objects of at least so many pixels; the others count as omitted."""
        is_large = self.regions.pixels >= least
        numbers = np.where(is_large, np.cumsum(is_large) - 1, -1)
        of_component = np.append(numbers, -1)[self.of_component]  # the last one for those that are left out already
        return Objects(self.regions[is_large], of_component, self.left_out + int((~is_large).sum()))


def find_objects(
    sections: Iterable[tuple[np.ndarray, np.ndarray | None]], dimensions: int, connectivity: int
) -> Objects:
    """Objects of a volume, as by `skimage.measure.label` on the whole volume or on each section.

    Args:
        sections: class indices (H, W), 0 for background, and probabilities (H, W) in 0..1 or None, section by section.
        dimensions: 3, or 2 to treat sections separately; then their sizes may differ.
        connectivity: number of coordinates by which touching pixels may differ, 1 to `dimensions`.

    Raises:
        InputError: there are no sections, or those of a volume differ in size.
    """
    shifts = _shifts(dimensions, connectivity)
    by_section: list[Regions] = []
    links: list[np.ndarray] = []
    before, offset = None, 0
    for index, (classes, probability) in enumerate(sections):
        labels = component_labels(classes, connectivity)
        by_section.append(regions_of(labels, classes, probability, index))
        if shifts and before is not None:
            links.append(
                _touching(before, labels, shifts, index) + np.array([[offset - len(by_section[-2])], [offset]])
            )
        before, offset = labels, offset + len(by_section[-1])
    if not by_section:
        raise InputError("the mask has no sections; give one with at least one.")
    parts = concatenated(by_section)
    return sorted_objects(*_united(parts, links))


def component_labels(classes: np.ndarray, connectivity: int) -> np.ndarray:
    """Components of one section (H, W), 1 to their number; 0 for background."""
    return label(classes, background=0, connectivity=min(connectivity, 2))


def object_labels(components: Iterable[np.ndarray], objects: Objects) -> Iterator[np.ndarray]:
    """Index of the object plus 1 for each section (H, W) of components; 0 for background and left-out objects."""
    offset = 0
    for labels in components:
        count = int(labels.max(initial=0))
        yield np.append(-1, objects.of_component[offset : offset + count])[labels] + 1
        offset += count


def _shifts(dimensions: int, connectivity: int) -> Sequence[tuple[int, int]]:
    """Rows and columns by which touching pixels of neighbouring sections may differ."""
    if dimensions == 2:
        return ()
    steps = (0, -1, 1)
    return [(down, right) for down in steps for right in steps if 1 + abs(down) + abs(right) <= connectivity]


def _touching(before: np.ndarray, labels: np.ndarray, shifts: Sequence[tuple[int, int]], index: int) -> np.ndarray:
    """(2, links) labels minus 1 of touching components of a section and the next, number `index`."""
    if before.shape != labels.shape:
        raise InputError(
            f"section {index} has the size {labels.shape}, the one before {before.shape}; objects in 3-D need"
            " sections of one size: give --dimensions 2."
        )
    stride = int(labels.max(initial=0)) + 1
    pairs = [_pairs(*_overlapping(before, labels, shift), stride) for shift in shifts]
    return np.stack(np.divmod(np.unique(np.concatenate(pairs)), stride)) - 1


def _overlapping(before: np.ndarray, labels: np.ndarray, shift: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The overlapping parts of two sections when the second is shifted."""
    upper = tuple(slice(max(0, step), side + min(0, step)) for step, side in zip(shift, labels.shape, strict=True))
    lower = tuple(slice(max(0, -step), side + min(0, -step)) for step, side in zip(shift, labels.shape, strict=True))
    return before[upper], labels[lower]


def _pairs(before: np.ndarray, labels: np.ndarray, stride: int) -> np.ndarray:
    """Pairs of overlapping labels of two sections, encoded as one number each."""
    both = (before > 0) & (labels > 0)
    pairs = before[both].astype(np.int64) * stride + labels[both]
    return pairs[np.flatnonzero(np.diff(pairs, prepend=-1))]  # most repeat the one before


def _united(parts: Regions, links: Sequence[np.ndarray]) -> tuple[Regions, np.ndarray]:
    """Objects united from parts, and the number of the object of each part."""
    ends = np.concatenate([np.empty((2, 0), np.int64), *links], axis=1)
    ends = ends[:, parts.classes[ends[0]] == parts.classes[ends[1]]]
    graph = coo_array((np.ones(ends.shape[1], bool), tuple(ends)), shape=(len(parts), len(parts)))
    _, whole = connected_components(graph, directed=False)
    return united(parts, whole), whole


def sorted_objects(regions: Regions, whole: np.ndarray) -> Objects:
    """Objects in order, from their regions (R,) and the index of the object of every component."""
    order = np.lexsort((*regions.first.T[::-1], regions.classes))
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return Objects(regions[order], places[whole])
