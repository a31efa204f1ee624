"""Figures of the study of class proportions."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bnadapt.experiments.plots import WITH, WITHOUT, bar_panels, heat_map, panels, write_in
from bnadapt.studies.pairing import with_pairs
from bnadapt.studies.proportions.case import ROWS
from bnadapt.studies.proportions.theory import adapted_iou, fitted_distance


def draw_maps(synthetic: pd.DataFrame) -> Figure:
    """IoU of every way over the shares of foreground in source and target."""
    figure, axes = panels(len(ROWS), 3, (3.4, 2.8))
    for panel, (column, label) in zip(axes, ROWS.items(), strict=True):
        numbers = synthetic.assign(**{name: synthetic[name].astype(float) for name in ("source", "target")})
        values = numbers.pivot_table(column, index="source", columns="target", aggfunc="mean")
        image = heat_map(panel, values, (0, 1), "viridis")
        write_in(panel, values)
        panel.set_title(label, fontsize=9)
        panel.set_xlabel("share in the target", fontsize=7)
        panel.set_ylabel("share in the source", fontsize=7)
    figure.colorbar(image, ax=axes, shrink=0.5)
    return figure


def draw_theory(synthetic: pd.DataFrame) -> Figure:
    """IoU after plain adaptation against the share of foreground in the target, measured and in closed form."""
    figure, (panel,) = panels(1, 1, (5.5, 4.0))
    shares = 1 / (1 + np.exp(-np.linspace(-4, 2, 200)))
    distance = fitted_distance(synthetic)
    for number, (source, rows) in enumerate(synthetic.groupby("source", sort=False)):
        expected = adapted_iou(np.full_like(shares, rows["foreground_source"].mean()), shares, distance)
        panel.plot(shares, expected, color=f"C{number}", label=f"{source} in the source")
        panel.plot(rows["foreground"], rows["iou_adapted"], "o", color=f"C{number}", markersize=4, alpha=0.5)
    panel.set_xscale("logit", one_half="0.5")
    panel.set_xlabel("share of foreground in the target")
    panel.set_ylabel("IoU with AdaBN")
    panel.legend(fontsize=8)
    panel.grid(alpha=0.3)
    return figure


def draw_pairs(real: pd.DataFrame) -> Figure:
    """IoU of the ways that matter on every real target, part by part."""
    colours = {"iou_unadapted": WITHOUT, "iou_adapted": WITH, "iou_corrected": "#edae49", "iou_oracle": "#aaaaaa"}
    columns = {ROWS[column]: (column, colour) for column, colour in colours.items()}
    shares = real.groupby(["part", "source", "target"])[["foreground_source", "foreground"]].transform("mean")
    labelled = with_pairs(real)
    labelled["pair"] += [f"\n{source:.2f} -> {target:.2f}" for source, target in shares.to_numpy()]
    return bar_panels(dict(list(labelled.groupby("part", sort=False))), "pair", columns, 1)


def draw_estimates(table: pd.DataFrame) -> Figure:
    """True against estimated share of foreground."""
    figure, (panel,) = panels(1, 1, (4.5, 4.0))
    for part, rows in table.groupby("part", sort=False):
        panel.plot(rows["foreground"], rows["foreground_estimated"], "o", markersize=4, alpha=0.6, label=part)
    panel.plot([0.01, 0.9], [0.01, 0.9], color="black", linewidth=1, linestyle=":")
    panel.set_xscale("logit")
    panel.set_yscale("logit")
    panel.set_xlabel("true share")
    panel.set_ylabel("estimated share")
    panel.legend(fontsize=7)
    return figure
