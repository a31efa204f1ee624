"""What is seen while a network trains, and when it begins to."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from rich.console import Console


class ProgressBar(RichProgressBar):
    """Lightning's, without the number of the run's folder among the scores."""

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        shown = super().get_metrics(trainer, pl_module)
        return {name: value for name, value in shown.items() if name != "v_num"}


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
