"""What the comparison draws."""

import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure

from bnadapt.experiments.plots import legend, panels
from bnadapt.studies.comparison.findings import DIRECTION, rows_of


def draw_directions(table: pd.DataFrame) -> Figure:
    """IoU of every method in every direction, as horizontal bars."""
    directions = list(table.groupby(DIRECTION, sort=False))
    names = list(rows_of(table))
    figure, axes = panels(len(directions), 3, (4.2, 0.6 + 0.24 * len(names)))
    for panel, ((task, source, target), own) in zip(axes, directions, strict=True):
        scores = own.groupby("row")["iou"].agg(["mean", "std"]).reindex(names)
        colours = [colormaps["tab20"](index % 20) for index in range(len(names))]
        panel.barh(range(len(names)), scores["mean"], xerr=scores["std"].fillna(0), color=colours, capsize=2)
        panel.set_yticks(range(len(names)), names, fontsize=7)
        panel.invert_yaxis()
        panel.set_xlim(0, 1)
        panel.set_title(f"{source} -> {target} ({task})", fontsize=9)
        panel.grid(alpha=0.3, axis="x")
    return figure


def draw_histories(table: pd.DataFrame) -> Figure:
    """IoU on the target along the training, for every direction, method and seed."""
    trained = table.dropna(subset=["iou_oracle_choice"])
    directions = list(trained.groupby(DIRECTION, sort=False))
    colours = {name: f"C{index}" for index, name in enumerate(dict.fromkeys(trained["row"]))}
    figure, axes = panels(len(directions), 3, (4.2, 2.6))
    for panel, ((task, source, target), own) in zip(axes, directions, strict=True):
        for name, rows in own.groupby("row", sort=False):
            for number, row in enumerate(rows.itertuples()):
                label = name if number == 0 else None
                panel.plot(row.history_steps, row.history_iou, "o-", color=colours[name], markersize=3, label=label)
        panel.set_ylim(0, 1)
        panel.set_title(f"{source} -> {target} ({task})", fontsize=9)
        panel.set_xlabel("steps", fontsize=8)
        panel.grid(alpha=0.3)
    legend(figure, axes[0])
    return figure
