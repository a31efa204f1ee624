"""Adapt the BatchNorm statistics of a task to the target, at the end of training or in `bnadapt adapt`."""

import json
import math
import time
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import distributed

from bnadapt.batchnorm import (
    Bank,
    Convergence,
    Estimate,
    Estimation,
    Policy,
    PropagationName,
    SourceWeight,
    UntilKnown,
    batchnorm_layers,
)
from bnadapt.callbacks.inference import logits_of
from bnadapt.callbacks.tensorboard import writer_of
from bnadapt.errors import InputError
from bnadapt.files import written_whole
from bnadapt.stage import is_adapting


class BatchNormAdaptation(Callback):
    """Re-estimates the running statistics of BatchNorm layers on images of the target.

    At the end of `fit` it reads the data module's `adaptation_dataloader`, which gives no masks,
    and writes the adapted network as a checkpoint of its own; best and last checkpoint stay
    unadapted. In `bnadapt adapt` it takes what the predict loop reads. With several processes
    each reads its share, and all hold the same statistics. All weights, and all buffers other than the
    running statistics, stay bit-identical.

    Afterwards the task holds the source's statistics as `source_bank` and the record as `adaptation`. A
    network that was adapted before keeps its first source. TensorBoard gets the standard errors of the
    statistics against the number of tiles, `convergence/mean/LAYER` and `convergence/log_variance/LAYER`.

    Args:
        policy: how much of the source's statistics stays, and in which layers; full replacement by default.
        propagation: `one_pass` or `layer_consistent`, see `bnadapt.batchnorm.estimate`.
        until: standard error at which to stop reading; by default all of `adaptation_tiles` are read.
        output: name of the checkpoint that `fit` writes into the folder of its checkpoints.

    Raises:
        InputError: at the start of `fit`, if there is no target.
        NoBatchNormError: at the start of `fit`, if the network has no BatchNorm statistics.

    Example:
        trainer = Trainer(callbacks=[BatchNormAdaptation()])
        trainer.fit(task, datamodule=DomainPair(source, target))
    """

    def __init__(
        self,
        policy: Policy | None = None,
        propagation: PropagationName = "one_pass",
        until: UntilKnown | None = None,
        output: str = "adapted.ckpt",
    ) -> None:
        self.policy = policy or Policy()
        self.propagation = propagation
        self.until = until
        self.output = output
        self._estimation: Estimation | None = None
        self._stack = ExitStack()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.policy.chosen(list(batchnorm_layers(pl_module.network)))
        if trainer.datamodule.target is None:
            raise InputError("BatchNormAdaptation: there is no target to adapt to; give --data.target.")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        try:
            self._begin(pl_module)
            for batch in trainer.datamodule.adaptation_dataloader():
                if self._estimation.add(batch["image"].to(pl_module.device)):
                    break
            estimate = self._estimation.result()
        finally:
            self._end(pl_module)
        self._adapt(trainer, pl_module, estimate)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.fast_dev_run:
            return
        folder = getattr(trainer.checkpoint_callback, "dirpath", None) or trainer.default_root_dir
        save_adapted(trainer, pl_module, Path(folder) / self.output)

    def on_predict_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if is_adapting(trainer):
            self._begin(pl_module)

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if is_adapting(trainer) and outputs:
            raise StopIteration  # how Lightning's predict loop is told that it has seen enough

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if is_adapting(trainer):
            try:
                estimate = self._estimation.result()
            finally:
                self._end(pl_module)
            self._adapt(trainer, pl_module, estimate)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._end(pl_module)

    def _begin(self, task: LightningModule) -> None:
        self._started = time.perf_counter()
        group = distributed.group.WORLD if distributed.is_available() and distributed.is_initialized() else None
        if task.source_bank is not None:
            self._stack.enter_context(task.source_bank.applied(task.network))
        forward = partial(logits_of, task)
        estimation = Estimation(task.network, self.propagation, self.policy, self.until, forward, group)
        self._estimation = task.estimation = self._stack.enter_context(estimation)

    def _end(self, task: LightningModule) -> None:
        self._stack.close()
        task.estimation = self._estimation = None

    def _adapt(self, trainer: Trainer, task: LightningModule, estimate: Estimate) -> None:
        """Apply the estimate and record how it came about."""
        task.source_bank = task.source_bank or Bank.of(task.network)
        task.target_bank = estimate.bank
        task.target_bank.apply(task.network)
        datamodule = trainer.datamodule
        task.adaptation = {
            "target": datamodule.target.name,
            "tiles": estimate.tiles,
            "pixels": estimate.pixels,
            "intensity": datamodule.intensity,
            "pixel_size_nm": datamodule.pixel_size_nm,
            "propagation": self.propagation,
            "policy": described(self.policy),
            "source_weight": self.policy.weight(estimate.tiles),
            "until": asdict(self.until) if self.until else None,
            "known": estimate.known,
            "convergence": readable(estimate.convergence),
            "batchnorm_layers": len(estimate.bank.mean),
            "seconds": round(time.perf_counter() - self._started, 3),
        }
        log_convergence(trainer, estimate.convergence)


def described(policy: Policy) -> dict[str, Any]:
    """A policy in plain types, with the name of its rule."""
    fields = asdict(policy) | {"layers": list(policy.layers), "depth": list(policy.depth)}
    if isinstance(policy.source_weight, SourceWeight):
        fields["source_weight"] = {"rule": type(policy.source_weight).__name__, **fields["source_weight"]}
    return fields


def readable(convergence: Convergence) -> dict[str, Any]:
    """Curves in plain types; None where one tile has told nothing (JSON has no infinity)."""
    curves = asdict(convergence)
    for which in ("mean", "log_variance"):
        for layer, errors in curves[which].items():
            curves[which][layer] = [round(error, 6) if math.isfinite(error) else None for error in errors]
    return curves


def log_convergence(trainer: Trainer, convergence: Convergence) -> None:
    """Standard errors against the number of tiles, in TensorBoard."""
    writer = writer_of(trainer)
    for which in ("mean", "log_variance"):
        for layer, errors in getattr(convergence, which).items():
            for tiles, error in zip(convergence.tiles, errors, strict=True):
                writer.add_scalar(f"convergence/{which}/{layer}", error, tiles)


def save_adapted(trainer: Trainer, task: LightningModule, path: Path) -> None:
    """Write the adapted network as a checkpoint; beside it its bank, and the record of its adaptation as JSON.

    All processes must call it; the first one writes.
    """
    if not trainer.is_global_zero:
        trainer.save_checkpoint(path, weights_only=True)
        return
    with written_whole(path) as partial:
        trainer.save_checkpoint(partial, weights_only=True)
    task.target_bank.save(path.with_suffix(".safetensors"))
    with written_whole(path.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(task.adaptation, indent=2) + "\n")
