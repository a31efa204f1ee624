"""Store a summary of the source in the checkpoints of a training, for later commands."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from bnadapt.actions.summarise import add_to_checkpoint, class_moments_of, source_summary_of, stored_summary
from bnadapt.batchnorm import BatchNormError, ClassMoments
from bnadapt.distances import DistanceError
from bnadapt.errors import InputError
from bnadapt.gain import SourceSummary

log = logging.getLogger(__name__)
PREFIX = "network."  # of the network's weights in the state of a task


class SourceSummaryCallback(Callback):
    """At the end of `fit`, and when Ctrl-C ends it, measures the source with the weights of every checkpoint.

    It adds class moments of the train block, and a `bnadapt.gain.SourceSummary` of the validation block. A later
    `adapt` then needs no labelled images of the source to correct statistics for class proportions, and `recommend`
    none to judge.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the summary of the weights that a training starts from."""
        pl_module.class_moments = pl_module.source_summary = None

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and not trainer.fast_dev_run:
            _summarise(trainer, pl_module)
        trainer.strategy.barrier()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if isinstance(exception, KeyboardInterrupt) and trainer.world_size == 1 and trainer.state.fn == "fit":
            _summarise(trainer, pl_module)


def _summarise(trainer: Trainer, task: LightningModule) -> None:
    """Add moments and summaries to all checkpoints; measured once for equal weights."""
    summaries: list[tuple[dict[str, Tensor], dict[str, Any]]] = []
    try:
        with _restored(task):
            for path in sorted(_written(trainer)):
                weights = _weights_in(path)
                summary = next((state for stored, state in summaries if _equal(weights, stored)), None)
                if summary is None:
                    task.network.load_state_dict(weights)
                    task.class_moments = class_moments_of(task, trainer.datamodule)
                    summary = stored_summary(task.class_moments, _summary_or_none(trainer, task, task.class_moments))
                    summaries.append((weights, summary))
                add_to_checkpoint(path, summary, path)
    except BatchNormError as error:
        log.warning("The checkpoints hold no summary of the source. %s", error)


@contextmanager
def _restored(task: LightningModule) -> Iterator[None]:
    """Restore the weights of the task's network afterwards."""
    final = {name: each.clone() for name, each in task.network.state_dict().items()}
    try:
        yield
    finally:
        task.network.load_state_dict(final)


def _written(trainer: Trainer) -> set[Path]:
    """The checkpoints in the folders of this training; one that it was resumed from may name files elsewhere."""
    paths: set[Path] = set()
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint):
            names = {callback.best_model_path, callback.last_model_path, *callback.best_k_models} - {""}
            folder = Path(callback.dirpath).resolve()
            paths |= {Path(each) for each in names if Path(each).resolve().is_relative_to(folder)}
    return {path for path in paths if path.is_file()}


def _weights_in(path: Path) -> dict[str, Tensor]:
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    return {name.removeprefix(PREFIX): each for name, each in state.items() if name.startswith(PREFIX)}


def _summary_or_none(trainer: Trainer, task: LightningModule, moments: ClassMoments) -> SourceSummary | None:
    try:
        return source_summary_of(task, trainer.datamodule, moments)
    except (DistanceError, InputError) as error:
        log.warning("The checkpoints hold class moments of the source, but no summary of it. %s", error)
        return None


def _equal(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(each, second[name]) for name, each in first.items())
