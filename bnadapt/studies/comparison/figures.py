"""What the comparison draws."""

import pandas as pd
from matplotlib.figure import Figure

from bnadapt.experiments.plots import heat_map, legend, panels, write_in
from bnadapt.studies.comparison.findings import DIRECTION, rows_of


def draw_directions(table: pd.DataFrame) -> Figure:
    """Mean IoU over seeds of every method (rows) in every direction (columns), with numbers."""
    means = table.pivot_table("iou", "row", DIRECTION, sort=False).reindex(list(rows_of(table)))[::-1]
    means.columns = [f"{source}\n-> {target}\n({task})" for task, source, target in means.columns]
    figure, (panel,) = panels(1, 1, (2.2 + 1.05 * means.shape[1], 0.9 + 0.26 * len(means)))
    heat_map(panel, means, (0, 1), "viridis")
    write_in(panel, means)
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
