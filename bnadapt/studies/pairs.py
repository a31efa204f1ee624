"""All ordered pairs of the EM data sets that share a task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from bnadapt.adaptation import DEFAULT_POLICY
from bnadapt.data.intensity import IntensityName
from bnadapt.errors import InputError
from bnadapt.experiments.case import AdaptationCase
from bnadapt.experiments.evaluation import Evaluation
from bnadapt.experiments.networks import SourceNetwork, Training
from bnadapt.experiments.plots import WITH, WITHOUT, bars, legend, panels
from bnadapt.experiments.specs import Spec
from bnadapt.experiments.study import Study, StudyFigure
from bnadapt.experiments.tables import Tables, mean_and_std
from bnadapt.reports.document import Table

SPREAD = 2  # standard deviations over seeds that a gain must exceed to count
INCHES = 0.8  # for the name of a pair


@dataclass(frozen=True)
class DataSetGroup:
    """Data sets that share a task, and how networks are trained and evaluated on it.

    Args:
        sets: domains by name, at least two.
        training: training of the networks; its intensity is one of the study's.
        evaluation: evaluation of them.
    """

    sets: Mapping[str, Spec]
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)


class Pairs(Study):
    """Every data set as a source for every other one of its task.

    Args:
        tasks: tasks by name.
        intensities: scalings of intensities, each with separate networks; easier fixes that adaptation must be
            compared with.
        seeds: seeds of training.
        pictured: whether to show predictions of the first seed.
        policy: how source and target statistics are combined, as plain values; by default as `bnadapt adapt` does.

    Raises:
        InputError: a task has a single data set.
    """

    name = "pairs"
    title = "Pairs: real data sets on each other"
    question = (
        "A network is trained on one EM data set and segments another one of the same task: without adaptation, with"
        " it, and in comparison with a network that was trained on the target. Does it pay on real images, and in both"
        " directions?"
    )

    def __init__(
        self,
        tasks: Mapping[str, DataSetGroup],
        intensities: Sequence[IntensityName] = ("zscore", "dataset", "dtype"),
        seeds: Sequence[int] = (1, 2, 3),
        pictured: bool = True,
        policy: Mapping[str, Any] | None = None,
    ) -> None:
        for name, group in tasks.items():
            if len(group.sets) < 2:
                raise InputError(f"study.tasks: {name} has {len(group.sets)} data sets; a pair needs two.")
        self.tasks = tasks
        self.intensities = intensities
        self.seeds = seeds
        self.pictured = pictured
        self.policy = DEFAULT_POLICY.record() if policy is None else policy

    def cases(self) -> list[AdaptationCase]:
        """Every source on every target of its task, itself included, for every scaling and seed."""
        return [
            self._case(name, group, intensity, source, target, seed)
            for name, group in self.tasks.items()
            for intensity in self.intensities
            for seed in self.seeds
            for source in group.sets
            for target in group.sets
        ]

    def tables(self, measured: Sequence) -> Tables:
        """The table with the IoU of the network that was trained on the target, `iou_target_trained`."""
        tables = Tables.of(measured)
        keys = ["task", "intensity", "seed", "target"]
        rows = tables.table[tables.table["source"] == tables.table["target"]]
        trained = rows.set_index(keys)["iou_unadapted"].rename("iou_target_trained")
        return Tables(tables.table.join(trained, on=keys), tables.distances)

    def findings(self, tables: Tables) -> list[str]:
        """How many pairs gain or lose, how much of the gap to a target-trained network closes, and how asymmetric."""
        sentences = []
        for intensity, rows in _across(tables.table).groupby("intensity", sort=False):
            gains = _gains(rows)
            sentences += [f"{intensity}: {_means(rows, len(gains))}{_counts(gains)}"]
            sentences += [f"{intensity}: {each}" for each in (*_extremes(gains), _asymmetry(gains))]
        return sentences

    def summary(self, tables: Tables) -> Table:
        """IoU of every scaling over all pairs: mean, and standard deviation over seeds of that mean."""
        across = _across(tables.table)
        columns = {"iou_unadapted": "without", "iou_adapted": "with adaptation", "iou_target_trained": "target-trained"}
        rows = [
            [intensity, *(mean_and_std(group.groupby("seed")[column].mean()) for column in columns)]
            for intensity, group in across.groupby("intensity", sort=False)
        ]
        return Table(["intensity", *columns.values()], rows)

    def figures(self, tables: Tables) -> dict[str, StudyFigure]:
        """Bars for every ordered pair, by task and scaling."""
        return {
            "pairs": StudyFigure(
                "Every ordered pair",
                "Foreground IoU on the target's test block; whiskers are one standard deviation over seeds. The last"
                " bar is a network that was trained on the target.",
                self._draw(tables.table),
            )
        }

    def pictures(self, tables: Tables) -> dict[str, str]:
        """Predictions of the first seed."""
        first = _across(tables.table).query("seed == @self.seeds[0]") if self.pictured else tables.table[:0]
        return {
            row.record: f"{row.task}, {row.intensity}: {row.source} -> {row.target}, IoU {row.iou_unadapted:.2f}"
            f" without, {row.iou_adapted:.2f} with adaptation"
            for row in first.itertuples()
        }

    def _case(
        self, name: str, group: DataSetGroup, intensity: IntensityName, source: str, target: str, seed: int
    ) -> AdaptationCase:
        training = replace(group.training, intensity=intensity)
        labels = {"task": name, "intensity": intensity, "source": source, "target": target, "seed": seed}
        network = SourceNetwork(training, group.sets[source], seed)
        pictured = self.pictured and seed == self.seeds[0] and source != target
        return AdaptationCase(network, group.sets[target], group.evaluation, labels, self.policy, pictured)

    def _draw(self, table: pd.DataFrame) -> Figure:
        across = _across(table)
        keys = [(task, intensity) for task in self.tasks for intensity in self.intensities]
        columns = {"without adaptation": ("iou_unadapted", WITHOUT), "with adaptation": ("iou_adapted", WITH)}
        columns |= {"trained on the target": ("iou_target_trained", "#aaaaaa")}
        most = across.groupby("task")[["source", "target"]].apply(lambda rows: len(rows.drop_duplicates())).max()
        figure, axes = panels(len(keys), len(self.intensities), (max(5.2, INCHES * most), 2.6))
        for panel, (task, intensity) in zip(axes, keys, strict=True):
            rows = across[(across["task"] == task) & (across["intensity"] == intensity)]
            grouped = rows.groupby(["source", "target"], sort=False)
            series = {
                label: (grouped[column].mean(), grouped[column].std(), colour)
                for label, (column, colour) in columns.items()
            }
            bars(panel, [f"{source}\n-> {target}" for source, target in grouped.groups], series)
            panel.set_title(f"{task}, {intensity}" if len(self.intensities) > 1 else task, fontsize=9)
            panel.set_ylim(0, 1)
        legend(figure, axes[0])
        return figure


def _across(table: pd.DataFrame) -> pd.DataFrame:
    """The rows between two data sets."""
    return table[table["source"] != table["target"]]


def _gains(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds by task, source and target; NaN for a single seed."""
    return rows.groupby(["task", "source", "target"], sort=False)["gain"].agg(["mean", "std"])


def _means(rows: pd.DataFrame, pairs: int) -> str:
    gap = (rows["iou_target_trained"] - rows["iou_unadapted"]).mean()
    closed = f"; adaptation closes {rows.gain.mean() / gap:.0%} of that gap" if gap > 0 else ""
    return (
        f"the mean IoU over {pairs} ordered pairs is {rows.iou_unadapted.mean():.3f} without and"
        f" {rows.iou_adapted.mean():.3f} with adaptation, {rows.iou_target_trained.mean():.3f} with networks trained on"
        f" the target{closed}."
    )


def _counts(gains: pd.DataFrame) -> str:
    """In how many pairs adaptation gains or costs clearly; nothing where a single seed has no spread."""
    if gains["std"].isna().all():
        return " A single seed does not tell which gains are clear."
    clear = gains[gains["mean"].abs() > SPREAD * gains["std"]]
    return (
        f" In {(clear['mean'] > 0).sum()} pairs it gains and in {(clear['mean'] < 0).sum()} it costs more than"
        f" {SPREAD} standard deviations over seeds."
    )


def _extremes(gains: pd.DataFrame) -> list[str]:
    best, worst = gains["mean"].idxmax(), gains["mean"].idxmin()
    named = {"largest gain": best, "smallest gain, or largest cost": worst}
    return [
        f"{what}: {pair[1]} -> {pair[2]} ({pair[0]}), {_signed(gains['mean'][pair], gains['std'][pair])}."
        for what, pair in named.items()
    ]


def _asymmetry(gains: pd.DataFrame) -> str:
    """The pair whose two directions differ most in gain."""
    means = gains["mean"]
    differences = {pair: means[pair] - means[pair[0], pair[2], pair[1]] for pair in means.index}
    pair = max(differences, key=differences.get)
    back = means[pair[0], pair[2], pair[1]]
    return (
        f"the two directions differ most between {pair[1]} and {pair[2]} ({pair[0]}): {means[pair]:+.3f} one way,"
        f" {back:+.3f} back."
    )


def _signed(mean: float, std: float) -> str:
    return f"{mean:+.3f}" if pd.isna(std) else f"{mean:+.3f} ± {std:.3f}"
