"""How far the statistics of every BatchNorm layer have moved."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from bnadapt.batchnorm import LayerShift

TITLES = {
    "mean": "shift of the mean,\nin source standard deviations",
    "log_variance": "change of\nthe log-variance",
}


def shift_figure(shifts: Mapping[str, LayerShift]) -> Figure:
    """A bar per layer, in the order of the network, root mean square over channels."""
    figure = Figure(figsize=(2.5 + 0.25 * len(shifts), 5.0), layout="constrained")
    panels = figure.subplots(2, 1, sharex=True)
    for panel, (which, title) in zip(panels, TITLES.items(), strict=True):
        panel.bar(range(len(shifts)), [getattr(shift, which) for shift in shifts.values()], color="#00798c")
        panel.set_ylabel(title)
        panel.grid(axis="y", alpha=0.3)
    panels[-1].set_xticks(range(len(shifts)), list(shifts), rotation=90, fontsize=7)
    return figure
