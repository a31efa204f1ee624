"""Figures of predictions."""

import pandas as pd
from matplotlib.figure import Figure

from bnadapt.experiments.plots import WITH, panels
from bnadapt.studies.verdict.fitting import natural_cases


def draw_predicted(table: pd.DataFrame) -> Figure:
    """Predicted against measured gains of natural pairs, a panel for every scheme."""
    schemes = dict(list(natural_cases(table).groupby("scheme", sort=False)))
    figure, axes = panels(len(schemes), 3, (3.2, 3.2))
    for panel, (scheme, own) in zip(axes, schemes.items(), strict=True):
        panel.axline((0, 0), slope=1, color="#aaaaaa", linewidth=1)
        panel.axhline(0, color="#dddddd", linewidth=1)
        panel.plot(own["predicted"], own["true_gain"], ".", color=WITH, markersize=4, alpha=0.6)
        panel.set_xlabel("predicted gain", fontsize=8)
        panel.set_ylabel("measured gain", fontsize=8)
        panel.set_title(scheme, fontsize=9)
        panel.tick_params(labelsize=7)
    return figure
