"""Adapt the BatchNorm statistics of a task to the target, at the end of training or in `bnadapt adapt`."""

import json
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from bnadapt.batchnorm import Bank, StatisticsRecorder, batchnorm_layers
from bnadapt.callbacks.inference import logits_of
from bnadapt.errors import InputError
from bnadapt.files import written_whole
from bnadapt.stage import is_adapting


class BatchNormAdaptation(Callback):
    """Re-estimates the running statistics of all BatchNorm layers on images of the target.

    At the end of `fit` it reads the data module's `adaptation_dataloader` once, which gives no masks,
    and writes the adapted network as a checkpoint of its own; best and last checkpoint stay
    unadapted. In `bnadapt adapt` it records what the predict loop passes through the network.
    All weights, and all buffers other than the running statistics, stay bit-identical.

    Afterwards the task holds the source's statistics as `source_bank` and the record as `adaptation`. A
    network that was adapted before keeps its first source.

    Args:
        source_weight: how much of the source's statistics stays, 0 (full replacement) to 1.
        output: name of the checkpoint that `fit` writes into the folder of its checkpoints.

    Raises:
        InputError: source_weight is out of range; at the start of `fit`, if there is no target.
        NoBatchNormError: at the start of `fit`, if the network has no BatchNorm statistics.

    Example:
        trainer = Trainer(callbacks=[BatchNormAdaptation()])
        trainer.fit(task, datamodule=DomainPair(source, target))
    """

    def __init__(self, source_weight: float = 0.0, output: str = "adapted.ckpt") -> None:
        if not 0 <= source_weight <= 1:
            raise InputError(f"source_weight is {source_weight}; give a value between 0 (target alone) and 1.")
        self.source_weight = source_weight
        self.output = output
        self._recorder: StatisticsRecorder | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        batchnorm_layers(pl_module.network)
        if trainer.datamodule.target is None:
            raise InputError("BatchNormAdaptation: there is no target to adapt to; give --data.target.")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin(pl_module)
        try:
            for batch in trainer.datamodule.adaptation_dataloader():
                logits_of(pl_module, batch["image"])
                self._count(batch)
        finally:
            self._recorder.__exit__()
        self._finish(trainer, pl_module)

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
        if is_adapting(trainer):
            self._count(batch)

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if is_adapting(trainer):
            self._recorder.__exit__()
            self._finish(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if self._recorder:
            self._recorder.__exit__()

    def _begin(self, task: LightningModule) -> None:
        self._started = time.perf_counter()
        self._tiles = self._pixels = 0
        self._was_training = task.training
        task.network.eval()
        self._recorder = StatisticsRecorder(task.network).__enter__()

    def _count(self, batch: dict[str, torch.Tensor]) -> None:
        images, _, height, width = batch["image"].shape
        self._tiles += images
        self._pixels += images * height * width

    def _finish(self, trainer: Trainer, task: LightningModule) -> None:
        task.source_bank = task.source_bank or Bank.of(task.network)
        self._recorder.bank.blended(task.source_bank, self.source_weight).apply(task.network)
        task.network.train(self._was_training)
        datamodule = trainer.datamodule
        task.adaptation = {
            "target": datamodule.target.name,
            "tiles": self._tiles,
            "pixels": self._pixels,
            "intensity": datamodule.intensity,
            "pixel_size_nm": datamodule.pixel_size_nm,
            "policy": {"source_weight": self.source_weight},
            "batchnorm_layers": len(self._recorder.layers),
            "seconds": round(time.perf_counter() - self._started, 3),
        }


def save_adapted(trainer: Trainer, task: LightningModule, path: Path) -> None:
    """Write the adapted network as a checkpoint, and the record of its adaptation beside it as JSON."""
    with written_whole(path) as partial:
        trainer.save_checkpoint(partial, weights_only=True)
    with written_whole(path.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(task.adaptation, indent=2) + "\n")
