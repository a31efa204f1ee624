"""Leave the class moments of the source in the checkpoints of a training."""

import logging
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from bnadapt.batchnorm import BatchNormError, ClassMoments
from bnadapt.callbacks.inference import adaptation_pass
from bnadapt.files import atomic_write

log = logging.getLogger(__name__)

TILES = 64  # of the source that class moments are measured on


class SourceClassMoments(Callback):
    """At the end of `fit`, measures class moments of the source with the weights of every checkpoint and adds them.

    A later `adapt` then needs no labelled images of the source to correct statistics for class proportions.
    """

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and not trainer.fast_dev_run:
            final = {name: each.clone() for name, each in pl_module.network.state_dict().items()}
            try:
                for path in sorted(_written(trainer)):
                    _add(trainer, pl_module, path)
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
    return runs.class_moments(trainer.datamodule.training_tiles("source", TILES), task.hparams.num_classes)


def _written(trainer: Trainer) -> set[Path]:
    """The checkpoints that this training has written and kept."""
    paths: set[Path] = set()
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint):
            paths |= {Path(each) for each in (callback.best_model_path, callback.last_model_path) if each}
            paths |= {Path(each) for each in callback.best_k_models}
    return {path for path in paths if path.is_file()}


def _add(trainer: Trainer, task: LightningModule, path: Path) -> None:
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    prefix = "network."
    weights = {name: each for name, each in checkpoint["state_dict"].items() if name.startswith(prefix)}
    task.network.load_state_dict({name.removeprefix(prefix): each for name, each in weights.items()})
    try:
        moments = class_moments_of(trainer, task)
    except BatchNormError as error:
        log.warning("%s: without class moments of its source. %s", path, error)
        return
    with atomic_write(path) as partial:
        torch.save({**checkpoint, "class_moments": moments.state_dict()}, partial)
