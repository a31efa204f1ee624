"""Pictures for TensorBoard: image, mask, predictions without and with adaptation, and what it changes."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from torch import Tensor

from bnadapt.batchnorm.isolation import isolated
from bnadapt.callbacks.inference import logits_of
from bnadapt.callbacks.tensorboard import writer_of
from bnadapt.data.masks import IGNORED

IN_TENSORBOARD = 3  # panels beside each other: its cards are narrow
CORRECTIONS = ListedColormap(["#d55e00", "#eeeeee", "#009e73"])  # newly wrong, unchanged, corrected
CHANGES = ListedColormap(["#e08214", "#eeeeee", "#8073ac"])  # removed, unchanged, added


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
            panels = comparison_panels(item, predictions_by_state(task, item["image"][None]))
            figure = panel_grid(panels, IN_TENSORBOARD, side=1.7)
            figure.set_dpi(200)
            writer_of(trainer).add_figure(f"picture/{where}/{number}", figure, trainer.global_step)


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
    """One row of `comparison_panels`."""
    return panel_row(comparison_panels(item, predictions))


def comparison_panels(item: Mapping[str, Tensor], predictions: Mapping[str, Tensor]) -> dict[str, "Panel"]:
    """By title: image, mask if there is one, predictions, and what the second of two predictions changes.

    With a mask, changes are corrected or newly wrong; without one, foreground is added or removed.
    """
    classes = {name: each.numpy() for name, each in predictions.items()}
    panels = {"image": image_panel(item["image"])}
    if "mask" in item:
        panels["mask"] = classes_panel(item["mask"].numpy())
    panels |= {name: classes_panel(each) for name, each in classes.items()}
    if len(classes) == 2:
        before, after = classes.values()
        if "mask" in item:
            panels["corrected (green), newly wrong (orange)"] = corrections_panel(before, after, item["mask"].numpy())
        else:
            panels["added (purple), removed (orange)"] = _signed(after > 0, before > 0, CHANGES)
    return panels


@dataclass(frozen=True)
class Panel:
    """A picture and how to draw it.

    Args:
        picture: numbers (H, W); NaN is left empty.
        colours: of them.
        low: what has the first colour; the least number by default.
        high: what has the last colour; the largest number by default.
    """

    picture: np.ndarray
    colours: str | Colormap
    low: float | None = None
    high: float | None = None


def image_panel(image: Tensor) -> Panel:
    """The first channel of an image (C, H, W)."""
    return Panel(image[0].numpy(), "gray")


def classes_panel(classes: np.ndarray) -> Panel:
    """Class indices (H, W); ignored pixels stay empty."""
    drawn = np.where(classes == IGNORED, np.nan, classes)
    return Panel(drawn, "viridis", 0, max(1, np.nanmax(drawn, initial=0)))


def corrections_panel(before: np.ndarray, after: np.ndarray, mask: np.ndarray) -> Panel:
    """Pixels (H, W) of which only the second prediction is right, or only the first; ignored ones stay empty."""
    labelled = np.where(mask == IGNORED, np.nan, 1)
    return _signed((before != mask) & (after == mask), (before == mask) & (after != mask), CORRECTIONS, labelled)


def panel_row(panels: Mapping[str, Panel]) -> Figure:
    """Panels beside each other, with their titles."""
    return panel_grid(panels, len(panels), side=2.6)


def panel_grid(panels: Mapping[str, Panel], columns: int, side: float) -> Figure:
    """Panels in so many columns, each so many inches wide, with their titles."""
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(side * columns, (side + 0.3) * rows), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid:
        axes.axis("off")
    for axes, (title, panel) in zip(grid, panels.items(), strict=False):
        axes.imshow(panel.picture, cmap=panel.colours, vmin=panel.low, vmax=panel.high, interpolation="nearest")
        axes.set_title(title.replace(", ", ",\n"), fontsize=9)
    return figure


def _signed(positive: np.ndarray, negative: np.ndarray, colours: Colormap, weight: np.ndarray | float = 1) -> Panel:
    return Panel((positive.astype(int) - negative) * weight, colours, -1, 1)


def _listed(loaders: object) -> list:
    """Lightning gives one loader bare, several as a list."""
    return loaders if isinstance(loaders, list) else [loaders]
