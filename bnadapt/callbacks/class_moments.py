"""Leave the class moments of the source in the checkpoints of a training."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from bnadapt.adaptation import LABELLED_TILES
from bnadapt.batchnorm import BatchNormError, ClassMoments
from bnadapt.callbacks.inference import adaptation_pass
from bnadapt.files import atomic_write

log = logging.getLogger(__name__)


class SourceClassMoments(Callback):
    """At the end of `fit`, measures class moments of the source with the weights of every checkpoint and adds them.

    A later `adapt` then needs no labelled images of the source to correct statistics for class proportions.
    """

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and not trainer.fast_dev_run:
            final = {name: each.clone() for name, each in pl_module.network.state_dict().items()}
            try:
                _add(trainer, pl_module, sorted(_written(trainer)))
            except BatchNormError as error:
                log.warning("The checkpoints are without class moments of the source. %s", error)
            finally:
                pl_module.network.load_state_dict(final)
        trainer.strategy.barrier()


def class_moments_of(trainer: Trainer, task: LightningModule) -> ClassMoments:
    """Class moments of labelled tiles of the source of the Trainer's data module; each process measures all of them.

    Raises:
        BatchNormError: they cannot be measured.
    """
    runs = adaptation_pass(trainer, task)
    runs.group = None
    return runs.class_moments(
        trainer.datamodule.labelled_tiles("source", "train", LABELLED_TILES), task.hparams.num_classes
    )


def add_class_moments(trainer: Trainer, task: LightningModule, path: Path) -> None:
    """Measure class moments with the task's network and add them to its checkpoint, of which all else stays.

    Raises:
        BatchNormError: they cannot be measured.
    """
    task.class_moments = class_moments_of(trainer, task)
    if trainer.is_global_zero:
        _write(_loaded(path), task.class_moments, path)


def _written(trainer: Trainer) -> set[Path]:
    """The checkpoints that this training has written and kept."""
    paths: set[Path] = set()
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint):
            paths |= {Path(each) for each in (callback.best_model_path, callback.last_model_path) if each}
            paths |= {Path(each) for each in callback.best_k_models}
    return {path for path in paths if path.is_file()}


def _add(trainer: Trainer, task: LightningModule, paths: Sequence[Path]) -> None:
    """Add moments to checkpoints; those of the same weights have the same."""
    known: list[tuple[dict[str, Tensor], ClassMoments]] = []
    for path in paths:
        checkpoint = _loaded(path)
        prefix = "network."
        weights = {
            name.removeprefix(prefix): each
            for name, each in checkpoint["state_dict"].items()
            if name.startswith(prefix)
        }
        moments = next((found for others, found in known if _equal(weights, others)), None)
        if moments is None:
            task.network.load_state_dict(weights)
            moments = class_moments_of(trainer, task)
            known.append((weights, moments))
        _write(checkpoint, moments, path)


def _loaded(path: Path) -> dict[str, Any]:
    return torch.load(path, map_location="cpu", weights_only=True)


def _write(checkpoint: Mapping[str, Any], moments: ClassMoments, path: Path) -> None:
    with atomic_write(path) as partial:
        torch.save({**checkpoint, "class_moments": moments.state_dict()}, partial)


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(each, other[name]) for name, each in one.items())
