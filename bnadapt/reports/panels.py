"""Panels of images, masks and predictions, and of the changes between two predictions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import fill

import numpy as np
from matplotlib.colors import Colormap, ListedColormap, to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from bnadapt.data.masks import IGNORED

LETTERS_IN_AN_INCH, IN_A_ROW = 15.5, 5  # letters of a title per inch, panels per row
TITLE, GAP = 0.5, 0.04  # inches above a panel, for up to three lines, and beside it
NOT_SCORED = "#777777"
CORRECTIONS = ListedColormap(["#d55e00", "#eeeeee", "#009e73"]).with_extremes(bad=NOT_SCORED)
"""Newly wrong, unchanged, corrected."""
CHANGES = ListedColormap(["#e08214", "#eeeeee", "#8073ac"])  # removed, unchanged, added
OF_CLASSES = {
    "magenta": "#e6007e",
    "blue": "#0096d6",
    "orange": "#ff8c00",
    "green": "#00a878",
    "violet": "#8a4fff",
    "olive": "#b8a200",
}  # above 0; further ones begin anew
TINTED, EXTREME = 0.25, 0.5  # opacity of a class; per cent of the pixels that may be black, or white
DIMMED = 0.4  # brightness of pixels that are not scored


@dataclass(frozen=True)
class Panel:
    """A picture and how to draw it."""

    picture: np.ndarray  # numbers (H, W), empty where NaN, or colours (H, W, 3) from 0 to 1
    colours: str | Colormap
    low: float | None = None  # value of the first colour; the least by default
    high: float | None = None  # value of the last colour; the largest by default


def comparison(item: Mapping[str, Tensor], predictions: Mapping[str, Tensor]) -> Figure:
    """A row of `comparison_panels`."""
    return panel_rows(comparison_panels(item, predictions))


def comparison_panels(item: Mapping[str, Tensor], predictions: Mapping[str, Tensor]) -> dict[str, "Panel"]:
    """By title: those of `outlined_panels`, and what the second of two predictions changes.

    With a mask, changes are corrected or newly wrong; without one, foreground is added or removed.
    """
    panels = outlined_panels(item, predictions)
    if len(predictions) == 2:
        before, after = (each.numpy() for each in predictions.values())
        if "mask" in item:
            panels["corrected (green), newly wrong (orange)"] = corrections_panel(before, after, item["mask"].numpy())
        else:
            panels["added (purple), removed (orange)"] = _signed(after > 0, before > 0, CHANGES)
    return panels


def outlined_panels(item: Mapping[str, Tensor], predictions: Mapping[str, Tensor]) -> dict[str, "Panel"]:
    """By title: image, labels if there are any, and predictions, outlined on the image.

    Args:
        item: `image` (C, H, W), and possibly `mask` (H, W); ignored pixels are dimmed.
        predictions: classes (H, W) by title.
    """
    grey = grey_levels(item["image"])
    panels = {"image": Panel(grey, "gray", 0, 1)}
    mask = item["mask"].numpy() if "mask" in item else np.zeros(grey.shape, int)
    ignored = mask == IGNORED
    if "mask" in item:
        panels["labels (dimmed: not scored)" if ignored.any() else "labels"] = outlined_panel(grey, mask)
    dimmed = np.where(ignored, grey * DIMMED, grey)
    return panels | {title: outlined_panel(dimmed, classes.numpy()) for title, classes in predictions.items()}


def image_panel(image: Tensor) -> Panel:
    """The first channel of an image (C, H, W)."""
    return Panel(image[0].numpy(), "gray")


def corrections_panel(before: np.ndarray, after: np.ndarray, mask: np.ndarray) -> Panel:
    """Pixels (H, W) for which only the second prediction is right, or only the first; ignored ones are dark."""
    labelled = np.where(mask == IGNORED, np.nan, 1)
    return _signed((before != mask) & (after == mask), (before == mask) & (after != mask), CORRECTIONS, labelled)


def grey_levels(image: Tensor) -> np.ndarray:
    """The first channel of an image (C, H, W), scaled to 0..1 except for extremes."""
    from skimage.exposure import rescale_intensity

    values = image[0].numpy()
    return rescale_intensity(values, tuple(np.percentile(values, [EXTREME, 100 - EXTREME])), (0.0, 1.0))


def outlined_panel(grey: np.ndarray, classes: np.ndarray) -> Panel:
    """Grey levels (H, W) with every class (H, W) above 0 tinted and outlined in its colour, ignored pixels dimmed."""
    from skimage.segmentation import find_boundaries

    ignored = classes == IGNORED
    grey, classes = np.where(ignored, grey * DIMMED, grey), np.where(ignored, 0, classes)
    colours = np.array([to_rgb(each) for each in OF_CLASSES.values()])[(classes - 1) % len(OF_CLASSES)]
    opacity = np.where(find_boundaries(classes, mode="inner"), 1.0, TINTED) * (classes > 0)
    mixed = grey[..., np.newaxis] * (1 - opacity[..., np.newaxis]) + colours * opacity[..., np.newaxis]
    return Panel(np.clip(mixed, 0, 1), "gray")


def share_panel(shares: np.ndarray, most: float) -> Panel:
    """Numbers (H, W) from 0 (dark) to `most` (bright)."""
    return Panel(shares, "inferno", 0, most)


def panel_rows(panels: Mapping[str, Panel]) -> Figure:
    """Panels in rows of five, with their titles."""
    return panel_grid(panels, min(len(panels), IN_A_ROW), side=2.6)


def panel_grid(panels: Mapping[str, Panel], columns: int, side: float) -> Figure:
    """Titled panels in columns, each `side` inches wide."""
    rows = math.ceil(len(panels) / columns)
    width, height = side * columns, (side + TITLE) * rows
    figure = Figure(figsize=(width, height))  # fixed places: a layout that measures texts takes as long as drawing
    figure.subplots_adjust(GAP / width, GAP / height, 1 - GAP / width, 1 - TITLE / height, GAP / side, TITLE / side)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid:
        axes.axis("off")
    for axes, (title, panel) in zip(grid, panels.items(), strict=False):
        axes.imshow(panel.picture, cmap=panel.colours, vmin=panel.low, vmax=panel.high, interpolation="nearest")
        axes.set_title(fill(title, int(LETTERS_IN_AN_INCH * side)), fontsize=9)
    return figure


def _signed(positive: np.ndarray, negative: np.ndarray, colours: Colormap, weight: np.ndarray | float = 1) -> Panel:
    return Panel((positive.astype(int) - negative) * weight, colours, -1, 1)
