"""What is seen while a network trains, and when it begins to."""

import math
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from rich.console import Console


class ProgressBar(RichProgressBar):
    """Lightning's, but that it counts epochs from 1, knows how many the steps take, and shows no number of a folder."""

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        shown = super().get_metrics(trainer, pl_module)
        return {name: value for name, value in shown.items() if name != "v_num"}

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
        Console(soft_wrap=True, markup=False, highlight=False).print(
            f"Training {type(pl_module.network).__name__} ({count / 1e6:.2f} M parameters) on"
            f" {trainer.datamodule.source.name}: {steps:g} steps"
            f"{f' ({in_epoch:g} an epoch)' if steps > in_epoch else ''}{f'; logs in {folder}' if folder else ''}."
        )
