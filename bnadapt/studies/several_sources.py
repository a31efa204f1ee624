"""Networks trained on several data sets, each on the set that was left out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from bnadapt.errors import InputError
from bnadapt.experiments.case import AdaptationCase
from bnadapt.experiments.evaluation import Evaluation
from bnadapt.experiments.networks import SourceNetwork, Training
from bnadapt.experiments.plots import WITH, WITHOUT, bar_panels
from bnadapt.experiments.specs import Spec
from bnadapt.experiments.study import Study, StudyFigure
from bnadapt.experiments.tables import Tables, mean_and_std
from bnadapt.reports.document import Table

ALL_OTHERS = "all others"
IOU = {"without": "iou_unadapted", "AdaBN": "iou_adapted"}


@dataclass
class SeveralSources(Study):
    """For every data set, a network of all others together, and one of each other alone.

    Args:
        sets: at least three data sets of one task, by name.
        training: training of all networks, in the same number of steps.
        evaluation: evaluation of them.
        seeds: seeds of training.

    Raises:
        InputError: fewer than three sets are given.
    """

    name = "several-sources"
    title = "Several sources: one network of many data sets, on one that it has not seen"
    question = (
        "With several labelled data sets at hand, which of them should a network for a new one be trained on: the best"
        " single one, which nobody knows beforehand, or all of them?"
    )
    columns = ("record", "source", "target", "seed", "iou_unadapted", "iou_adapted")

    sets: Mapping[str, Spec]
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)
    seeds: Sequence[int] = (1, 2, 3)

    def __post_init__(self) -> None:
        if len(self.sets) < 3:
            raise InputError(f"study.sets has {len(self.sets)}; give at least three, so that two can be pooled.")

    def cases(self) -> list[AdaptationCase]:
        """Every network on the data set that was left out."""
        return [
            AdaptationCase(
                SourceNetwork(self.training, domain, seed),
                self.sets[target],
                self.evaluation,
                {"source": source, "target": target, "seed": seed},
            )
            for seed in self.seeds
            for target in self.sets
            for source, domain in self._sources(target)
        ]

    def findings(self, tables: Tables) -> list[str]:
        """The pooled source beside the best single one."""
        rows = tables.table.groupby(["target", "source"], sort=False)[list(IOU.values())].mean()
        pooled = rows.xs(ALL_OTHERS, level="source")
        single = rows.drop(index=ALL_OTHERS, level="source").groupby("target")
        means = {how: (pooled[column], single[column]) for how, column in IOU.items()}
        return [
            f"{how}: on the data set that it has not seen, a network of all others has a mean IoU of"
            f" {pooled_scores.mean():.3f}, the best single source {singles.max().mean():.3f},"
            f" single sources on average {singles.mean().mean():.3f}."
            for how, (pooled_scores, singles) in means.items()
        ]

    def summary(self, tables: Tables) -> Table:
        """A row for every set that is left out."""
        rows = []
        for target, group in tables.table.groupby("target", sort=False):
            pooled, single = group[group["source"] == ALL_OTHERS], group[group["source"] != ALL_OTHERS]
            best = single.groupby("source")["iou_adapted"].mean().idxmax()
            rows.append(
                [
                    target,
                    *(mean_and_std(pooled[column]) for column in IOU.values()),
                    best,
                    *(mean_and_std(single[single["source"] == best][column]) for column in IOU.values()),
                    *(f"{single[column].mean():.3f}" for column in IOU.values()),
                ]
            )
        heads = [f"{who}, {how}" for who in ("all others", "best single", "single, mean") for how in IOU]
        return Table(["left out", *heads[:2], "best single source", *heads[2:]], rows)

    def figures(self, tables: Tables) -> dict[str, StudyFigure]:
        """Bars of every network on the data set that was left out."""
        caption = (
            "Foreground IoU on the test block of the set that is left out, of networks trained on all others together,"
            " or on one of them, in as many steps; whiskers are one standard deviation over seeds. The best single"
            " source is known only with labels of the target."
        )
        return {"sources": StudyFigure("Every set left out", caption, self._draw(tables.table))}

    def _sources(self, target: str) -> Iterator[tuple[str, Spec]]:
        others = {name: domain for name, domain in self.sets.items() if name != target}
        yield ALL_OTHERS, {"class": "Pooled", "domains": others}
        yield from others.items()

    def _draw(self, table: pd.DataFrame) -> Figure:
        parts = {f"{target} left out": rows for target, rows in table.groupby("target", sort=False)}
        columns = {how: (column, colour) for (how, column), colour in zip(IOU.items(), (WITHOUT, WITH), strict=True)}
        return bar_panels(parts, "source", columns, 2)
