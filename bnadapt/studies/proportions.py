"""Targets whose class proportions differ from the source's, and statistics that are corrected for it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.special import logit

from bnadapt.data.intensity import IntensityName
from bnadapt.errors import InputError
from bnadapt.experiments.case import Case, RunLocation, TableRow
from bnadapt.experiments.evaluation import DomainEvaluation, Evaluation, cached_network
from bnadapt.experiments.networks import SourceNetwork, Training
from bnadapt.experiments.plots import WITH, WITHOUT, bars, heat_map, legend, panels, write_in
from bnadapt.experiments.specs import Spec
from bnadapt.experiments.study import Study, StudyFigure
from bnadapt.experiments.tables import Tables, mean_and_std
from bnadapt.reports.document import Table
from bnadapt.studies.pairs import DataSetGroup

FACTOR = 3  # between the class proportions of source and target, from which on they differ much
ROWS = {
    "iou_unadapted": "without",
    "iou_adapted": "AdaBN",
    "iou_mixed": "half source",
    "iou_offset": "AdaBN + logit offset",
    "iou_corrected": "corrected",
    "iou_oracle": "corrected (true proportions)",
}
SYNTHETIC = "synthetic"


@dataclass(frozen=True, eq=False)
class ProportionCase(Case):
    """A source network on a target, in every way to treat other class proportions.

    Args:
        network: the source network.
        target: the domain.
        evaluation: how to adapt and score.
        labels: see `Case`.
    """

    network: SourceNetwork
    target: Spec
    evaluation: Evaluation
    labels: Mapping[str, Any]

    @property
    def needs(self) -> SourceNetwork:
        """The source network."""
        return self.network

    def measure(self, location: RunLocation) -> list[TableRow]:
        """One row."""
        network = cached_network(self.network, location.networks, self.evaluation, location.device)
        return [{**_row(network.on(self.target)), "network": self.network.key}]


def _row(target: DomainEvaluation) -> TableRow:
    network, tiles = target.network, target.tiles.unlabelled(target.network.evaluation.tiles)
    started = time.perf_counter()
    plain = network.adapted(tiles, {}).bank
    plain_done = time.perf_counter()
    estimate, correction, scan = network.corrected(tiles, "estimated")
    corrected_done = time.perf_counter()
    true = target.scores.true
    oracle = network.corrected(tiles, [1 - true, true])[0].bank
    source, estimated = network.class_moments.proportions[1].item(), correction.proportions[1]
    banks = {"adapted": plain, "mixed": plain.blended(network.bank, 0.5), "oracle": oracle}
    banks["corrected"] = estimate.bank
    row: TableRow = {"iou_source": network.source.scores.iou, "iou_unadapted": target.scores.iou, "foreground": true}
    row |= {f"iou_{name}": network.scores(target.tiles, bank).iou for name, bank in banks.items()}
    row["iou_offset"] = network.scores(target.tiles, plain, _logit(estimated) - _logit(source)).iou
    return row | {
        "gain": row["iou_adapted"] - row["iou_unadapted"],
        "foreground_source": source,
        "foreground_estimated": estimated,
        "consistent": scan.consistent,
        "seconds": round(plain_done - started, 3),
        "seconds_corrected": round(corrected_done - plain_done, 3),
    }


class Proportions(Study):
    """Synthetic sources and targets of all class proportions, and every pair of real data sets.

    Args:
        source_shares: shares of foreground of the synthetic sources.
        target_shares: of the synthetic targets.
        brighter: added to both means of the synthetic targets, one after the other.
        training: of the synthetic networks.
        evaluation: of them.
        tasks: real data sets by task, as in the study `pairs`; none by default.
        intensity: scaling of intensities of the real data sets.
        seeds: of training.

    Raises:
        InputError: a share is not between 0 and 1.
    """

    name = "proportions"
    title = "Class proportions: statistics without their difference"
    question = (
        "Re-estimated statistics are those of the target's mixture of classes. Where its share of foreground differs"
        " from the source's, they carry that difference and move the decision threshold. Does it help to correct them"
        " for the proportions, which are estimated without labels?"
    )
    columns = ("record", "part", *ROWS, "foreground", "foreground_source", "foreground_estimated")

    def __init__(
        self,
        source_shares: Sequence[float] = (0.05, 0.15, 0.3, 0.5, 0.8),
        target_shares: Sequence[float] = (0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8),
        brighter: Sequence[float] = (0.0, 0.2),
        training: Training | None = None,
        evaluation: Evaluation | None = None,
        tasks: Mapping[str, DataSetGroup] | None = None,
        intensity: IntensityName = "dataset",
        seeds: Sequence[int] = (1, 2, 3),
    ) -> None:
        if wrong := [share for share in (*source_shares, *target_shares) if not 0 < share < 1]:
            raise InputError(f"study: there is no share of foreground {wrong[0]}; give shares between 0 and 1.")
        self.source_shares = source_shares
        self.target_shares = target_shares
        self.brighter = brighter
        self.training = training or Training()
        self.evaluation = evaluation or Evaluation()
        self.tasks = tasks or {}
        self.intensity = intensity
        self.seeds = seeds

    def cases(self) -> list[ProportionCase]:
        """Every source on every target, with every seed."""
        synthetic = [
            self._synthetic_case(source, target, added, seed)
            for seed in self.seeds
            for source in self.source_shares
            for target in self.target_shares
            for added in self.brighter
        ]
        real = [
            self._real_case(task, group, source, target, seed)
            for task, group in self.tasks.items()
            for seed in self.seeds
            for source in group.sets
            for target in group.sets
            if source != target
        ]
        return synthetic + real

    def findings(self, tables: Tables) -> list[str]:
        """What every way gives, where proportions differ much and where they do not, and how well they are known."""
        sentences = []
        for part, rows in _parts(tables.table).items():
            much = _differ_much(rows)
            for which, own in (
                (f"differ by a factor of {FACTOR} or more", rows[much]),
                (f"differ by less than a factor of {FACTOR}", rows[~much]),
            ):
                if len(own):
                    listed = ", ".join(f"{own[column].mean():.3f} {label}" for column, label in ROWS.items())
                    sentences.append(f"{part}, where proportions {which} ({len(own)} records): mean IoU {listed}.")
            sentences.append(f"{part}: {_error(rows)} {_worst(rows)}")
        return sentences

    def summary(self, tables: Tables) -> Table:
        """IoU of every way by part: mean, and standard deviation over seeds of that mean."""
        rows = []
        for part, own in _parts(tables.table).items():
            by_seed = own.groupby("seed")[[*ROWS]].mean()
            rows.append([part, *(mean_and_std(by_seed[column]) for column in ROWS)])
        return Table(["part", *ROWS.values()], rows)

    def figures(self, tables: Tables) -> dict[str, StudyFigure]:
        """Maps over the proportions of source and target, and bars for the real pairs."""
        table, figures = tables.table, {}
        synthetic = table[table["part"] == SYNTHETIC]
        if len(synthetic):
            figures["synthetic"] = StudyFigure(
                "Synthetic: share of foreground in source and target",
                "Foreground IoU on the target, mean over seeds, and over the intensities of the target.",
                _draw_maps(synthetic),
            )
        real = table[table["part"] != SYNTHETIC]
        if len(real):
            figures["pairs"] = StudyFigure(
                "Every ordered pair of real data sets",
                "Foreground IoU on the target's test block, with the share of foreground in source and target; whiskers"
                " are one standard deviation over seeds.",
                _draw_pairs(real),
            )
        figures["estimates"] = StudyFigure(
            "True and estimated share of foreground",
            "One dot per record: the share in the target's test block against the estimate from other tiles of the"
            " target, without labels.",
            _draw_estimates(table),
        )
        return figures

    def _synthetic_case(self, source: float, target: float, added: float, seed: int) -> ProportionCase:
        domain = {"class": "Synthetic", "std": [0.1, 0.1]}
        trained_on = {**domain, "mean": [0.7, 0.3], "foreground": source, "images": 40, "size": 256, "seed": seed}
        tested_on = {**domain, "mean": [round(0.7 + added, 6), round(0.3 + added, 6)], "foreground": target}
        tested_on |= {"images": 16, "size": 128, "seed": 1000 + seed, "split": [0.5, 0.0, 0.5]}
        labels = {"part": SYNTHETIC, "source": f"{source:g}", "target": f"{target:g}", "brighter": added, "seed": seed}
        return ProportionCase(SourceNetwork(self.training, trained_on, seed), tested_on, self.evaluation, labels)

    def _real_case(self, task: str, group: DataSetGroup, source: str, target: str, seed: int) -> ProportionCase:
        training = replace(group.training, intensity=self.intensity)
        labels = {"part": task, "source": source, "target": target, "seed": seed}
        network = SourceNetwork(training, group.sets[source], seed)
        return ProportionCase(network, group.sets[target], group.evaluation, labels)


def _parts(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows by part, and of all real ones together where there are several."""
    parts = dict(list(table.groupby("part", sort=False)))
    real = table[table["part"] != SYNTHETIC]
    return {**parts, "all real pairs": real} if real["part"].nunique() > 1 else parts


def _differ_much(rows: pd.DataFrame) -> pd.Series:
    ratio = rows["foreground"] / rows["foreground_source"]
    return np.maximum(ratio, 1 / ratio) >= FACTOR


def _error(rows: pd.DataFrame) -> str:
    errors = (rows["foreground_estimated"].map(_logit) - rows["foreground"].map(_logit)).abs()
    worst = rows.loc[errors.idxmax()]
    return (
        f"the logit of the estimated share of foreground is off by {errors.mean():.2f} on average, at worst by"
        f" {errors.max():.2f} ({worst.source} -> {worst.target}, {worst.foreground_estimated:.2f} for"
        f" {worst.foreground:.2f})."
    )


def _worst(rows: pd.DataFrame) -> str:
    change = rows.assign(change=rows["iou_corrected"] - rows["iou_adapted"])
    pairs = change.groupby(["part", "source", "target"], sort=False)["change"].mean()
    (_, source, target), least = pairs.idxmin(), pairs.min()
    return (
        f"Against AdaBN the correction changes the IoU, mean over seeds, by {least:+.3f} at worst"
        f" ({source} -> {target})."
    )


def _draw_maps(synthetic: pd.DataFrame) -> Figure:
    figure, axes = panels(len(ROWS), 3, (3.4, 2.8))
    for panel, (column, label) in zip(axes, ROWS.items(), strict=True):
        numbers = synthetic.assign(**{name: synthetic[name].astype(float) for name in ("source", "target")})
        values = numbers.pivot_table(column, index="source", columns="target", aggfunc="mean")
        drawn = heat_map(panel, values, (0, 1), "viridis")
        write_in(panel, values)
        panel.set_title(label, fontsize=9)
        panel.set_xlabel("share in the target", fontsize=7)
        panel.set_ylabel("share in the source", fontsize=7)
    figure.colorbar(drawn, ax=axes, shrink=0.5)
    return figure


def _draw_pairs(real: pd.DataFrame) -> Figure:
    parts = list(dict.fromkeys(real["part"]))
    columns = {"iou_unadapted": WITHOUT, "iou_adapted": WITH, "iou_corrected": "#edae49", "iou_oracle": "#aaaaaa"}
    figure, axes = panels(len(parts), 1, (8.0, 2.6))
    for panel, part in zip(axes, parts, strict=True):
        grouped = real[real["part"] == part].groupby(["source", "target"], sort=False)
        series = {
            ROWS[column]: (grouped[column].mean(), grouped[column].std(), colour) for column, colour in columns.items()
        }
        shares = grouped[["foreground_source", "foreground"]].mean()
        names = [
            f"{source}\n-> {target}\n{own.foreground_source:.2f} -> {own.foreground:.2f}"
            for (source, target), own in shares.iterrows()
        ]
        bars(panel, names, series)
        panel.set_title(part, fontsize=9)
        panel.set_ylim(0, 1)
    legend(figure, axes[0])
    return figure


def _draw_estimates(table: pd.DataFrame) -> Figure:
    figure, (panel,) = panels(1, 1, (4.5, 4.0))
    for part, own in table.groupby("part", sort=False):
        panel.plot(own["foreground"], own["foreground_estimated"], "o", markersize=4, alpha=0.6, label=part)
    panel.plot([0.01, 0.9], [0.01, 0.9], color="black", linewidth=1, linestyle=":")
    panel.set_xscale("logit")
    panel.set_yscale("logit")
    panel.set_xlabel("true share")
    panel.set_ylabel("estimated share")
    panel.legend(fontsize=7)
    return figure


def _logit(share: float) -> float:
    return float(logit(np.clip(share, 1e-4, 1 - 1e-4)))
