"""Pictures for TensorBoard: image, mask, predictions without and with adaptation, and their difference."""

from collections.abc import Iterable, Mapping

import matplotlib
import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor

from bnadapt.batchnorm.isolation import isolated
from bnadapt.callbacks.inference import logits_of
from bnadapt.callbacks.tensorboard import writer_of
from bnadapt.data.masks import IGNORED


class SegmentationPictures(Callback):
    """Draws a few tiles at the end of `fit` and `test`; `bnadapt adapt` lets it `draw_target`.

    Tags are `picture/STAGE/DOMAIN/NUMBER`. Masks are drawn where the stage has them: never in `adapt`.

    Args:
        count: tiles per domain, evenly spread; drawn at random in `adapt`.
    """

    def __init__(self, count: int = 3) -> None:
        self.count = count

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.val_dataloaders is not None:
            tiles = trainer.val_dataloaders.dataset
            self._draw(trainer, pl_module, "val/source", map(tiles.uncut, self._chosen(len(tiles))))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for name, loader in zip(pl_module.test_names, _listed(trainer.test_dataloaders), strict=True):
            chosen = self._chosen(len(loader.dataset))
            self._draw(trainer, pl_module, f"test/{name}", map(loader.dataset.uncut, chosen))

    def draw_target(self, trainer: Trainer, task: LightningModule) -> None:
        """Draw tiles of the target, drawn at random, without masks."""
        self._draw(trainer, task, "adapt/target", trainer.datamodule.unlabelled_tiles("target", self.count))

    def _chosen(self, count: int) -> list[int]:
        return sorted(set(np.linspace(0, count - 1, self.count).astype(int).tolist()))

    def _draw(self, trainer: Trainer, task: LightningModule, where: str, items: Iterable[Mapping[str, Tensor]]) -> None:
        for number, item in enumerate(items):
            predictions = predictions_by_state(task, item["image"][None])
            writer_of(trainer).add_figure(
                f"picture/{where}/{number}", comparison(item, predictions), trainer.global_step
            )


def predictions_by_state(task: LightningModule, images: Tensor) -> dict[str, Tensor]:
    """Predicted classes (H, W) of one image (1, C, H, W), without and, in an adapted network, with adaptation."""
    with isolated(task.network):
        own = logits_of(task, images).argmax(1)[0].cpu()
        if task.source_bank is None:
            return {"prediction": own}
        with task.source_bank.applied(task.network):
            unadapted = logits_of(task, images).argmax(1)[0].cpu()
    return {"without adaptation": unadapted, "with adaptation": own}


def comparison(item: Mapping[str, Tensor], predictions: Mapping[str, Tensor]) -> Figure:
    """One row of panels: image, mask if there is one, predictions, and where two predictions differ."""
    panels = {"image": (item["image"][0].numpy(), "gray")}
    if "mask" in item:
        panels["mask"] = (with_gaps(item["mask"].numpy()), "viridis")
    panels |= {name: (with_gaps(classes.numpy()), "viridis") for name, classes in predictions.items()}
    if len(predictions) == 2:
        before, after = (classes.numpy() for classes in predictions.values())
        panels["gained (+), lost (-)"] = ((after > 0).astype(int) - (before > 0).astype(int), "coolwarm")
    return panel_row(panels)


def panel_row(panels: Mapping[str, tuple[np.ndarray, str]]) -> Figure:
    """Named pictures beside each other, each with its colour map."""
    figure = Figure(figsize=(2.6 * len(panels), 2.9), layout="constrained")
    for axes, (name, (picture, colours)) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        limits = {"coolwarm": (-1, 1), "viridis": (0, max(1, int(np.nanmax(picture, initial=0))))}
        low, high = limits.get(colours, (None, None))
        axes.imshow(picture, cmap=matplotlib.colormaps[colours], vmin=low, vmax=high, interpolation="nearest")
        axes.set_title(name, fontsize=9)
        axes.axis("off")
    return figure


def _listed(loaders: object) -> list:
    """Lightning gives one loader bare, several as a list."""
    return loaders if isinstance(loaders, list) else [loaders]


def with_gaps(classes: np.ndarray) -> np.ndarray:
    """Class indices as numbers to draw; ignored pixels stay empty."""
    return np.where(classes == IGNORED, np.nan, classes)
