"""Synthetic sources of two means against targets over a grid of them, and over what else may differ."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnadapt.data import Synthetic
from bnadapt.errors import InputError
from bnadapt.experiments.case import AdaptationCase
from bnadapt.experiments.evaluation import Evaluation
from bnadapt.experiments.networks import SourceNetwork, Training
from bnadapt.experiments.plots import IOU, before_and_after, heat_map, legend, panels
from bnadapt.experiments.study import Study, StudyFigure
from bnadapt.experiments.tables import Tables

WORKS = 0.9  # IoU
SOURCE_VALUES = {"foreground": 0.3, "object_size": 24.0, "correlation": 0.0}  # the defaults of Synthetic


@dataclass
class TwoMeanGrid(Study):
    """Foreground and background filled with white noise of two means; the source has one pair, a target any other.

    Beside the grid, one property of the target at a time differs from the source, with the source's means and with
    both means brighter, so that a shift of intensities and one of class proportions can be told apart.

    Args:
        sources: means of foreground and background, one source network each.
        levels: means of the targets, for foreground and background.
        std: standard deviation of the noise, in all domains.
        variations: values of other properties of targets: `std`, `foreground`, `object_size`, `shapes`.
        brighter: what is added to both means of the varied targets in the second row.
        pictured: targets for which the first source's predictions are shown.
        images: images of a target; half of them are for adaptation, half for the test.
        size: side of an image in pixels.
        seeds: seeds of training and of all images.
        training: training of the source networks.
        evaluation: evaluation of them.
    """

    name = "two-mean-grid"
    title = "Two means: which shifts of intensity does adaptation correct?"
    question = (
        "Foreground and background are white noise of two means. A network is trained on one pair of means and meets"
        " every other. Which targets does it segment, without and with re-estimated BatchNorm statistics? And what if"
        " something else than the means differs?"
    )

    sources: Sequence[tuple[float, float]] = ((0.3, 0.7), (0.7, 0.3))
    levels: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    std: float = 0.1
    variations: Mapping[str, Sequence[Any]] | None = None
    brighter: float = 0.2
    pictured: Sequence[tuple[float, float]] = ()
    images: int = 16
    size: int = 128
    seeds: Sequence[int] = (1, 2, 3)
    training: Training = field(default_factory=Training)
    evaluation: Evaluation | None = None

    def __post_init__(self) -> None:
        self.sources, self.pictured = ([tuple(means) for means in pairs] for pairs in (self.sources, self.pictured))
        self.variations = self.variations or {}
        self.evaluation = self.evaluation or Evaluation(tile_size=self.size, tiles=None)
        parameters = inspect.signature(Synthetic).parameters
        if unknown := set(self.variations) - set(parameters):
            raise InputError(f"study.variations: unknown property {min(unknown)}; take one of {', '.join(parameters)}.")
        if empty := [name for name, values in self.variations.items() if not len(values)]:
            raise InputError(f"study.variations: {empty[0]} has no values; give at least one, or leave it out.")
        if len(set(self.levels)) < 2:
            raise InputError(f"study.levels is {list(self.levels)}; give at least two, for a grid of different means.")
        if flat := [means for means in self.sources if means[0] == means[1]]:
            raise InputError(f"study.sources: the means {list(flat[0])} are equal, so images would be uniform.")

    def cases(self) -> list[AdaptationCase]:
        """Every source on every target of the grid and of the variations, with every seed."""
        cases = []
        for seed, source in product(self.seeds, self.sources):
            network = SourceNetwork(self.training, self._domain(source, seed, images=40, size=256), seed)
            cases += self._grid(network, source, seed) + self._varied(network, source, seed)
        return cases

    def findings(self, tables: Tables) -> list[str]:
        """How many targets of either polarity work."""
        grid = tables.table.query("part == 'grid' and mean_1 != mean_2")
        is_same = grid["same_polarity"].astype(bool)
        same, inverted = grid[is_same], grid[~is_same]
        return [
            f"Of the targets whose foreground is on the source's side of the background ({len(same)} records),"
            f" {_works(same.iou_unadapted)} reach an IoU of {WORKS} without adaptation and {_works(same.iou_adapted)}"
            f" with it (mean IoU {same.iou_unadapted.mean():.2f} and {same.iou_adapted.mean():.2f}).",
            f"Where the contrast is inverted ({len(inverted)} records), {_works(inverted.iou_unadapted)} do without"
            f" and {_works(inverted.iou_adapted)} with adaptation; the mean IoU with it is"
            f" {inverted.iou_adapted.mean():.3f}, the best {inverted.iou_adapted.max():.2f}.",
        ]

    def figures(self, tables: Tables) -> dict[str, StudyFigure]:
        """Heat maps of the grid, and curves over the other properties."""
        figures = {
            "grid": StudyFigure(
                "The grid",
                "Foreground IoU on the target, mean over seeds, by the target's means; a cross marks the source. Left"
                " without adaptation, in the middle with it, on the right the gain: blue is a loss. On"
                " the diagonal both means are equal and there is nothing to see: what is scored there is chance.",
                self._draw_grid(tables.table.query("part == 'grid'")),
            )
        }
        if self.variations:
            figures["variations"] = StudyFigure(
                "What else may differ",
                "IoU against one property of the target, with the source's means (top) and with both means brighter by"
                f" {self.brighter:g} (bottom); the dotted line is the source. Bands are one standard deviation over"
                " sources and seeds.",
                self._draw_variations(tables.table),
            )
        return figures

    def pictures(self, tables: Tables) -> dict[str, str]:
        """Captions of the requested pictures."""
        rows = tables.table[tables.table["pictured"]]
        return {
            row.record: f"source ({row.source}), target ({row.mean_1:g}, {row.mean_2:g}): IoU {row.iou_unadapted:.2f}"
            f" without, {row.iou_adapted:.2f} with adaptation; predicted foreground {row.foreground_unadapted:.0%} and"
            f" {row.foreground_adapted:.0%}, true {row.foreground:.0%}"
            for row in rows.itertuples()
        }

    def _domain(self, means: Sequence[float], seed: int, images: int, size: int, **options: Any) -> dict[str, Any]:
        noise = {"mean": list(means), "std": [self.std] * 2}
        details = {"images": images, "size": size, "seed": seed}
        return {"class": "Synthetic", **noise, **details, **options}

    def _target(self, means: Sequence[float], seed: int, **options: Any) -> dict[str, Any]:
        details = {"split": [0.5, 0.0, 0.5], **options}
        return self._domain(means, 1000 + seed, images=self.images, size=self.size, **details)

    def _grid(self, network: SourceNetwork, source: tuple[float, float], seed: int) -> list[AdaptationCase]:
        cases = []
        for means in product(self.levels, repeat=2):
            pictured = means in self.pictured and source == self.sources[0] and seed == self.seeds[0]
            labels = self._labels("grid", source, means, seed)
            labels |= {"same_polarity": (means[0] - means[1]) * (source[0] - source[1]) > 0, "pictured": pictured}
            cases.append(AdaptationCase(network, self._target(means, seed), self.evaluation, labels, pictured=pictured))
        return cases

    def _varied(self, network: SourceNetwork, source: tuple[float, float], seed: int) -> list[AdaptationCase]:
        cases = []
        for name, values in self.variations.items():
            for value, added in product(values, (0.0, self.brighter)):
                means = [round(mean + added, 6) for mean in source]
                labels = self._labels(name, source, means, seed)
                labels |= {"same_polarity": True, "pictured": False, "value": str(value), "brighter": added}
                target = self._target(means, seed, **{name: [value, value] if name == "std" else value})
                cases.append(AdaptationCase(network, target, self.evaluation, labels))
        return cases

    def _labels(self, part: str, source: Sequence[float], means: Sequence[float], seed: int) -> dict[str, Any]:
        labels = {"part": part, "source": f"{source[0]:g}, {source[1]:g}", "seed": seed}
        return labels | {"mean_1": means[0], "mean_2": means[1]}

    def _draw_grid(self, grid: pd.DataFrame) -> Figure:
        sources = list(dict.fromkeys(grid["source"]))
        figure, axes = panels(3 * len(sources), 3, (3.0, 2.7))
        columns = {**{column: label for column, (label, _) in IOU.items()}, "gain": "difference"}
        for number, (source, column) in enumerate((source, column) for source in sources for column in columns):
            rows = grid[grid["source"] == source]
            values = rows.pivot_table(column, index="mean_2", columns="mean_1", aggfunc="mean")
            is_gain = column == "gain"
            drawn = heat_map(axes[number], values, (-1, 1) if is_gain else (0, 1), "coolwarm" if is_gain else "viridis")
            self._mark(axes[number], values, [float(mean) for mean in source.split(",")])
            axes[number].set_title(f"source ({source}): {columns[column]}", fontsize=8)
            axes[number].set_ylabel("background mean", fontsize=7)
            axes[number].set_xlabel("foreground mean", fontsize=7)
            if number < 3:
                figure.colorbar(drawn, ax=axes[number::3], location="bottom", shrink=0.8, aspect=30, pad=0.01)
        return figure

    def _mark(self, panel: Axes, values: pd.DataFrame, source: Sequence[float]) -> None:
        """A cross where the target is like the source."""
        foreground, background = (
            np.interp(mean, levels, range(len(levels)))
            for mean, levels in zip(source, (list(values.columns), list(values.index)), strict=True)
        )
        panel.plot(foreground, background, "x", color="red", markersize=8)

    def _draw_variations(self, table: pd.DataFrame) -> Figure:
        names = list(self.variations)
        figure, axes = panels(2 * len(names), len(names), (3.2, 2.4))
        for number, (added, name) in enumerate((added, name) for added in (0.0, self.brighter) for name in names):
            rows = table[(table["part"] == name) & (table["brighter"] == added)]
            numbers = pd.to_numeric(rows["value"], errors="coerce")
            is_number = bool(numbers.notna().all())
            before_and_after(
                axes[number], rows.assign(value=numbers) if is_number else rows, "value", even=not is_number
            )
            axes[number].set_title(f"{_words(name)}, means + {added:g}", fontsize=8)
            if is_number and name in SOURCE_VALUES | {"std": 0}:
                like = self.std if name == "std" else SOURCE_VALUES[name]
                axes[number].axvline(like, color="black", linestyle=":", linewidth=1)
        legend(figure, axes[0])
        return figure


def _words(name: str) -> str:
    """The label of a parameter of Synthetic."""
    return {"std": "standard deviation"}.get(name, name.replace("_", " "))


def _works(scores: pd.Series) -> str:
    return f"{(scores >= WORKS).mean():.0%}"
