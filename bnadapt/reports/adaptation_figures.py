"""Figures of an adaptation: how well statistics are known, how far they moved, and class proportions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnadapt.batchnorm import Convergence, LayerShift

ERRORS = {
    "mean": "standard error of the mean,\nin standard deviations",
    "log_variance": "standard error of\nthe log-variance",
}
SHIFTS = {"mean": "shift of the mean,\nin source standard deviations", "log_variance": "change of\nthe log-variance"}
TAKEN, SOURCE = "#00798c", "#444444"
SMALLEST = 1e-3  # smallest share drawn


def convergence_figure(convergence: Convergence) -> Figure:
    """Standard errors of the statistics by layer: curves by number of tiles, or dots if there was one check."""
    figure = Figure(figsize=(9.0, 6.0), layout="constrained")
    for panel, (which, title) in zip(figure.subplots(2, 1), ERRORS.items(), strict=True):
        curves = getattr(convergence, which)
        if len(convergence.tiles) > 1:
            for layer, errors in curves.items():
                panel.plot(convergence.tiles, errors, "o-", markersize=3, label=layer)
            panel.set_xlabel("tiles")
            panel.legend(fontsize=6, ncols=2, loc="center left", bbox_to_anchor=(1, 0.5))
        else:
            panel.plot(list(curves), [errors[-1] for errors in curves.values()], "o")
            panel.tick_params(axis="x", rotation=60, labelsize=7)
        panel.set_ylabel(title)
        panel.set_yscale("log")
        panel.grid(alpha=0.3)
    return figure


def shift_figure(shifts: Mapping[str, LayerShift]) -> Figure:
    """Shift of the statistics, root mean square over channels: a bar per layer, in the order of the network."""
    figure = Figure(figsize=(2.5 + 0.25 * len(shifts), 5.0), layout="constrained")
    panels = figure.subplots(2, 1, sharex=True)
    for panel, (which, title) in zip(panels, SHIFTS.items(), strict=True):
        panel.bar(range(len(shifts)), [getattr(shift, which) for shift in shifts.values()], color=TAKEN)
        panel.set_ylabel(title)
        panel.grid(axis="y", alpha=0.3)
    panels[-1].set_xticks(range(len(shifts)), list(shifts), rotation=90, fontsize=7)
    return figure


def proportions_figure(record: Mapping[str, Any]) -> Figure:
    """Predicted share and mismatch of every class but the first, by the share q that statistics are corrected for.

    Args:
        record: record of an adaptation's class proportions, with `candidates`.
    """
    labels = range(1, len(record["target"]))
    figure = Figure(figsize=(8.4, 0.6 + 3.2 * len(labels)), layout="constrained")
    for row, label in zip(figure.subplots(len(labels), 2, squeeze=False), labels, strict=True):
        candidates = sorted(record["candidates"], key=lambda each: each["proportions"][label])
        _draw_predicted(row[0], candidates, label)
        _draw_mismatch(row[1], candidates, label)
        for panel in row:
            panel.axvspan(*_shown(record["range"][label]), color=TAKEN, alpha=0.15, label="range of the estimate")
            panel.axvline(_shown(record["source"][label]), color=SOURCE, linestyle=":", label="the source's")
            panel.axvline(_shown(record["target"][label]), color=TAKEN, label="taken")
            panel.set_xscale("logit", one_half="0.5")
            panel.set_xlabel(f"share q of class {label} that statistics are corrected for")
            panel.grid(alpha=0.3)
            panel.legend(fontsize=8)
    return figure


def _draw_predicted(panel: Axes, candidates: Sequence[Mapping[str, Any]], label: int) -> None:
    shares = _shown([each["proportions"][label] for each in candidates])
    panel.plot(shares, _shown([each["predicted"][label] for each in candidates]), "o", color="#d1495b", label="f(q)")
    panel.plot(shares, shares, color="black", linewidth=1, linestyle="--", label="f(q) = q")
    panel.set_yscale("logit", one_half="0.5")
    panel.set_title(f"share f(q) that is then predicted as class {label}", fontsize=10)


def _draw_mismatch(panel: Axes, candidates: Sequence[Mapping[str, Any]], label: int) -> None:
    shares = _shown([each["proportions"][label] for each in candidates])
    for name, colour in (("distance", "#d1495b"), ("mismatch", "#edae49")):
        panel.plot(shares, [each[name] for each in candidates], "o", color=colour, label=name)
    panel.set_ylim(bottom=0)
    panel.set_title("outputs against those of the source's classes in proportions q", fontsize=10)


def _shown(shares: Any) -> np.ndarray:
    """Shares clipped to what a logit scale can show."""
    return np.clip(shares, SMALLEST, 1 - SMALLEST)
