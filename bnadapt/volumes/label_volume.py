"""Write a label volume, in which every object has its number."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from bnadapt.data.formats import FORMATS, VolumeFormat, format_of
from bnadapt.data.formats.base import NewVolume
from bnadapt.data.formats.pyramid import majority
from bnadapt.data.geometry import Geometry
from bnadapt.errors import InputError
from bnadapt.volumes.objects import Objects, object_labels
from bnadapt.volumes.segmentation import Segmentation

KEY = "labels"  # in a file with several arrays
NUMBERS = np.dtype(np.uint32)


def check_label_path(path: Path, segmentation: Segmentation) -> None:
    """Refuse formats that cannot store labels, and masks that are not a stack."""
    suffixes = [
        suffix
        for each in FORMATS
        if isinstance(each, VolumeFormat) and each.holds(NUMBERS)
        for suffix in each.suffixes
        if each.output_suffix(Path(f"labels{suffix}")) == suffix
    ]
    if not path.name.lower().endswith(tuple(suffixes)):
        raise InputError(
            f"{path}: labels are written as {', '.join(suffixes)}; give a name with one of these suffixes."
        )
    if segmentation.names:
        raise InputError(f"{segmentation.inputs[0]}: is a folder of images; labels are written for stacks only.")


def write_labels(
    path: Path, shape: tuple[int, int, int], components: Iterable[np.ndarray], objects: Objects, geometry: Geometry
) -> None:
    """Write for every pixel the number of its object in the table; 0 is background.

    Args:
        path: output file, in the format of its suffix.
        shape: shape of the volume.
        components: components (H, W) of every section, see `object_labels`.
        objects: objects to write.
        geometry: geometry of the sections.
    """
    format = format_of(path)
    dtype = np.dtype(np.uint16) if len(objects.regions) <= np.iinfo(np.uint16).max else NUMBERS
    geometry = geometry if format.orders_axes else geometry.by_sections()
    format.warn_of_losses(path, geometry)
    writer = format.create(NewVolume(path, shape, dtype, geometry, KEY if format.needs_key else None, majority))
    for index, labels in enumerate(object_labels(components, objects)):
        writer.write(index, labels.astype(dtype))
    writer.close()
