"""Convert an externally trained network to a checkpoint of bnadapt."""

from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bnadapt.data import DomainPair
from bnadapt.data.intensity import IntensityName
from bnadapt.data.pixel_size import check_size
from bnadapt.errors import InputError
from bnadapt.exchange.state_dicts import fitted
from bnadapt.files import atomic_write
from bnadapt.tasks import SegmentationTask

EXTREME = 1000.0
PROBE = 2, 64  # images, and their side in pixels, to distinguish logits from probabilities


@dataclass(frozen=True)
class ImportedNetwork:
    """An externally trained network.

    Args:
        network: name, as in `--model.network`.
        weights: state dict.
        network_args: further arguments of the network.
        in_channels: channels of images.
        num_classes: number of classes, background included; two for a network of one logit.
        intensity: scaling of the training images.
        pixel_size_nm: pixel size of the training images, if known.
    """

    network: str
    weights: dict[str, Tensor]
    network_args: dict[str, Any] = field(default_factory=dict)
    in_channels: int = 1
    num_classes: int = 2
    intensity: IntensityName = "zscore"
    pixel_size_nm: float | None = None


def write_checkpoint(imported: ImportedNetwork, path: Path) -> None:
    """Write a checkpoint for `adapt`, `predict`, `test`, `distances` and `export`.

    It has no statistics of the source, so `adapt` cannot correct for class proportions until `source_summary` adds
    them.

    Raises:
        InputError: the weights belong to another network, or its output is not logits.
    """
    check_size(imported.pixel_size_nm, "import: --pixel_size_nm")
    task = SegmentationTask(imported.network, imported.network_args, imported.in_channels, imported.num_classes)
    task.network.load_state_dict(fitted(imported.weights, task.network.state_dict()))
    _check_logits(task, imported)
    data = DomainPair(intensity=imported.intensity, pixel_size_nm=imported.pixel_size_nm)
    checkpoint = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": version("lightning"),
        "state_dict": task.state_dict(),
        "hparams_name": "kwargs",
        "hyper_parameters": dict(task.hparams),
        type(data).__qualname__: data.state_dict(),
    }
    task.on_save_checkpoint(checkpoint)
    with atomic_write(path) as partial:
        torch.save(checkpoint, partial)


@torch.no_grad()
def _check_logits(task: SegmentationTask, imported: ImportedNetwork) -> None:
    """Refuse a network that returns probabilities instead of logits."""
    images, side = PROBE
    noise = torch.randn(images, imported.in_channels, side, side, generator=torch.Generator().manual_seed(0))
    batch = torch.cat([noise, EXTREME * noise])  # makes logits large, but not probabilities
    try:
        logits = task.eval().logits({"image": batch})
    except RuntimeError as error:
        raise InputError(
            f"network {imported.network}: fails on images of {imported.in_channels} channels and {side} x {side} pixels"
            f" ({' '.join(str(error).split())[:150]}); check --in_channels and --network_args."
        ) from error
    outputs = logits[:, 1:] if imported.num_classes == 2 else logits
    if outputs.min() >= 0 and outputs.max() <= 1:
        raise InputError(
            f"network {imported.network}: returns values from {outputs.min():.2g} to {outputs.max():.2g}, which seem to"
            " be probabilities; leave out its last sigmoid or softmax, or wrap it in a module that returns logits."
        )
