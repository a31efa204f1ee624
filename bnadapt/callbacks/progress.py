"""The progress bar, and the time at which training starts."""

import math
import time
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar

from bnadapt.reports.terminal import Console


class ProgressBar(RichProgressBar):
    """Lightning's, but that it counts epochs from 1, knows how many the steps take, and shows no number of a folder.

    While sections are segmented it shows megabytes of images in a second.
    """

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        shown = super().get_metrics(trainer, pl_module)
        return {name: value for name, value in shown.items() if name != "v_num"}

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the clock."""
        super().on_predict_start(trainer, pl_module)
        self._started, self._bytes = time.monotonic(), 0

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Show how much of the images is segmented in a second."""
        super().on_predict_batch_end(trainer, pl_module, outputs, batch, batch_idx, dataloader_idx)
        if self.is_disabled or self.predict_progress_bar_id is None:
            return
        section = batch["section"]
        self._bytes += math.prod(section.original_size) * np.dtype(section.dtype).itemsize
        rate = self._bytes / 1e6 / max(time.monotonic() - self._started, 1e-9)
        self.progress.update(self.predict_progress_bar_id, description=f"Segmenting, {rate:.3g} MB/s")

    def _get_train_description(self, current_epoch: int) -> str:
        epochs = self.trainer.max_epochs
        if epochs == -1 and self.trainer.max_steps > 0:
            epochs = math.ceil(self.trainer.max_steps / self.trainer.num_training_batches)
        return f"Epoch {current_epoch + 1}{f'/{epochs}' if epochs and epochs > 0 else ''}"


class TrainingStart(Callback):
    """Says in a line what is trained on what, for how long, and where the logs are."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        folder = trainer.log_dir if trainer.loggers else None  # asks all processes
        if not trainer.is_global_zero:
            return
        count = sum(each.numel() for each in pl_module.network.parameters())
        steps, in_epoch = trainer.estimated_stepping_batches, trainer.num_training_batches
        Console().print(
            f"Training {type(pl_module.network).__name__} ({count / 1e6:.2f} M parameters) on"
            f" {trainer.datamodule.source.name}: {steps:g} steps"
            f"{f' ({in_epoch:g} an epoch)' if steps > in_epoch else ''}{f'; logs in {folder}' if folder else ''}."
        )
