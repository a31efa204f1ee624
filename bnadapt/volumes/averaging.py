"""The mean of several segmentations of the same images."""

from collections.abc import Iterator, Sequence

import numpy as np

from bnadapt.data.masks import as_stored
from bnadapt.errors import InputError
from bnadapt.volumes.segmentation import Segmentation


def check_alike(segmentations: Sequence[Segmentation]) -> None:
    """Refuse fewer than two segmentations, ones without probabilities, and ones of different images."""
    if len(segmentations) < 2:
        raise InputError("average: --masks names fewer than two masks; give at least two that predict has written.")
    first, *others = segmentations
    for each in segmentations:
        if each.probability is None:
            raise InputError(f"{each.inputs[0]}: has no probability beside it; put the one from predict there.")
    for each in others:
        if each.names != first.names or _shape(each) != _shape(first):
            raise InputError(
                f"{each.inputs[0]}: does not belong to the same images as {first.inputs[0]}"
                f" ({_extent(each)}, {_extent(first)}); give segmentations of one volume, or of one folder."
            )
        if first.geometry.is_known and each.geometry.is_known and not first.geometry.like(each.geometry):
            raise InputError(
                f"{each.inputs[0]}: differs in position or pixel size from {first.inputs[0]}; give"
                " segmentations of one volume."
            )


def averaged(segmentations: Sequence[Segmentation]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Stored mask and mean probability in 0..1 of each section, (H, W); foreground is where the mean exceeds one half.

    Raises:
        InputError: there are more than two classes, or images of one name differ in size.
    """
    for index, sections in enumerate(zip(*segmentations, strict=True)):
        for (classes, _), each in zip(sections, segmentations, strict=True):
            if classes.max() > 1:
                raise InputError(
                    f"{each.inputs[0]}, section {index}: holds more than two classes, for which the files do not hold"
                    " all probabilities; average segmentations of two classes."
                )
        probabilities = [probability for _, probability in sections]
        if len({each.shape for each in probabilities}) > 1:
            raise InputError(f"section {index}: differs in size; give segmentations of the same images.")
        mean = np.mean(probabilities, axis=0)
        yield as_stored(mean > 0.5, 2), mean


def _shape(segmentation: Segmentation) -> tuple[int, ...]:
    return () if segmentation.names else tuple(segmentation.mask.shape)


def _extent(segmentation: Segmentation) -> str:
    return f"{len(segmentation)} images" if segmentation.names else f"shape {_shape(segmentation)}"
