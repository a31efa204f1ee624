"""Split touching objects by a watershed on the distance map of each (Beucher and Lantuéjoul 1979), in physical units.

A part gets its own label if its inscribed radius exceeds that of its neck to a larger part by a given depth, according
to the h-maxima of the distance map. Memory holds the bounding box of one object; the labels of a volume are on disk.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import h_maxima
from skimage.segmentation import relabel_sequential, watershed

from bnadapt.volumes.objects import Objects, component_labels, object_labels, sorted_objects
from bnadapt.volumes.regions import concatenated, regions_of, united

CHUNK = 8, 256, 256  # chunks of the labels on disk


class SplitSections:
    """Labels of each section, split separately and unique over all; computed on iterating.

    Args:
        classes: returns class indices (H, W) of every section.
        connectivity: see `find_objects`.
        sides: height and width of a pixel.
        depth: see `split_object`.
    """

    def __init__(
        self, classes: Callable[[], Iterator[np.ndarray]], connectivity: int, sides: Sequence[float], depth: float
    ) -> None:
        self.classes = classes
        self.connectivity = connectivity
        self.sides = sides
        self.depth = depth

    def __iter__(self) -> Iterator[np.ndarray]:
        count = 0
        for classes in self.classes():
            labels = component_labels(classes, self.connectivity)
            boxes = ndimage.find_objects(labels)
            highest = _split(
                labels, len(boxes), zip(range(1, len(boxes) + 1), boxes, strict=True), self.sides, self.depth
            )
            yield np.where(labels > 0, labels + count, 0)
            count += highest


def split_volume(
    components: Iterable[np.ndarray],
    objects: Objects,
    shape: Sequence[int],
    sides: Sequence[float],
    depth: float,
    folder: Path,
) -> Any:
    """Labels of the objects of a volume, with touching ones split: an array (Z, H, W) on disk.

    Args:
        components: components (H, W) of every section, see `object_labels`.
        objects: its objects before splitting.
        shape: shape of the volume.
        sides: depth, height and width of a voxel.
        depth: see `split_object`.
        folder: folder for the labels.
    """
    labels = zarr.create_array(folder / "labels.zarr", shape=shape, dtype=np.uint32, chunks=CHUNK, fill_value=0)
    for index, section in enumerate(object_labels(components, objects)):
        labels[index] = section
    ends = zip(objects.regions.first.tolist(), objects.regions.last.tolist(), strict=True)
    boxes = ((number, tuple(map(_range, *each))) for number, each in enumerate(ends, 1))
    _split(labels, len(objects.regions), boxes, sides, depth)
    return labels


def _range(first: int, last: int) -> slice:
    return slice(first, last + 1)


def _split(
    labels: Any, count: int, boxes: Iterable[tuple[int, tuple[slice, ...]]], sides: Sequence[float], depth: float
) -> int:
    """Split the objects of an array with labels 1 to count in place; returns the number of labels afterwards.

    `boxes` are the label and the bounding box of every object.
    """
    for number, box in boxes:
        if min((each.stop - each.start) * side for each, side in zip(box, sides, strict=True)) / 2 <= depth:
            continue
        around = tuple(slice(max(0, each.start - 1), each.stop + 1) for each in box)
        part = labels[around]
        split = split_object(part == number, sides, depth)
        further = int(split.max()) - 1
        if further > 0:
            labels[around] = np.where(split > 1, count + split - 1, part)
            count += further
    return count


def split_object(mask: np.ndarray, sides: Sequence[float], depth: float) -> np.ndarray:
    """Labels 1, 2, ... of the parts of an object, 0 outside.

    Args:
        mask: truth values, in 2-D or 3-D.
        sides: sides of a pixel or voxel, along each axis.
        depth: how much the inscribed radius of a part must exceed that of its neck, in the unit of the sides.

    Examples:
        >>> rows, columns = np.mgrid[:21, :41]
        >>> twins = np.minimum(np.hypot(rows - 10, columns - 11), np.hypot(rows - 10, columns - 29)) < 10
        >>> [int(split_object(twins, (1, 1), depth).max()) for depth in (2, 20)]
        [2, 1]
    """
    distance = ndimage.distance_transform_edt(mask, sampling=sides)
    whole = mask.astype(np.int32)
    if mask.all() or distance.max() <= depth:
        return whole
    seeds, count = label(h_maxima(distance, depth), return_num=True)
    return watershed(-distance, seeds, mask=mask) if count > 1 else whole


def objects_of_labels(
    sections: Iterable[tuple[np.ndarray, np.ndarray | None]], labels: Iterable[np.ndarray]
) -> Objects:
    """Objects of labelled sections.

    Args:
        sections: class indices (H, W) and probabilities (H, W) in 0..1 or None, section by section.
        labels: (H, W) of each; an object has its number in all sections, background is 0.
    """
    parts, numbers = [], []
    for index, ((classes, probability), section_labels) in enumerate(zip(sections, labels, strict=True)):
        local, _, number_of = relabel_sequential(section_labels)
        parts.append(regions_of(local, classes, probability, index))
        numbers.append(np.asarray(number_of)[1:])
    _, whole = np.unique(np.concatenate(numbers), return_inverse=True)
    return sorted_objects(united(concatenated(parts), whole), whole)


def components_of_labels(labels: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Components (H, W) of every section, 1 to their number, as counted by `objects_of_labels`."""
    return (relabel_sequential(each)[0] for each in labels)
