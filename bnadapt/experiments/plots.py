"""Plots of studies: heat maps over a grid, curves with their spread over seeds, points with a trend."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WITHOUT, WITH = "#d1495b", "#00798c"
BAR_GROUP = 0.8  # inches for the name of a group of bars
LABEL = 2.2  # inches for a label in a legend
IOU = {"iou_unadapted": ("without adaptation", WITHOUT), "iou_adapted": ("with adaptation", WITH)}


def panels(count: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels of a size in inches; axes that are left over are empty."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(max(4.5, size[0] * columns), size[1] * rows + 0.4), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in axes[count:]:
        spare.axis("off")
    return figure, axes[:count]


def heat_map(panel: Axes, values: pd.DataFrame, limits: tuple[float, float], colours: str) -> object:
    """Values by their row and column labels, the first row at the bottom; returns the mappable for a colour bar."""
    low, high = limits
    image = panel.imshow(values.to_numpy(float), cmap=colours, vmin=low, vmax=high, origin="lower", aspect="auto")
    panel.set_xticks(range(values.shape[1]), [_short(label) for label in values.columns], fontsize=7)
    panel.set_yticks(range(values.shape[0]), [_short(label) for label in values.index], fontsize=7)
    return image


def write_in(panel: Axes, values: pd.DataFrame) -> None:
    """Annotate a heat map with its numbers, in black or white, whichever is legible."""
    image = panel.images[-1]
    for (row, column), value in np.ndenumerate(values.to_numpy(float)):
        if np.isnan(value):
            continue
        red, green, blue, _ = image.cmap(image.norm(value))
        colour = "white" if 0.3 * red + 0.6 * green + 0.1 * blue < 0.5 else "black"
        panel.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6, color=colour)


def spread(panel: Axes, table: pd.DataFrame, x: str, y: str, label: str, colour: str, even: bool = False) -> None:
    """The mean of y over all rows at every x, with a band of one standard deviation.

    Args:
        panel: axes to draw into.
        table: table with the columns x and y.
        x: column along the horizontal axis.
        y: column along the vertical axis.
        label: label in the legend.
        colour: colour of the line.
        even: whether to space the values of x evenly.
    """
    grouped = table.groupby(x, sort=True)[y]
    means, stds = grouped.mean(), grouped.std().fillna(0)
    positions = np.arange(len(means)) if even else means.index.to_numpy(float)
    panel.plot(positions, means, color=colour, marker="o", markersize=3, label=label)
    panel.fill_between(positions, means - stds, means + stds, color=colour, alpha=0.2, lw=0)
    if even:
        panel.set_xticks(positions, [_short(value) for value in means.index])


def before_and_after(panel: Axes, table: pd.DataFrame, x: str, even: bool = False) -> None:
    """IoU without and with adaptation along x."""
    for column, (label, colour) in IOU.items():
        spread(panel, table, x, column, label, colour, even)
    panel.set_ylim(0, 1)
    panel.grid(alpha=0.3)
    panel.tick_params(labelsize=7)


def curve_panels(
    parts: Mapping[str, pd.DataFrame], x: str, side_by_side: int, even: bool = False
) -> tuple[Figure, list[Axes]]:
    """A panel for every part, by title, with IoU without and with adaptation along x."""
    figure, axes = panels(len(parts), side_by_side, (2.8, 2.2))
    for panel, (title, rows) in zip(axes, parts.items(), strict=True):
        before_and_after(panel, rows, x, even)
        panel.set_title(title, fontsize=9)
    legend(figure, axes[0])
    return figure, axes


def legend(figure: Figure, panel: Axes) -> None:
    """The legend of a panel, above all of them, with as many labels in a row as fit, at most four."""
    handles, labels = panel.get_legend_handles_labels()
    columns = min(4, len(labels), max(1, int(figure.get_figwidth() / LABEL)))
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False, fontsize=8)


Series = tuple[Sequence[float], Sequence[float], str]


def bars(panel: Axes, groups: Sequence[str], series: Mapping[str, Series]) -> None:
    """Bars side by side in every group; by label come means, standard deviations (NaN for none) and colour."""
    width = 0.8 / len(series)
    for number, (label, (means, stds, colour)) in enumerate(series.items()):
        positions = np.arange(len(groups)) + (number - (len(series) - 1) / 2) * width
        panel.bar(positions, means, width, yerr=stds, color=colour, label=label, capsize=2)
    panel.set_xticks(range(len(groups)), groups, fontsize=8)
    panel.grid(alpha=0.3, axis="y")


def bar_panels(
    parts: Mapping[str, pd.DataFrame], by: str, columns: Mapping[str, tuple[str, str]], side_by_side: int
) -> Figure:
    """A panel for every part, with bars of mean scores by group of rows; whiskers are one standard deviation.

    Args:
        parts: rows by title of their panel.
        by: column with the name of the group.
        columns: column and colour of each bar of a group, by label.
        side_by_side: number of panels in a row.
    """
    most = max(rows[by].nunique() for rows in parts.values())
    figure, axes = panels(len(parts), side_by_side, (max(4.2, BAR_GROUP * most), 2.6))
    for panel, (title, rows) in zip(axes, parts.items(), strict=True):
        grouped = rows.groupby(by, sort=False)
        means, stds = grouped.mean(numeric_only=True), grouped.std(numeric_only=True)
        bars(panel, list(means.index), {label: (means[c], stds[c], colour) for label, (c, colour) in columns.items()})
        panel.set_title(title, fontsize=9)
        panel.set_ylim(0, 1)
    legend(figure, axes[0])
    return figure


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
