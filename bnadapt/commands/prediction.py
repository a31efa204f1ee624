"""Prepare what `predict` writes, so that a run that is cut off can go on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bnadapt.callbacks import PredictionFiles
from bnadapt.data import DomainPair
from bnadapt.data.formats import OME_ZARR
from bnadapt.errors import InputError
from bnadapt.tasks import AdaptableTask
from bnadapt.volumes.blocks import blocks_for
from bnadapt.volumes.identity import identity_of
from bnadapt.volumes.unfinished import Unfinished

ProbabilityType = Literal["uint8", "uint16", "float16", "float32"]
VolumeFormatName = Literal["ome.zarr"]


@dataclass(frozen=True)
class Segmented:
    """What `predict` has done.

    Attributes:
        count: images that are segmented.
        total: images of the target.
        blank: of those that are segmented, the ones with nothing to see.
    """

    count: int
    total: int
    blank: int


def prediction_files(
    task: AdaptableTask,
    data: DomainPair,
    folder: Path,
    limit: int | None,
    sections: list[int] | None,
    overwrite: bool,
    probabilities: ProbabilityType | None,
    precision: str | None,
    format: VolumeFormatName | None,
    statistics: Mapping[str, str | None],
) -> PredictionFiles:
    """Writes the sections of the target, or goes on with what an earlier run of the same has left.

    Args:
        task: that segments.
        data: whose target is segmented.
        folder: for the files.
        limit: of the number of sections, from the first.
        sections: numbers of those that this run segments; all by default.
        overwrite: whether to replace files of the same names.
        probabilities: type in which they are stored.
        precision: in which the network runs; by default the fastest one that is exact enough.
        format: of the volumes.
        statistics: `ckpt_path` and `bank` of the command.

    Raises:
        InputError: there is no target, it lies in the folder, a number is out of range, or files are there already.
    """
    target = data.target
    if target is None:
        raise InputError("predict: there is no target; give --data.target.")
    if target.reads(folder):
        raise InputError(f"{folder}: is read as an input; give another --output.")
    names = [section.name for section in target.all_sections()][:limit]
    if wrong := [number for number in sections or () if not 0 <= number < len(names)]:
        raise InputError(f"predict: there is no section {wrong[0]}; --sections are numbers from 0 to {len(names) - 1}.")
    blocks = blocks_for(task, data)
    identity = identity_of(task, data, blocks, precision or "fastest that is exact enough", **statistics)
    identity |= {"probabilities": probabilities or "as fine as the images"}
    written_as = OME_ZARR if format else None
    outputs = target.writer(folder, written_as).paths(names)
    unfinished = Unfinished(folder, {**identity, "format": format or ""}, len(names), outputs)
    unfinished.check_outputs(overwrite)
    writer = target.writer(unfinished.results, written_as)
    return PredictionFiles(writer, unfinished, names, blocks, sections, overwrite, probabilities, precision)
