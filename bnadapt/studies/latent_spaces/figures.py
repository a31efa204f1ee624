"""Figures of the correlations of latent distances with scores."""

import pandas as pd
from matplotlib.figure import Figure

from bnadapt.distances import MEASURES
from bnadapt.experiments.plots import heat_map, panels, write_in
from bnadapt.studies.latent_spaces.correlations import by_part, transferred

SCORES = {"iou_unadapted": "IoU without", "iou_adapted": "IoU with", "gain": "gain"}
STATES = {"unadapted": "distance before", "adapted": "distance left after"}
CONTROL = {"noise_floor": "noise floor"}  # depends on the source alone, so it cannot distinguish targets


def draw_map(group: pd.DataFrame) -> Figure:
    """A part's correlations by latent space and measure, one panel per state and score."""
    states = {state: title for state, title in (STATES | CONTROL).items() if (group["state"] == state).any()}
    figure, axes = panels(len(states) * len(SCORES), len(SCORES), (3.4, 4.6))
    order = group.sort_values("depth")["layer"].drop_duplicates().tolist()[::-1]
    keys = ((state, score) for state in states for score in SCORES)
    for panel, (state, score) in zip(axes, keys, strict=True):
        rows = group[(group["state"] == state) & (group["score"] == score)]
        values = rows.pivot_table("spearman", "layer", "measure", observed=True).reindex(order)
        values = values[[name for name in MEASURES if name in values]]
        image = heat_map(panel, values, (-1, 1), "coolwarm")
        panel.set_title(f"{states[state]}, {SCORES[score]}", fontsize=8)
        panel.tick_params(axis="x", rotation=90, labelsize=6)
        panel.tick_params(axis="y", labelsize=5)
    figure.colorbar(image, ax=axes, shrink=0.4)
    return figure


def draw_transfer(table: pd.DataFrame) -> Figure:
    """Correlations of the distance chosen in one part in all others, one panel per score."""
    figure, axes = panels(len(SCORES), len(SCORES), (3.6, 3.4))
    for panel, (score, title) in zip(axes, SCORES.items(), strict=True):
        values = transferred(by_part(table[table["state"].isin(STATES)], score))
        image = heat_map(panel, values, (-1, 1), "coolwarm")
        write_in(panel, values)
        panel.set_title(title, fontsize=9)
        panel.set_xlabel("tested in", fontsize=8)
        panel.tick_params(axis="x", rotation=90)
    axes[0].set_ylabel("chosen in", fontsize=8)
    for panel in axes[1:]:
        panel.set_yticks([])
    figure.colorbar(image, ax=axes, shrink=0.6)
    return figure
