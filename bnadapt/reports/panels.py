"""Panels of images, masks and predictions, and what one prediction changes of another."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import Colormap, ListedColormap, to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from bnadapt.data.masks import IGNORED

LETTERS_IN_AN_INCH = 15.5  # of a title
CORRECTIONS = ListedColormap(["#d55e00", "#eeeeee", "#009e73"])  # newly wrong, unchanged, corrected
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


@dataclass(frozen=True)
class Panel:
    """A picture and how to draw it.

    Args:
        picture: numbers (H, W), of which NaN is left empty, or colours (H, W, 3) from 0 to 1.
        colours: of them.
        low: what has the first colour; the least number by default.
        high: what has the last colour; the largest number by default.
    """

    picture: np.ndarray
    colours: str | Colormap
    low: float | None = None
    high: float | None = None


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


def grey_levels(image: Tensor) -> np.ndarray:
    """The first channel of an image (C, H, W), from 0 to 1 but for extremes."""
    from skimage.exposure import rescale_intensity

    values = image[0].numpy()
    return rescale_intensity(values, tuple(np.percentile(values, [EXTREME, 100 - EXTREME])), (0.0, 1.0))


def outlined_panel(grey: np.ndarray, classes: np.ndarray) -> Panel:
    """Grey levels (H, W) with every class (H, W) above 0 tinted and outlined in its colour."""
    from skimage.segmentation import find_boundaries

    colours = np.array([to_rgb(each) for each in OF_CLASSES.values()])[(classes - 1) % len(OF_CLASSES)]
    opacity = np.where(find_boundaries(classes, mode="inner"), 1.0, TINTED) * (classes > 0)
    mixed = grey[..., np.newaxis] * (1 - opacity[..., np.newaxis]) + colours * opacity[..., np.newaxis]
    return Panel(np.clip(mixed, 0, 1), "gray")


def share_panel(shares: np.ndarray, most: float) -> Panel:
    """Numbers (H, W) from 0 (dark) to `most` (bright)."""
    return Panel(shares, "inferno", 0, most)


def panel_row(panels: Mapping[str, Panel]) -> Figure:
    """Panels beside each other, with their titles."""
    return panel_grid(panels, len(panels), side=2.6)


def panel_grid(panels: Mapping[str, Panel], columns: int, side: float) -> Figure:
    """Panels in so many columns, each so many inches wide, with their titles."""
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(side * columns, (side + 0.5) * rows), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid:
        axes.axis("off")
    for axes, (title, panel) in zip(grid, panels.items(), strict=False):
        axes.imshow(panel.picture, cmap=panel.colours, vmin=panel.low, vmax=panel.high, interpolation="nearest")
        fits = len(title) <= LETTERS_IN_AN_INCH * side
        axes.set_title(title if fits else title.replace(", ", ",\n"), fontsize=9)
    return figure


def _signed(positive: np.ndarray, negative: np.ndarray, colours: Colormap, weight: np.ndarray | float = 1) -> Panel:
    return Panel((positive.astype(int) - negative) * weight, colours, -1, 1)
