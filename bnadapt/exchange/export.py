"""Write a network, with the fixed scaling of a target, for other programs."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from lightning.pytorch import LightningModule

from bnadapt.data import DomainPair
from bnadapt.exchange import bioimageio_package, state_dicts, traced_files
from bnadapt.exchange.exported import About, Export
from bnadapt.files import atomic_write

FormatName = Literal["torchscript", "onnx", "bioimageio", "state_dict"]


class Format(NamedTuple):
    """A format for exporting networks: the suffix of its files, and the function that writes them."""

    extension: str
    write: Callable[[Export, Path], None]


FORMATS: dict[FormatName, Format] = {
    "torchscript": Format(".pt", traced_files.write_torchscript),
    "onnx": Format(".onnx", traced_files.write_onnx),
    "bioimageio": Format(".zip", bioimageio_package.write),
    "state_dict": Format(".pth", state_dicts.write),
}


def write_model(
    task: LightningModule,
    data: DomainPair,
    format_name: FormatName,
    path: Path,
    about: About | None = None,
    like: Path | None = None,
) -> None:
    """Write a task's network, all or nothing.

    Args:
        task: trained or adapted task.
        data: data module; its target gives the numbers of the scaling and a test image.
        format_name: a name in FORMATS.
        path: path of the file.
        about: description in a package of bioimage.io.
        like: see `Export`.

    Raises:
        InputError: the network cannot be written in this format, or the file gives other probabilities.
    """
    network = deepcopy(task.network).to("cpu", memory_format=torch.contiguous_format).eval()
    with atomic_write(path) as partial:
        FORMATS[format_name].write(Export(network, dict(task.hparams), task.adaptation, data, about, like), partial)
