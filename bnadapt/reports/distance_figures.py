"""Figures of the distances between two domains along a network."""

import math
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import rankdata
from torch import Tensor

from bnadapt.distances import MEASURES, Histograms, Sketch
from bnadapt.distances.histograms import wasserstein_by_row
from bnadapt.reports.latent_findings import LatentFindings
from bnadapt.reports.page import rendered

COLOURS = {"noise_floor": "#888888", "unadapted": "#d1495b", "adapted": "#00798c", "source": "#444444"}
LABELS = {
    "noise_floor": "source against source",
    "unadapted": "without adaptation",
    "adapted": "with adaptation",
    "source": "source",
}
MOVED = 6


@lru_cache(1)
def pictures(findings: LatentFindings) -> dict[str, np.ndarray]:
    """The figures that the findings suffice for, rendered, by name: (H, W, 3) uint8."""
    figures = {"depth": depth_figure(findings)}
    if findings.has_noise_floor:
        figures["map"] = map_figure(findings)
    figures |= {"densities": density_figure(findings), "view": view_figure(findings)}
    if len(findings.layers) > 2:
        figures["agreement"] = agreement_figure(findings)
    return {name: rendered(figure) for name, figure in figures.items()}


def depth_figure(findings: LatentFindings) -> Figure:
    """Every measure along the network, in all states, with bands of one standard error."""
    measures = findings.measures
    rows = math.ceil(len(measures) / 3)
    figure = Figure(figsize=(15, 2.3 * rows + 1.8), layout="constrained")
    axes = figure.subplots(rows, min(3, len(measures)), sharex=True, squeeze=False)
    for panel, measure in zip(axes.flat, measures, strict=False):
        _draw_depth(panel, findings, measure)
    for panel in axes.flat[len(measures) :]:
        panel.axis("off")
    for panel in axes[-1]:
        _name_layers(panel, findings.layers)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return figure


def map_figure(findings: LatentFindings) -> Figure:
    """Layers by measures: the distance as a multiple of that of two halves of the source."""
    states = ["unadapted", "adapted"] if findings.adapted else ["unadapted"]
    floor = _table(findings, "noise_floor")
    times = [np.log10(np.maximum(_table(findings, state) / np.maximum(floor, 1e-12), 1e-2)) for state in states]
    top = max(1.0, float(np.max(times)))
    figure = Figure(figsize=(1.5 + 4.2 * len(states), 2.4 + 0.24 * len(findings.layers)), layout="constrained")
    axes = figure.subplots(1, len(states), sharey=True, squeeze=False)[0]
    for panel, state, values in zip(axes, states, times, strict=True):
        drawn = panel.imshow(values, cmap="magma", vmin=0, vmax=top, aspect="auto")
        panel.set_title(LABELS[state], fontsize=10)
        panel.set_xticks(range(len(findings.measures)), _titles(findings), rotation=60, ha="right", fontsize=8)
    axes[0].set_yticks(range(len(findings.layers)), findings.layers, fontsize=7)
    bar = figure.colorbar(drawn, ax=list(axes), shrink=0.6)
    bar.set_label("times the distance of two halves of the source")
    ticks = [tick for tick in (1, 3, 10, 30, 100, 300, 1000, 3000, 10000) if math.log10(tick) <= top]
    bar.set_ticks([math.log10(tick) for tick in ticks], labels=list(map(str, ticks)))
    return figure


def density_figure(findings: LatentFindings) -> Figure:
    """Densities of source, target and adapted target in the channel that moved most, for the layers that moved most."""
    moved = _moved_most(findings)
    columns = min(3, len(moved))
    figure = Figure(figsize=(4 * columns, 2.6 * math.ceil(len(moved) / columns) + 0.6), layout="constrained")
    axes = figure.subplots(math.ceil(len(moved) / columns), columns, squeeze=False)
    domains = {"source": findings.states.source, "unadapted": findings.states.target}
    domains |= {"adapted": findings.states.adapted} if findings.adapted else {}
    for panel, (layer, channel, distance) in zip(axes.flat, moved, strict=False):
        panel.set_title(f"{layer}, channel {channel}: {distance:.1f} standard deviations", fontsize=9)
        _draw_densities(panel, {state: sketches[layer] for state, sketches in domains.items()}, channel)
        panel.set_yticks([])
        panel.tick_params(labelsize=7)
    for panel in axes.flat[len(moved) :]:
        panel.axis("off")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return figure


def view_figure(findings: LatentFindings) -> Figure:
    """Latents of the widest layer in the plane of their largest variance, before and after."""
    clouds = {state: latents[findings.widest] for state, latents in findings.examples.items()}
    positions = principal_components(clouds, 2)
    panels = {"unadapted": "target"} | ({"adapted": "adapted"} if findings.adapted else {})
    figure = Figure(figsize=(0.6 + 4.4 * len(panels), 4.4), layout="constrained")
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for panel, (state, which) in zip(axes, panels.items(), strict=True):
        panel.scatter(*positions["source"].T, s=6, alpha=0.5, color=COLOURS["source"], label=findings.source)
        panel.scatter(*positions[which].T, s=6, alpha=0.5, color=COLOURS[state], label=findings.target)
        panel.set_title(f"{findings.widest}, {LABELS[state]}", fontsize=10)
        panel.set_xlabel("first principal axis")
        panel.legend(fontsize=8)
    axes[0].set_ylabel("second principal axis")
    return figure


def agreement_figure(findings: LatentFindings) -> Figure:
    """Rank correlation over layers between every two measures."""
    values = _table(findings, "unadapted")
    ranks = np.apply_along_axis(rankdata, 0, values)
    with np.errstate(invalid="ignore"):
        agreement = np.atleast_2d(np.corrcoef(ranks.T))
    figure = Figure(figsize=(7.2, 6.2), layout="constrained")
    panel = figure.subplots()
    drawn = panel.imshow(agreement, cmap="coolwarm", vmin=-1, vmax=1)
    titles = _titles(findings)
    panel.set_xticks(range(len(titles)), titles, rotation=60, ha="right", fontsize=8)
    panel.set_yticks(range(len(titles)), titles, fontsize=8)
    for (row, column), value in np.ndenumerate(agreement):
        shade = "white" if abs(value) > 0.6 else "black"
        panel.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=shade)
    figure.colorbar(drawn, ax=panel, shrink=0.7).set_label("Spearman's rank correlation over layers")
    return figure


def principal_components(clouds: Mapping[str, Tensor], axes: int) -> dict[str, np.ndarray]:
    """Coordinates (n, axes or C) of latents (n, C) along the first principal axes of all clouds together."""
    pooled = torch.cat(list(clouds.values())).double()
    centre = pooled.mean(0)
    along = torch.linalg.svd(pooled - centre, full_matrices=False).Vh[:axes].T
    return {name: ((latents.double() - centre) @ along).numpy() for name, latents in clouds.items()}


def _draw_depth(panel: Axes, findings: LatentFindings, measure: str) -> None:
    for state in ("noise_floor", "unadapted", "adapted"):
        rows = findings.of(measure, state)
        if not rows:
            continue
        values = np.array([row.value for row in rows])
        errors = np.nan_to_num([row.standard_error for row in rows])
        style = ":" if state == "noise_floor" else "-"
        panel.plot(values, style, color=COLOURS[state], marker=".", markersize=4, label=LABELS[state])
        panel.fill_between(range(len(rows)), values - errors, values + errors, color=COLOURS[state], alpha=0.2, lw=0)
    unit = MEASURES[measure].unit
    panel.set_title(MEASURES[measure].title + ("" if unit == "none" else f" [{unit}]"), fontsize=10)
    panel.set_ylim(bottom=0)
    panel.grid(alpha=0.3)


def _name_layers(panel: Axes, layers: list[str]) -> None:
    panel.set_xticks(range(len(layers)), layers, rotation=90, fontsize=6)
    panel.tick_params(labelbottom=True)


def _draw_densities(panel: Axes, sketches: Mapping[str, Sketch], channel: int) -> None:
    """Densities of a channel by state; a single highest bin, such as an activation's zeros, may be cut off."""
    held, heights = [], []
    for state, sketch in sketches.items():
        edges, density = _density(sketch.distribution().channels, channel)
        look = {"fill": True, "alpha": 0.3} if state == "source" else {}
        panel.stairs(density, edges, color=COLOURS[state], **look)
        label = LABELS[state] if state == "source" else f"target, {LABELS[state]}"
        panel.plot([], [], color=COLOURS[state], label=label)
        filled = np.flatnonzero(density * np.diff(edges) > 1e-3)
        held += [edges[filled[0]], edges[filled[-1] + 1]]
        heights += [np.sort(density)[-2]]
    panel.set_xlim(min(held), max(held))
    panel.set_ylim(0, 1.2 * max(heights) or None)


def _density(channels: Histograms, channel: int) -> tuple[np.ndarray, np.ndarray]:
    """Edges (65,) of coarse bins, and the density (64,) in them."""
    together = 8
    edges, shares = channels.bins.edges[channel].cpu().numpy(), channels.shares()[0, channel].cpu().numpy()
    edges, shares = edges[::together], shares.reshape(-1, together).sum(1)
    return edges, shares / np.diff(edges)


def _moved_most(findings: LatentFindings) -> list[tuple[str, int, float]]:
    """Layer, its channel that moved most, and the distance in source standard deviations, largest first."""
    moved = []
    for layer in findings.layers:
        source, target = (each[layer].distribution() for each in (findings.states.source, findings.states.target))
        distances = wasserstein_by_row(source.channels, target.channels)[0] / source.gaussian.std[0]
        moved.append((layer, int(distances.argmax()), float(distances.max())))
    return sorted(moved, key=lambda each: -each[2])[:MOVED]


def _table(findings: LatentFindings, state: str) -> np.ndarray:
    """Values (layers, measures)."""
    return np.array([[row.value for row in findings.of(measure, state)] for measure in findings.measures]).T


def _titles(findings: LatentFindings) -> list[str]:
    return [MEASURES[measure].title for measure in findings.measures]
