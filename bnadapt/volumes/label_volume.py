"""Write a volume in which every object has its number."""

from pathlib import Path

import numpy as np

from bnadapt.data.ome_zarr_writer import OmeZarrWriter, Voxel, majority
from bnadapt.data.readers.stacks import HDF5_EXTENSIONS
from bnadapt.data.readers.tiff import TIFF_EXTENSIONS
from bnadapt.data.stack_writers import StackWriter, open_for_writing
from bnadapt.errors import InputError
from bnadapt.volumes.objects import Objects, object_labels
from bnadapt.volumes.segmentation import Segmentation

EXTENSIONS = (*TIFF_EXTENSIONS, *HDF5_EXTENSIONS, ".npy", ".zarr")
KEY = "labels"  # in an HDF5 file


def check_label_path(path: Path, segmentation: Segmentation) -> None:
    """Refuse what labels cannot be written to, or of.

    Raises:
        InputError: the format holds no such numbers, or the mask is no stack.
    """
    if path.suffix.lower() not in EXTENSIONS:
        raise InputError(f"{path}: labels are written as {', '.join(EXTENSIONS)}; give a name that ends so.")
    if segmentation.names:
        raise InputError(f"{segmentation.inputs[0]}: is a folder of images; labels are written of a stack alone.")


def write_labels(path: Path, segmentation: Segmentation, objects: Objects, connectivity: int, voxel: Voxel) -> None:
    """Label the sections once more, and write the numbers of their objects as they stand in the table.

    Args:
        path: OME-Zarr where the name ends in `.ome.zarr`, else of the format of its extension; 0 is background.
        segmentation: in which the objects were found.
        objects: what was found.
        connectivity: as for `find_objects`.
        voxel: its sides.
    """
    shape = segmentation.mask.shape[:3]
    dtype = np.dtype(np.uint16 if len(objects.regions) <= np.iinfo(np.uint16).max else np.uint32)
    writer = _writer(path, shape, dtype, voxel)
    for index, labels in enumerate(object_labels(segmentation.classes(), objects, connectivity)):
        writer.write(index, labels.astype(dtype))
    writer.close()


def _writer(path: Path, shape: tuple[int, ...], dtype: np.dtype, voxel: Voxel) -> StackWriter:
    if path.name.lower().endswith(".ome.zarr"):
        return OmeZarrWriter(path, shape, dtype, voxel, majority)
    key = KEY if path.suffix.lower() in HDF5_EXTENSIONS else None
    return open_for_writing(path, shape, dtype, key, voxel)
