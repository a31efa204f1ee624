"""Figures of target tiles under every candidate, for the pages of `preview` and `recommend`."""

from collections.abc import Mapping

from matplotlib.figure import Figure
from torch import Tensor

from bnadapt.gain import CANDIDATES
from bnadapt.gain.agreement import distinct
from bnadapt.reports.document import Paragraph, Part
from bnadapt.reports.panels import Panel, grey_levels, outlined_panel, panel_grid, share_panel

COLUMNS, SIDE, DPI = 3, 3.2, 200
MEANING = (
    "Inside the network, images are normalised by means and variances, its statistics, which it has learnt from its"
    " source. Adapting replaces them by those of the new images, in all layers or in some, entirely or in part; nothing"
    " else changes. Every way of doing so is a candidate."
)
LEGEND = (
    "Outlined and tinted is what is predicted as foreground, with its share of the tile. The second panel is bright"
    " where the candidates disagree: look there first. Those that exchange bright and dark disagree everywhere, and are"
    " not counted. A click shows a picture at its full size."
)


def said_of_alike(classes: Mapping[str, Tensor]) -> list[Part]:
    """A sentence on the candidates that are not drawn because they look like another; nothing if all are drawn.

    Args:
        classes: (h, w) predicted on a tile, by the candidate's name.
    """
    alike = [
        f"{' and '.join(CANDIDATES[name].label for name in names)} (like {CANDIDATES[shown].label})"
        for shown, names in distinct(classes).items()
        if names
    ]
    return [Paragraph(f"Not drawn, because it looks the same: {'; '.join(alike)}.")] if alike else []


def tile_panels(
    image: Tensor, classes: Mapping[str, Tensor], disagreeing: Tensor | None, chosen: str | None = None
) -> dict[str, Panel]:
    """By title: the image, where candidates disagree, and the predictions of those that look different.

    Args:
        image: (C, h, w).
        classes: (h, w) predicted, by the candidate's name.
        disagreeing: (h, w), see `bnadapt.gain.agreement.disagreement`; None for a single candidate.
        chosen: name of the candidate to mark as recommended.
    """
    grey = grey_levels(image)
    panels = {"image": Panel(grey, "gray", 0, 1)}
    if disagreeing is not None:
        panels["where they disagree"] = share_panel(disagreeing.numpy(), 0.5)
    for name in distinct(classes):
        mark = "recommended: " if name == chosen else ""
        share = float((classes[name] > 0).double().mean())
        panels[f"{mark}{CANDIDATES[name].label}, {share:.1%}"] = outlined_panel(grey, classes[name].numpy())
    return panels


def tile_figure(panels: Mapping[str, Panel]) -> Figure:
    """Panels of a tile, large enough to judge."""
    figure = panel_grid(panels, COLUMNS, SIDE)
    figure.set_dpi(DPI)
    return figure
