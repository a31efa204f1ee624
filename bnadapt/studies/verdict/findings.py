"""Predictions of unseen records: table, findings and figure."""

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from bnadapt.experiments.plots import WITH, WITHOUT, legend, panels, spread
from bnadapt.reports.document import Table
from bnadapt.studies.candidates.findings import TITLES
from bnadapt.studies.verdict.fitting import NATURAL, natural_cases
from bnadapt.studies.verdict.scores import correlations, of_family, of_natural_pairs

SYNTHETIC = {False: "real records alone", True: "with synthetic records"}
HEADER = {
    "choice": "choice",
    "never": "never",
    "all_layers": "all layers",
    "default": "default",
    "ceiling": "best of the other seed",
    "oracle": "best candidate",
    "rank_correlation": "rank correlation",
    "right": "sign right",
    "decided": "decided",
    "worse": "worse by 0.03",
    "worst": "worst",
    "inverted": "taken for inverted",
    "suspected": "polarity left to a person",
    "always_self_trained": "always self-trained",
    "advised": "self-training advised",
    "self_trained": "choice with it",
    "self_trained_worse": "worse by 0.03 with it",
    "self_trained_worst": "worst with it",
}


def schemes_table(table: pd.DataFrame) -> Table:
    """All measures of natural pairs by scheme, and by task in the first scheme."""
    schemes = dict(list(table.groupby("scheme", sort=False)))
    first, rows = next(iter(schemes.items()))
    lines = [_measures(scheme, predicted) for scheme, predicted in schemes.items()]
    tasks = rows.loc[rows["family"] == NATURAL, "task"].unique()
    lines += [_measures(f"{first}, {task}", rows, task) for task in tasks]
    predicted = rows[rows["predicted"].notna()]
    for family in _others(rows):
        lines.append(_line(f"{first}, {TITLES.get(family, family)}", of_family(predicted, rows, family)))
    return Table(["unseen", "records", *HEADER.values()], lines)


def _others(rows: pd.DataFrame) -> list[str]:
    """Families of targets other than natural pairs."""
    return [family for family in rows["family"].unique() if family != NATURAL]


def sentences(table: pd.DataFrame) -> list[str]:
    """How good predictions and choices are under the first scheme, and what the advice to self-train adds."""
    scheme = table["scheme"].iloc[0]
    rows = table[table["scheme"] == scheme]
    pairs = of_natural_pairs(rows[rows["predicted"].notna()], rows)
    of_pairs = (
        f"{scheme}: IoU of the choice {pairs['choice']:.3f}, never adapting {pairs['never']:.3f}, always all layers"
        f" {pairs['all_layers']:.3f}, always the default {pairs['default']:.3f}, the best"
        f" candidate {pairs['oracle']:.3f}; rank correlation of predicted and true gains"
        f" {pairs['rank_correlation']:.2f}; where it says that its choice helps or that adaptation harms ("
        f"{pairs['decided']:.0%} of the cases), that is right in {pairs['right']:.0%}."
    )
    return [of_pairs, *_of_self_training(scheme, pairs)]


def _of_self_training(scheme: str, pairs: Mapping[str, float]) -> list[str]:
    """What following the advice to self-train gives; nothing where self-training was not measured."""
    if not pairs["advised"]:
        return []
    return [
        f"{scheme}: self-training is advised in {pairs['advised']:.0%} of the cases, and is better than no adaptation"
        f" in {pairs['helped']:.0%} of these; IoU if that is followed {pairs['self_trained']:.3f}, always"
        f" self-trained {pairs['always_self_trained']:.3f}."
    ]


def _measures(name: str, rows: pd.DataFrame, task: str | None = None) -> list[str]:
    return _line(name, of_natural_pairs(rows[rows["predicted"].notna()], rows, task))


def _line(name: str, measures: Mapping[str, float]) -> list[str]:
    values = [measures.get(each, math.nan) for each in HEADER]
    return [name, str(measures["records"]), *("" if math.isnan(value) else f"{value:.3f}" for value in values)]


def draw_learning(table: pd.DataFrame) -> Figure:
    """Rank correlations against the number of tissues and laboratories, with and without synthetic records."""
    figure, (panel,) = panels(1, 1, (4.6, 3.0))
    rows = correlations(table).rename("rank correlation").reset_index()
    for (with_synthetic, label), colour in zip(SYNTHETIC.items(), (WITHOUT, WITH), strict=True):
        selected = rows[rows["with_synthetic"] == with_synthetic]
        spread(panel, selected, "origins", "rank correlation", label, colour)
    panel.set_xlabel("tissues and laboratories seen")
    panel.set_ylabel("rank correlation")
    panel.set_xticks(sorted(rows["origins"].unique()))
    panel.set_ylim(0, 1)
    legend(figure, panel)
    return figure


def draw_predicted(table: pd.DataFrame) -> Figure:
    """Predicted against measured gains of natural pairs, a panel for every scheme."""
    schemes = dict(list(natural_cases(table).groupby("scheme", sort=False)))
    figure, axes = panels(len(schemes), 3, (3.2, 3.2))
    for panel, (scheme, cases) in zip(axes, schemes.items(), strict=True):
        panel.axline((0, 0), slope=1, color="#aaaaaa", linewidth=1)
        panel.axhline(0, color="#dddddd", linewidth=1)
        panel.plot(cases["predicted"], cases["true_gain"], ".", color=WITH, markersize=4, alpha=0.6)
        panel.set_xlabel("predicted gain", fontsize=8)
        panel.set_ylabel("measured gain", fontsize=8)
        panel.set_title(scheme, fontsize=9)
        panel.tick_params(labelsize=7)
    return figure
