"""Leave what is to be known of the source in the checkpoints of a training."""

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
from bnadapt.distances import DistanceError
from bnadapt.errors import InputError
from bnadapt.files import atomic_write
from bnadapt.gain import SourceSummary, summarise_source
from bnadapt.gain.source_summary import SUMMARY_TILES, images_and_masks

log = logging.getLogger(__name__)


class SourceSummaryCallback(Callback):
    """At the end of `fit`, measures the source with the weights of every checkpoint, and adds what it found.

    Class moments of the train block, and a `bnadapt.gain.SourceSummary` of the validation block. A later `adapt` then
    needs no labelled images of the source to correct statistics for class proportions, and `recommend` none to judge.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget those of the weights that a training goes on from."""
        pl_module.class_moments = pl_module.source_summary = None

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and not trainer.fast_dev_run:
            final = {name: each.clone() for name, each in pl_module.network.state_dict().items()}
            try:
                _add(trainer, pl_module, sorted(_written(trainer)))
            except BatchNormError as error:
                log.warning("The checkpoints hold no summary of the source. %s", error)
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


def source_summary_of(trainer: Trainer, task: LightningModule) -> SourceSummary:
    """Summary of the source of the Trainer's data module, with its class moments; each process measures all of it.

    Raises:
        BatchNormError: there are no class moments.
        InputError: there are no held-out tiles with labels, or the network gives no logits.
    """
    runs = adaptation_pass(trainer, task)
    runs.group = None
    moments = task.class_moments or class_moments_of(trainer, task)
    tiles = images_and_masks(trainer.datamodule.held_out_tiles("source", SUMMARY_TILES))
    return summarise_source(runs, *tiles, moments)


def add_source_summary(trainer: Trainer, task: LightningModule, path: Path) -> None:
    """Summarise the source with the task's network and add that to its checkpoint, of which all else stays.

    Raises:
        BatchNormError: class moments cannot be measured.
        InputError: see `source_summary_of`.
    """
    task.class_moments = class_moments_of(trainer, task)
    task.source_summary = source_summary_of(trainer, task)
    if trainer.is_global_zero:
        _write({**_loaded(path), **_stored(task.class_moments, task.source_summary)}, path)


def _written(trainer: Trainer) -> set[Path]:
    """The checkpoints that this training has written and kept."""
    paths: set[Path] = set()
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint):
            named = {callback.best_model_path, callback.last_model_path, *callback.best_k_models} - {""}
            own = Path(callback.dirpath).resolve()  # a checkpoint that the training goes on from may name others
            paths |= {path for path in map(Path, named) if path.resolve().is_relative_to(own)}
    return {path for path in paths if path.is_file()}


def _add(trainer: Trainer, task: LightningModule, paths: Sequence[Path]) -> None:
    """Add moments and summaries to checkpoints; those of the same weights have the same."""
    known: list[tuple[dict[str, Tensor], dict[str, Any]]] = []
    for path in paths:
        checkpoint = _loaded(path)
        prefix = "network."
        weights = {
            name.removeprefix(prefix): each
            for name, each in checkpoint["state_dict"].items()
            if name.startswith(prefix)
        }
        summary = next((found for others, found in known if _equal(weights, others)), None)
        if summary is None:
            task.network.load_state_dict(weights)
            task.class_moments = class_moments_of(trainer, task)
            summary = _stored(task.class_moments, _summary_or_none(trainer, task))
            known.append((weights, summary))
        _write({**checkpoint, **summary}, path)


def _summary_or_none(trainer: Trainer, task: LightningModule) -> SourceSummary | None:
    try:
        return source_summary_of(trainer, task)
    except (DistanceError, InputError) as error:
        log.warning("The checkpoints hold class moments of the source, but no summary of it. %s", error)
        return None


def _stored(moments: ClassMoments, summary: SourceSummary | None) -> dict[str, Any]:
    """What a checkpoint holds of a source."""
    state = {"class_moments": moments.state_dict()}
    return state if summary is None else {**state, "source_summary": summary.state_dict()}


def _loaded(path: Path) -> dict[str, Any]:
    return torch.load(path, map_location="cpu", weights_only=True)


def _write(checkpoint: Mapping[str, Any], path: Path) -> None:
    with atomic_write(path) as partial:
        torch.save(checkpoint, partial)


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(each, other[name]) for name, each in one.items())
