"""The command line of `bnadapt objects`."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import pandas as pd

from bnadapt.commands.parser import options_of
from bnadapt.data.geometry import Voxel
from bnadapt.data.pixel_size import check_size, refuse_contradiction
from bnadapt.errors import InputError
from bnadapt.files import atomic_folder, atomic_write, check_outputs
from bnadapt.reports.terminal import Console
from bnadapt.reports.time_left import tracked
from bnadapt.volumes.label_volume import check_label_path, write_labels
from bnadapt.volumes.objects import Objects, component_labels, find_objects
from bnadapt.volumes.objects_table import section_table, volume_table
from bnadapt.volumes.segmentation import Segmentation, open_segmentation
from bnadapt.volumes.splitting import SplitSections, components_of_labels, objects_of_labels, split_volume


def main(arguments: Sequence[str]) -> None:
    """Run `bnadapt objects`, see `table_of_objects`."""
    for line in table_of_objects(**options_of(table_of_objects, "objects", arguments)):
        Console().print(line)


def table_of_objects(
    mask: str,
    mask_key: str | None = None,
    probability: str | None = None,
    probability_key: str | None = None,
    dimensions: Literal[2, 3] | None = None,
    connectivity: int = 1,
    min_size: int = 0,
    split: float | None = None,
    pixel_size_nm: float | None = None,
    spacing_nm: float | None = None,
    override_pixel_size: bool = False,
    output: str | None = None,
    labels: str | None = None,
    overwrite: bool = False,
) -> Sequence[str]:
    """Write a table of the objects in a predicted mask.

    Args:
        mask: what `predict` wrote: a stack NAME_mask (TIFF, HDF5, Zarr, OME-Zarr, .npy, MRC), its folder, or a folder
            of images NAME_mask.
        mask_key: path of the array inside an HDF5 file or Zarr group.
        probability: stack, or folder, of the probabilities; by default NAME_probability beside the mask, if there.
        probability_key: path of the array of probabilities inside an HDF5 file or Zarr group, by default that of the
            mask; without `probability`, in the file of the mask.
        dimensions: 3 for objects that extend through sections (default for a stack), 2 for objects within each section
            (default for a folder, and for a time series).
        connectivity: how many coordinates of touching pixels may differ by one: 1 for common faces (default), up to
            `dimensions` for common corners.
        min_size: pixels, or voxels in 3-D; smaller objects are left out and counted.
        split: depth in nanometres (pixels if their size is unknown) at which touching objects are split: parts become
            objects of their own if their inscribed radius exceeds that of the neck between them by more than this.
        pixel_size_nm: side of a pixel; by default what the file of the mask states. If it states none, the table is in
            pixels.
        spacing_nm: distance of two sections; by default what the file of the mask states.
        override_pixel_size: use `pixel_size_nm` and `spacing_nm` even if the file states others.
        output: the table, a CSV file; `objects.csv` beside the mask by default.
        labels: a volume to write in which every pixel has the number of its object: TIFF, HDF5, .npy, Zarr, or OME-Zarr
            (NAME.ome.zarr).
        overwrite: whether to replace earlier files.

    Returns:
        Sentences that say what was found.

    Raises:
        InputError: the input cannot be used, or the output cannot be written.
    """
    _check_numbers(min_size=min_size, pixel_size_nm=pixel_size_nm, spacing_nm=spacing_nm, split=split)
    segmentation = open_segmentation(mask, mask_key, probability, probability_key)
    dimensions = dimensions or (3 if segmentation.are_volume else 2)
    _check_dimensions(dimensions, connectivity)
    _check_spacing(segmentation, dimensions, spacing_nm)
    path, label_path = Path(output) if output else _default_path(segmentation), Path(labels) if labels else None
    _check_outputs(path, label_path, segmentation, overwrite)
    if not override_pixel_size:
        _check_sides(segmentation, pixel_size_nm, spacing_nm)
    geometry = segmentation.geometry.with_sides(pixel_size_nm, spacing_nm)
    with TemporaryDirectory() as scratch:
        all_objects, components = _objects(segmentation, dimensions, connectivity, split, geometry.voxel, Path(scratch))
        objects = all_objects.of_size(min_size)
        table = _table(objects, dimensions, geometry.voxel, segmentation.names)
        with atomic_write(path) as partial:
            table.to_csv(partial, index=False, float_format="%.10g")
            if label_path is not None:
                with atomic_folder(label_path.parent, [label_path.name]) as folder:
                    shape = segmentation.mask.shape[:3]
                    write_labels(folder / label_path.name, shape, components(), objects, geometry)
    return [*_object_lines(table, objects, min_size), *_input_lines(table, segmentation), f"Table: {path}"]


def _default_path(segmentation: Segmentation) -> Path:
    """The table beside a mask, or in the folder of masks."""
    mask = segmentation.inputs[0]
    return (mask if segmentation.names else mask.parent) / "objects.csv"


def _objects(
    segmentation: Segmentation, dimensions: int, connectivity: int, split: float | None, voxel: Voxel, scratch: Path
) -> tuple[Objects, Callable[[], Iterator[np.ndarray]]]:
    """The objects, split if requested, and a function that gives the components of the sections again."""

    def components() -> Iterator[np.ndarray]:
        return (component_labels(classes, connectivity) for classes in segmentation.classes())

    if split is None:
        return find_objects(tracked(segmentation, "sections", len(segmentation)), dimensions, connectivity), components
    sides = _sides(voxel, dimensions)
    if dimensions == 2:
        labels = SplitSections(segmentation.classes, connectivity, sides, split)
    else:
        whole = find_objects(tracked(segmentation, "sections", len(segmentation)), dimensions, connectivity)
        shape = len(segmentation), *next(segmentation.classes()).shape
        labels = split_volume(components(), whole, shape, sides, split, scratch)
    return objects_of_labels(segmentation, labels), lambda: components_of_labels(labels)


def _table(objects: Objects, dimensions: int, voxel: Voxel, names: Sequence[str]) -> pd.DataFrame:
    if dimensions == 2:
        return section_table(objects.regions, voxel, names)
    return volume_table(objects.regions, voxel)


def _sides(voxel: Voxel, dimensions: int) -> Sequence[float]:
    """Sides of a voxel in the unit of the distances that objects are split by: nanometres, or pixels if unknown."""
    sides = voxel[-dimensions:]
    if any(sides) and not all(sides):
        lacking = "--spacing_nm" if voxel.x and voxel.y else "--pixel_size_nm"
        raise InputError(f"objects: --split needs all sides of a voxel, and one is unknown; give {lacking}.")
    return [side or 1.0 for side in sides]


def _check_numbers(min_size: int, **sides: float | None) -> None:
    if min_size < 0:
        raise InputError(f"objects: --min_size is {min_size}; give a number of pixels, 0 to keep all objects.")
    for name, side in sides.items():
        check_size(side, f"objects: --{name}")


def _check_dimensions(dimensions: int, connectivity: int) -> None:
    if connectivity not in range(1, dimensions + 1):
        raise InputError(
            f"objects: --connectivity is {connectivity}; in {dimensions}-D it ranges from 1 to {dimensions}."
        )


def _check_spacing(segmentation: Segmentation, dimensions: int, spacing_nm: float | None) -> None:
    if dimensions == 2 and spacing_nm is not None:
        raise InputError("objects: objects in 2-D have no extent across sections; leave out --spacing_nm.")
    if spacing_nm is not None and "Z" not in segmentation.geometry.letters:
        raise InputError("objects: the sections of the mask do not lie along Z; leave out --spacing_nm.")


def _check_sides(segmentation: Segmentation, pixel_size_nm: float | None, spacing_nm: float | None) -> None:
    """Refuse sizes that contradict those in the file of the mask."""
    voxel = segmentation.geometry.voxel
    sizes = {"pixel_size_nm": (pixel_size_nm, [voxel.y, voxel.x]), "spacing_nm": (spacing_nm, [voxel.z])}
    for name, (requested, sides) in sizes.items():
        if requested is not None and (stated := [side for side in sides if side]):
            refuse_contradiction(segmentation.inputs[0], requested, stated, "--override_pixel_size", name=f"--{name}")


def _check_outputs(path: Path, labels: Path | None, segmentation: Segmentation, overwrite: bool) -> None:
    if path.suffix.lower() != ".csv":
        raise InputError(f"{path}: the table is a CSV file; give an --output that ends in .csv.")
    if labels is not None:
        check_label_path(labels, segmentation)
    outputs = [each for each in (path, labels) if each is not None]
    check_outputs(outputs, overwrite, segmentation.inputs)


def _object_lines(table: pd.DataFrame, objects: Objects, min_size: int) -> Iterator[str]:
    unit, measure = ("voxels", "volume_nm3") if "voxels" in table else ("pixels", "area_nm2")
    if len(table):
        median = f"{table[unit].median():g} {unit}"
        median += f" ({table[measure].median():.3g} {measure[-3:]})" if measure in table else ""
        counts = ", ".join(
            f"{count} of class {name}" for name, count in table["class"].value_counts(sort=False).items()
        )
        yield f"Objects: {counts}; median size {median}"
    elif objects.left_out:
        yield f"Objects: none of at least {min_size} {unit}, so the table has no rows"
    else:
        yield "Objects: none, the mask is background everywhere, so the table has no rows"
    if objects.left_out:
        yield f"Left out: {objects.left_out} of less than {min_size} {unit}"


def _input_lines(table: pd.DataFrame, segmentation: Segmentation) -> Iterator[str]:
    if segmentation.probability is None:
        yield "Probability: none beside the mask, so mean_probability is empty; --probability names one"
    else:
        yield f"Probability: {segmentation.inputs[1]}"
    if "centroid_x_px" in table:
        yield "Lengths: in pixels, because the file of the mask states no size; --pixel_size_nm sets it"
    if "centroid_z_sections" in table:
        yield "Sections: of unknown spacing; --spacing_nm sets it"
