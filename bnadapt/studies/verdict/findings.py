"""Predictions of unseen records: table, findings and figure."""

import pandas as pd
from matplotlib.figure import Figure

from bnadapt.experiments.plots import WITH, panels
from bnadapt.reports.document import Table
from bnadapt.studies.verdict.fitting import INVERSION, NATURAL, natural_cases
from bnadapt.studies.verdict.scores import of_inversions, of_natural_pairs

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
}


def schemes_table(table: pd.DataFrame) -> Table:
    """All measures of natural pairs by scheme."""
    rows = []
    for scheme, own in table.groupby("scheme", sort=False):
        found = of_natural_pairs(own[own["predicted"].notna()], own)
        count = own[own["family"] == NATURAL]["record"].nunique()
        rows.append([scheme, str(count), *(f"{found[name]:.3f}" for name in HEADER)])
    return Table(["unseen", "records", *HEADER.values()], rows)


def sentences(table: pd.DataFrame) -> list[str]:
    """How good predictions, choices and the recognition of inverted images are under the first scheme."""
    scheme = table["scheme"].iloc[0]
    rows = table[table["scheme"] == scheme]
    predicted = rows[rows["predicted"].notna()]
    pairs = of_natural_pairs(predicted, rows)
    of_pairs = (
        f"{scheme}: IoU of the choice {pairs['choice']:.3f}, never adapting {pairs['never']:.3f}, always all layers"
        f" {pairs['all_layers']:.3f}, always the default {pairs['default']:.3f}, the best"
        f" candidate {pairs['oracle']:.3f}; rank correlation of predicted and true gains"
        f" {pairs['rank_correlation']:.2f}; where it says that its choice helps or that adaptation harms ("
        f"{pairs['decided']:.0%} of the cases), that is right in {pairs['right']:.0%}."
    )
    if not (rows["family"] == INVERSION).any():
        return [of_pairs]
    found = of_inversions(predicted, rows)
    return [
        of_pairs,
        f"{scheme}: {found['found']:.0%} of the inverted targets are recognised, {found['false_alarms']:.0%} of"
        f" the natural pairs are taken for such; IoU of the choice on inverted targets {found['choice']:.3f},"
        f" never adapting {found['never']:.3f}.",
    ]


def draw_predicted(table: pd.DataFrame) -> Figure:
    """Predicted against measured gains of natural pairs, a panel for every scheme."""
    schemes = dict(list(natural_cases(table).groupby("scheme", sort=False)))
    figure, axes = panels(len(schemes), 3, (3.2, 3.2))
    for panel, (scheme, own) in zip(axes, schemes.items(), strict=True):
        panel.axline((0, 0), slope=1, color="#aaaaaa", linewidth=1)
        panel.axhline(0, color="#dddddd", linewidth=1)
        panel.plot(own["predicted"], own["true_gain"], ".", color=WITH, markersize=4, alpha=0.6)
        panel.set_xlabel("predicted gain", fontsize=8)
        panel.set_ylabel("measured gain", fontsize=8)
        panel.set_title(scheme, fontsize=9)
        panel.tick_params(labelsize=7)
    return figure
