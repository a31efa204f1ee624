"""Adapted networks and their segmentations: of a section in memory, or of the whole image into files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bnadapt.actions.segment import SegmentedSection, segment_section
from bnadapt.batchnorm import Policy
from bnadapt.commands.objects import table_of_objects
from bnadapt.data.readers import open_masks
from bnadapt.errors import InputError
from bnadapt.files import sha256_of
from bnadapt.napari.command_lines import adapt_line, predict_line, shown
from bnadapt.napari.inputs import Inputs, Line, Outputs, Treatment
from bnadapt.napari.lazy import pixels_of
from bnadapt.napari.loading import load
from bnadapt.napari.watch import Watch
from bnadapt.volumes.segmentation import Images, open_segmentation

TYPES = {"--choose": str, "--self_training": int, "--policy.source_weight": float, "--policy.layers": str}
"""Types of the values of `bnadapt adapt`'s options."""


def adapted(inputs: Inputs, treatment: Treatment, outputs: Outputs, watch: Watch) -> str:
    """The checkpoint of a treated network, created unless the same command has done so before."""
    path = outputs.checkpoint(inputs, treatment)
    if not treatment.adapts:
        return path
    line = adapt_line(inputs, treatment, path)
    if not _is_made_by(Path(path), line, inputs.checkpoint):
        loaded = load(inputs, watch, line)
        settings = _settings(treatment.options)
        loaded.trainer.adapt(loaded.task, loaded.data, loaded.path, path, overwrite=True, **settings)
    return path


def section(inputs: Inputs, checkpoint: str, number: int, watch: Watch) -> SegmentedSection:
    """Segment a section in memory."""
    loaded = load(inputs, watch, checkpoint=checkpoint)
    watch.report("Segmenting", 0, None)
    with watch.stopping(loaded.task.network):
        return segment_section(loaded.task, loaded.data, number)


def volume(inputs: Inputs, checkpoint: str, outputs: Outputs, watch: Watch) -> str:
    """Segment the whole image into files, continuing a stopped run; returns their folder."""
    loaded = load(inputs, watch, predict_line(inputs, checkpoint, outputs), checkpoint)
    folder = outputs.segmented(checkpoint)
    loaded.trainer.predict(
        loaded.task,
        datamodule=loaded.data,
        ckpt_path=checkpoint,
        output=folder,
        overwrite=outputs.overwrite,
        format=None if inputs.is_folder else "ome.zarr",
    )
    return folder


def classes_in(folder: str) -> Any:
    """Class indices (sections, H, W) of the segmentation in a folder; large ones are read on demand."""
    segmentation = open_segmentation(folder)
    first = segmentation.mask[0]
    if isinstance(segmentation.mask, Images):
        masks = [segmentation.mask[number] for number in range(len(segmentation))]
        if len({mask.shape for mask in masks}) > 1:
            raise InputError(f"{folder}: its masks differ in size; open them one by one.")
        return np.stack(masks)
    return pixels_of(segmentation.mask, first)


def objects(
    folder: str, with_labels: bool, overwrite: bool, min_size: int = 0
) -> tuple[pd.DataFrame, Any, Sequence[str]]:
    """Number the objects, of at least `min_size` pixels or voxels, of the segmentation in a folder.

    Returns:
        Their table; the number of every pixel (sections, H, W), None without labels; and sentences about them.
    """
    table, labels = (str(Path(folder) / name) for name in ("objects.csv", "objects.ome.zarr"))
    wanted = {"labels": labels if with_labels else None, "overwrite": overwrite, "min_size": min_size}
    sentences = table_of_objects(folder, output=table, **wanted)
    numbers = None
    if with_labels:
        sections = open_masks(labels)
        numbers = pixels_of(sections, sections[0])
    return pd.read_csv(table), numbers, sentences


def _is_made_by(path: Path, line: Line, checkpoint: str) -> bool:
    """Whether this command line has written the checkpoint from the same network."""
    try:
        provenance = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["provenance"]
    except (OSError, ValueError, KeyError):
        return False
    known = provenance.get("command"), (provenance.get("checkpoint") or {}).get("sha256")
    return path.exists() and known == (shown(line), sha256_of(checkpoint))


def _settings(options: Sequence[str]) -> dict[str, Any]:
    """Options of `bnadapt adapt` as arguments of the Trainer's `adapt`."""
    pairs = zip(options[::2], options[1::2], strict=True)
    given = {option.removeprefix("--"): TYPES[option](value) for option, value in pairs}
    policy = {name.removeprefix("policy."): given.pop(name) for name in list(given) if name.startswith("policy.")}
    return {**given, "policy": Policy(**policy)} if policy else given
