"""The command line of `bnadapt average`."""

from collections.abc import Sequence
from pathlib import Path

from bnadapt import __version__
from bnadapt.commands.parser import options_of
from bnadapt.data.writers import KINDS, ImageFiles, SectionWriter, StackFile, stored_probability
from bnadapt.files import atomic_folder, refuse_existing, refuse_inputs, remove_hidden
from bnadapt.reports.terminal import Console
from bnadapt.reports.time_left import tracked
from bnadapt.volumes.averaging import averaged, check_alike
from bnadapt.volumes.segmentation import Images, Segmentation, open_segmentation


def main(arguments: Sequence[str]) -> None:
    """Run `bnadapt average`, see `average_segmentations`."""
    options = options_of(average_segmentations, "average", arguments)
    for path in average_segmentations(**options):
        Console().print(f"Average of {len(options['masks'])}: {path}")


def average_segmentations(
    masks: list[str], masks_key: str | None = None, output: str = "average", overwrite: bool = False
) -> list[Path]:
    """Write the mean probability, and its mask, of several segmentations of the same images.

    Args:
        masks: what `predict` wrote, two or more: stacks NAME_mask (TIFF, HDF5, Zarr, OME-Zarr, .npy, MRC), their
            folders, or folders of images NAME_mask. The probabilities lie beside them.
        masks_key: path of the arrays inside HDF5 files or Zarr groups.
        output: folder to write NAME_mask and NAME_probability into, in the format of the first.
        overwrite: whether to replace results of an earlier run.

    Returns:
        The written files; of images their folder.

    Raises:
        InputError: the inputs cannot be used, or the output cannot be written.
    """
    segmentations = [open_segmentation(each, masks_key) for each in masks]
    check_alike(segmentations)
    first, folder = segmentations[0], Path(output)
    names = _names(first)
    paths = _writer(first, folder).paths(names)
    for path in paths:
        refuse_inputs(path, [file for each in segmentations for file in _files(each)])
    refuse_existing(paths, overwrite)
    with atomic_folder(folder, [path.name for path in paths]) as partial:
        _write(segmentations, names, _writer(first, partial))
        remove_hidden(partial)
    return [folder] if first.names else paths


def _write(segmentations: Sequence[Segmentation], names: Sequence[str], writer: SectionWriter) -> None:
    inputs = [str(each.inputs[0]) for each in segmentations]
    writer.begin(len(names), {"version": __version__, "average of": ", ".join(inputs)})
    dtype = segmentations[0].probability[0].dtype
    for index, (mask, mean) in enumerate(tracked(averaged(segmentations), "sections", len(names))):
        writer.write(index, names[index], mask, stored_probability(mean, dtype))
    writer.close()


def _writer(first: Segmentation, folder: Path) -> SectionWriter:
    if isinstance(first.mask, Images):
        return ImageFiles(folder)
    opened, path = first.mask.opened, first.inputs[0]
    name, _, extension = path.name.rpartition(f"_{KINDS[0]}.")
    stack = path.with_name(f"{name}.{extension}") if name else path
    return StackFile(folder, stack, None if opened.levels else opened.key, first.geometry, opened.format)


def _names(first: Segmentation) -> list[str]:
    """Names of the sections, with the extension of their images."""
    if isinstance(first.mask, Images):
        return [f"{name}{path.suffix}" for name, path in zip(first.names, first.mask.paths, strict=True)]
    return [""] * len(first)


def _files(segmentation: Segmentation) -> list[Path]:
    """All files of a segmentation."""
    parts = (segmentation.mask, segmentation.probability)
    return [*segmentation.inputs, *(path for part in parts if isinstance(part, Images) for path in part.paths)]
