"""Figures of the study of candidates."""

import pandas as pd
from matplotlib.figure import Figure

from bnadapt.experiments.plots import WITH, heat_map, panels, write_in
from bnadapt.gain.candidates import ADAPTED, NONE
from bnadapt.studies.candidates.findings import scores_by_candidate


def draw_candidates(table: pd.DataFrame) -> Figure:
    """Mean IoU of every candidate (columns) by family of targets (rows), a panel for every part."""
    parts = {part: _by_family(own) for part, own in table.groupby("part", sort=False)}
    figure, axes = panels(len(parts), 1, (7.5, 0.9 + 0.28 * max(map(len, parts.values()))))
    for panel, (part, means) in zip(axes, parts.items(), strict=True):
        heat_map(panel, means, (0, 1), "viridis")
        write_in(panel, means)
        panel.set_title(part, fontsize=9)
        panel.tick_params(axis="x", rotation=20)
    return figure


def draw_gains(table: pd.DataFrame) -> Figure:
    """IoU without and with plain adaptation, a panel for every part."""
    parts = {part: scores_by_candidate(own) for part, own in table.groupby("part", sort=False)}
    figure, axes = panels(len(parts), 2, (3.6, 3.4))
    for panel, (part, wide) in zip(axes, parts.items(), strict=True):
        panel.plot([0, 1], [0, 1], color="#aaaaaa", linewidth=1)
        panel.plot(wide[NONE], wide[ADAPTED], ".", color=WITH, markersize=4, alpha=0.6)
        panel.set_title(part, fontsize=9)
        panel.set_xlabel("IoU without adaptation", fontsize=8)
        panel.set_ylabel("IoU with it", fontsize=8)
        panel.tick_params(labelsize=7)
    return figure


def _by_family(table: pd.DataFrame) -> pd.DataFrame:
    wide = scores_by_candidate(table)
    families = table.drop_duplicates("record").set_index("record")["family"].reindex(wide.index)
    wide["best"] = wide.max(axis=1)
    return wide.groupby(families, sort=False).mean()[::-1]
