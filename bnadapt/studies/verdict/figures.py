"""Figures of predictions and features."""

import pandas as pd
from matplotlib.figure import Figure

from bnadapt.experiments.plots import WITH, panels
from bnadapt.studies.verdict.scores import gains

SHOWN = 20  # features


def draw_predicted(table: pd.DataFrame) -> Figure:
    """Predicted against measured IoU (left) and gain (right) of unseen sources, a row for every part."""
    parts = dict(list(table[table["scheme"] == table["scheme"].iloc[0]].groupby("part", sort=False)))
    figure, axes = panels(2 * len(parts), 2, (3.6, 3.4))
    for number, (part, own) in enumerate(parts.items()):
        scores, changes = axes[2 * number : 2 * number + 2]
        scores.plot(own["predicted"], own["iou"], ".", color=WITH, markersize=3, alpha=0.4)
        changes.plot(gains(own, "predicted"), gains(own), ".", color=WITH, markersize=3, alpha=0.6)
        for panel, low, what in ((scores, 0, "IoU"), (changes, -1, "gain")):
            panel.plot([low, 1], [low, 1], color="#aaaaaa", linewidth=1)
            panel.set_xlabel(f"predicted {what}", fontsize=8)
            panel.set_ylabel(f"measured {what}", fontsize=8)
            panel.set_title(part, fontsize=9)
            panel.tick_params(labelsize=7)
    return figure


def draw_features(features: pd.DataFrame) -> Figure:
    """Rank correlations of single features with the gain, the closest first, a panel for every part."""
    parts = dict(list(features.groupby("part", sort=False)))
    figure, axes = panels(len(parts), 2, (4.6, 0.22 * SHOWN + 0.6))
    for panel, (part, own) in zip(axes, parts.items(), strict=True):
        closest = own.reindex(own["spearman"].abs().sort_values().index).tail(SHOWN)
        panel.barh(closest["feature"], closest["spearman"], color=WITH)
        panel.set_xlim(-1, 1)
        panel.grid(alpha=0.3, axis="x")
        panel.set_title(part, fontsize=9)
        panel.tick_params(labelsize=7)
    return figure
