"""All ordered pairs of the EM data sets that share a task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from bnadapt.adaptation import DEFAULT_POLICY
from bnadapt.data.intensity import IntensityName
from bnadapt.experiments.case import AdaptationCase
from bnadapt.experiments.plots import WITH, WITHOUT, bar_panels
from bnadapt.experiments.study import Study, StudyFigure
from bnadapt.experiments.tables import Tables, mean_and_std
from bnadapt.reports.document import Table
from bnadapt.studies.pairing import PAIR, DataSetGroup, across, check_pairs, pair_name, with_pairs

SPREAD = 2  # standard deviations over seeds that a gain must exceed to count
COLUMNS = {
    "without adaptation": ("iou_unadapted", WITHOUT),
    "with adaptation": ("iou_adapted", WITH),
    "trained on the target": ("iou_target_trained", "#aaaaaa"),
}


@dataclass
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

    tasks: Mapping[str, DataSetGroup]
    intensities: Sequence[IntensityName] = ("zscore", "dataset", "dtype")
    seeds: Sequence[int] = (1, 2, 3)
    pictured: bool = True
    policy: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check_pairs(self.tasks)
        self.policy = DEFAULT_POLICY.record() if self.policy is None else self.policy

    def cases(self) -> list[AdaptationCase]:
        """Every source on every target of its task, itself included, for every scaling and seed."""
        return [
            self._case(name, intensity, source, target, seed)
            for name, group in self.tasks.items()
            for intensity in self.intensities
            for seed in self.seeds
            for source, target in product(group.sets, repeat=2)
        ]

    def tables(self, measured: Sequence) -> Tables:
        """The table with the IoU of the network that was trained on the target, `iou_target_trained`."""
        tables = Tables.of(measured)
        keys = ["task", "intensity", "seed", "target"]
        rows = tables.table[tables.table["source"] == tables.table["target"]]
        trained = rows.set_index(keys)["iou_unadapted"].rename("iou_target_trained")
        return Tables(tables.table.join(trained, on=keys), tables.distances)

    def findings(self, tables: Tables) -> list[str]:
        """For each scaling, the mean IoU, the part of the gap that closes, and how many pairs gain or lose clearly."""
        return [
            f"{intensity}: {_means(rows)} {_clear_gains(_gains(rows))}"
            for intensity, rows in across(tables.table).groupby("intensity", sort=False)
        ]

    def summary(self, tables: Tables) -> Table:
        """IoU of every scaling over all pairs: mean, and standard deviation over seeds of that mean."""
        columns = {"iou_unadapted": "without", "iou_adapted": "with adaptation", "iou_target_trained": "target-trained"}
        rows = [
            [intensity, *(mean_and_std(group.groupby("seed")[column].mean()) for column in columns)]
            for intensity, group in across(tables.table).groupby("intensity", sort=False)
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
        return {
            row.record: f"{row.task}, {row.intensity}: {row.source} -> {row.target}, IoU {row.iou_unadapted:.2f}"
            f" without, {row.iou_adapted:.2f} with adaptation"
            for row in across(tables.table).query("seed == @self.seeds[0]").itertuples()
        }

    def _case(self, name: str, intensity: IntensityName, source: str, target: str, seed: int) -> AdaptationCase:
        group = self.tasks[name]
        labels = {"task": name, "intensity": intensity, "source": source, "target": target, "seed": seed}
        network = group.network(source, seed, intensity=intensity)
        pictured = self.pictured and seed == self.seeds[0] and source != target
        return AdaptationCase(network, group.sets[target], group.evaluation, labels, self.policy, pictured)

    def _draw(self, table: pd.DataFrame) -> Figure:
        several = len(self.intensities) > 1
        groups = with_pairs(across(table)).groupby(["task", "intensity"], sort=False)
        parts = {f"{task}, {intensity}" if several else task: rows for (task, intensity), rows in groups}
        return bar_panels(parts, "pair", COLUMNS, len(self.intensities))


def _gains(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds by task, source and target; NaN for a single seed."""
    return rows.groupby(PAIR, sort=False)["gain"].agg(["mean", "std"])


def _means(rows: pd.DataFrame) -> str:
    gap = (rows["iou_target_trained"] - rows["iou_unadapted"]).mean()
    closed = f"; adaptation closes {rows.gain.mean() / gap:.0%} of that gap" if gap > 0 else ""
    return (
        f"the mean IoU over {rows.groupby(PAIR).ngroups} ordered pairs is {rows.iou_unadapted.mean():.3f} without and"
        f" {rows.iou_adapted.mean():.3f} with adaptation, {rows.iou_target_trained.mean():.3f} with networks trained on"
        f" the target{closed}."
    )


def _clear_gains(gains: pd.DataFrame) -> str:
    """In how many pairs adaptation gains or costs clearly, which a single seed does not show; and the extremes."""
    means = gains["mean"]
    low, high = (f"{_signed(gains.loc[pair])}, {pair_name(pair)}," for pair in (means.idxmin(), means.idxmax()))
    extremes = f"The gain ranges from {low} to {high.rstrip(',')}."
    if gains["std"].isna().all():
        return extremes
    clear = means[means.abs() > SPREAD * gains["std"]]
    return (
        f"In {(clear > 0).sum()} pairs it gains and in {(clear < 0).sum()} it costs more than {SPREAD} standard"
        f" deviations over seeds. {extremes}"
    )


def _signed(gain: pd.Series) -> str:
    return f"{gain['mean']:+.3f}" if pd.isna(gain["std"]) else f"{gain['mean']:+.3f} ± {gain['std']:.3f}"
