"""A picture for TensorBoard of what a training learns from."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from bnadapt.callbacks.tensorboard import tensorboard_logger
from bnadapt.reports.panels import grey_levels, outlined_panel, panel_grid

MOST, COLUMNS = 8, 4


class TrainingCrops(Callback):
    """Draws the crops of the first batch of a training, changed as they are, with outlines of their masks.

    The tag is `picture/training_crops`; 8 crops at most, of the source where a batch is of source and target.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait for the first batch."""
        self._is_due = True

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Draw it, the first time."""
        logger = tensorboard_logger(trainer) if self._is_due else None
        self._is_due = False
        if logger is None:
            return
        crops = batch.get("source", batch)
        panels = {}
        for number, (image, mask) in enumerate(zip(crops["image"][:MOST], crops["mask"][:MOST], strict=True), 1):
            panels[f"crop {number}"] = outlined_panel(grey_levels(image.float().cpu()), mask.cpu().numpy())
        logger.experiment.add_figure("picture/training_crops", panel_grid(panels, COLUMNS, side=2), trainer.global_step)
