"""Pictures for TensorBoard: crops that a training learns from, and predictions without and with adaptation."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from bnadapt.batchnorm.isolation import isolated
from bnadapt.callbacks.tensorboard import tensorboard_logger, writer_of
from bnadapt.reports.panels import comparison_panels, grey_levels, outlined_panel, panel_grid

IN_TENSORBOARD, DPI = 3, 200  # panels beside each other: its cards are narrow
MOST_CROPS, CROPS_IN_A_ROW = 8, 4


class SegmentationPictures(Callback):
    """Draws a few tiles at the end of `fit` and `test`; `bnadapt adapt` lets it `draw_target`.

    Tags are `picture/STAGE/DOMAIN/NUMBER`. Masks are drawn where the stage has them: never in `adapt`.

    Args:
        count: tiles per domain, evenly spread; drawn at random in `adapt`.
    """

    def __init__(self, count: int = 3) -> None:
        self.count = count

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for loader in _listed(trainer.val_dataloaders or []):
            tiles = loader.dataset
            self._draw(trainer, pl_module, f"val/{tiles.name}", map(tiles.uncut, self._indices(len(tiles))))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for loader in _listed(trainer.test_dataloaders):
            name = loader.dataset.name
            indices = self._indices(len(loader.dataset))
            self._draw(trainer, pl_module, f"test/{name}", map(loader.dataset.uncut, indices))

    def draw_target(self, trainer: Trainer, task: LightningModule) -> None:
        """Draw tiles of the target, drawn at random, without masks."""
        self._draw(trainer, task, "adapt/target", trainer.datamodule.unlabelled_tiles("target", self.count))

    def _indices(self, count: int) -> list[int]:
        return sorted(set(np.linspace(0, count - 1, self.count).astype(int).tolist()))

    def _draw(self, trainer: Trainer, task: LightningModule, where: str, items: Iterable[Mapping[str, Tensor]]) -> None:
        for number, item in enumerate(items):
            panels = comparison_panels(item, predictions_by_state(task, item["image"][None]))
            figure = panel_grid(panels, IN_TENSORBOARD, side=1.7)
            figure.set_dpi(DPI)
            writer_of(trainer).add_figure(f"picture/{where}/{number}", figure, trainer.global_step)


class TrainingCrops(Callback):
    """Draws the crops of the first batch of a training, as augmented, with outlines of their masks.

    The tag is `picture/training_crops`; 8 crops at most, of the source where a batch is of source and target.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._is_due = True

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        logger = tensorboard_logger(trainer) if self._is_due else None
        self._is_due = False
        if logger is None:
            return
        crops = batch.get("source", batch)
        panels = {}
        for number, (image, mask) in enumerate(
            zip(crops["image"][:MOST_CROPS], crops["mask"][:MOST_CROPS], strict=True), 1
        ):
            panels[f"crop {number}"] = outlined_panel(grey_levels(image.float().cpu()), mask.cpu().numpy())
        logger.experiment.add_figure(
            "picture/training_crops", panel_grid(panels, CROPS_IN_A_ROW, side=2), trainer.global_step
        )


def predictions_by_state(task: LightningModule, images: Tensor) -> dict[str, Tensor]:
    """Predicted classes (H, W) of one image (1, C, H, W), without and, in an adapted network, with adaptation."""
    with isolated(task.network):
        predicted = task.logits_of(images).argmax(1)[0].cpu()
        if task.source_bank is None:
            return {"prediction": predicted}
        with task.source_bank.applied(task.network):
            unadapted = task.logits_of(images).argmax(1)[0].cpu()
    return {"without adaptation": unadapted, "with adaptation": predicted}


def _listed(loaders: object) -> list:
    """Lightning gives one loader bare, several as a list."""
    return loaders if isinstance(loaders, list) else [loaders]
