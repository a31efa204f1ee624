"""What a network says of other class proportions than the source's."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

CHOSEN, SOURCE = "#00798c", "#444444"


def scan_figure(record: Mapping[str, Any]) -> Figure:
    """Predicted share and uncertainty of every class but the first against the share q that statistics are for.

    Args:
        record: of the class proportions of an adaptation, with a `scan`.
    """
    labels = range(1, len(record["target"]))
    figure = Figure(figsize=(8.4, 0.6 + 3.2 * len(labels)), layout="constrained")
    for row, label in zip(figure.subplots(len(labels), 2, squeeze=False), labels, strict=True):
        scan = sorted(record["scan"], key=lambda each: each["proportions"][label])
        _draw_predicted(row[0], scan, label)
        _draw_uncertainty(row[1], scan, label)
        for panel in row:
            panel.axvline(record["source"][label], color=SOURCE, linestyle=":", label="the source's")
            panel.axvline(record["target"][label], color=CHOSEN, label="taken")
            panel.set_xscale("logit", one_half="0.5")
            panel.set_xlabel(f"share q of class {label} that statistics are corrected for")
            panel.grid(alpha=0.3)
            panel.legend(fontsize=8)
    return figure


def _draw_predicted(panel: Axes, scan: Sequence[Mapping[str, Any]], label: int) -> None:
    shares = [each["proportions"][label] for each in scan]
    predicted = np.clip([each["predicted"][label] for each in scan], 1e-3, 1 - 1e-3)
    panel.plot(shares, predicted, "o-", color="#d1495b", label="f(q)")
    panel.plot(shares, shares, color="black", linewidth=1, linestyle="--", label="f(q) = q")
    panel.set_yscale("logit", one_half="0.5")
    panel.set_title(f"share f(q) that is then predicted as class {label}", fontsize=10)


def _draw_uncertainty(panel: Axes, scan: Sequence[Mapping[str, Any]], label: int) -> None:
    shares = [each["proportions"][label] for each in scan]
    uncertainty = [np.nan if each["uncertainty"] is None else each["uncertainty"] for each in scan]
    panel.plot(shares, uncertainty, "o-", color="#d1495b", label="u(q)")
    panel.set_yscale("log")
    panel.set_title("uncertain pixels per boundary, u(q)", fontsize=10)
