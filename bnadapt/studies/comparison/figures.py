"""Figures of the comparison."""

import pandas as pd
from matplotlib.figure import Figure

from bnadapt.experiments.plots import heat_map, panels, write_in
from bnadapt.studies.comparison.findings import DIRECTION, rows_of


def draw_directions(table: pd.DataFrame) -> Figure:
    """Mean IoU over seeds of every method (rows) in every direction (columns), with numbers."""
    means = table.pivot_table("iou", "row", DIRECTION, sort=False).reindex(list(rows_of(table)))[::-1]
    means.columns = [f"{source}\n-> {target}\n({task})" for task, source, target in means.columns]
    figure, (panel,) = panels(1, 1, (2.2 + 1.05 * means.shape[1], 0.9 + 0.26 * len(means)))
    heat_map(panel, means, (0, 1), "viridis")
    write_in(panel, means)
    return figure
