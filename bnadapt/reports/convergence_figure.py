"""How well the statistics of an adaptation are known, layer by layer."""

from matplotlib.figure import Figure

from bnadapt.batchnorm import Convergence

TITLES = {
    "mean": "standard error of the mean,\nin standard deviations",
    "log_variance": "standard error of\nthe log-variance",
}


def convergence_figure(convergence: Convergence) -> Figure:
    """A curve per layer against the number of tiles where there were several checks; else a dot per layer."""
    figure = Figure(figsize=(9.0, 6.0), layout="constrained")
    for panel, (which, title) in zip(figure.subplots(2, 1), TITLES.items(), strict=True):
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
