"""Scores of candidates: table, findings and figure."""

import pandas as pd
from matplotlib.figure import Figure

from bnadapt.experiments.plots import heat_map, panels, write_in
from bnadapt.experiments.tables import mean_and_std
from bnadapt.gain.candidates import CANDIDATES, DEFAULT, NONE
from bnadapt.reports.document import Table

CLEAR = 0.02  # gain or loss of IoU that counts
FEATURE = "feature_"
FEWEST = 10  # records, from which on shares of them are given
OFTEN = 0.5  # share of the records
TITLES = {
    "pair": "natural pairs",
    "inverted pair": "inverted natural pairs",
    "sparse": "hardly any foreground",
    "sparse, inverted": "hardly any foreground, inverted",
    "dense": "much foreground",
    "dense, inverted": "much foreground, inverted",
    "own": "the source itself",
    "inversion": "inverted copies of the source",
}


def scores_by_candidate(table: pd.DataFrame) -> pd.DataFrame:
    """IoU of every record (rows) by every candidate (columns), in the candidates' order; without ensembles."""
    wide = table.pivot_table("iou", "record", "candidate", sort=False)
    return wide[[name for name in CANDIDATES if name in wide]]


def scores_of_ensembles(table: pd.DataFrame) -> pd.DataFrame:
    """IoU of every record (rows) by every ensemble of candidates (columns)."""
    return table[~table["candidate"].isin(CANDIDATES)].pivot_table("iou", "record", "candidate", sort=False)


def strata(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Records by family of targets, natural pairs first; a mean over different families is meaningless."""
    families = dict(list(table.groupby("family", sort=False)))
    first = {family: families.pop(family) for family in TITLES if family in families}
    return {TITLES.get(family, family): selected for family, selected in {**first, **families}.items()}


def candidates_table(table: pd.DataFrame) -> Table:
    """IoU of every candidate by stratum, of the best of each record (oracle), and of ensembles.

    Means, and their standard deviations over seeds.
    """
    rows = []
    for title, selected in strata(table).items():
        seeds = selected.drop_duplicates("record").set_index("record")["seed"]
        wide = _comparable(scores_by_candidate(selected))
        wide = wide.assign(oracle=wide.max(axis=1)).join(scores_of_ensembles(selected))
        by_seed = wide.groupby(seeds.reindex(wide.index)).mean()
        rows.append(
            {"targets": title, "records": str(len(wide)), **{name: mean_and_std(by_seed[name]) for name in by_seed}}
        )
    names = ["targets", "records", *scores_by_candidate(table), "oracle", *scores_of_ensembles(table)]
    return Table(names, [[row.get(name, "") for name in names] for row in rows])


def sentences(table: pd.DataFrame) -> list[str]:
    """Means of the first stratum, and how often the default helps and harms there; the rest is in the table."""
    title, rows = next(iter(strata(table).items()))
    wide = _comparable(scores_by_candidate(rows))
    listed = ", ".join(f"{name} {value:.3f}" for name, value in wide.mean().items())
    counted = f"{len(wide)} record{'s' if len(wide) > 1 else ''}"
    means = f"{title}, {counted}: IoU {listed}; the best of each {wide.max(axis=1).mean():.3f}."
    if len(wide) < FEWEST or DEFAULT not in wide:
        return [means]
    return [means, f"{title}: {_gains(DEFAULT, wide[DEFAULT] - wide[NONE])}"]


def _comparable(wide: pd.DataFrame) -> pd.DataFrame:
    """Candidates that were possible on most records, so that their means can be compared."""
    return wide.loc[:, wide.notna().mean() > OFTEN]


def _gains(name: str, gains: pd.Series) -> str:
    return (
        f"{name} helps by more than {CLEAR:g} in {_share(gains > CLEAR)} of the records, harms by more in"
        f" {_share(gains < -CLEAR)}, and costs {max(0.0, -gains.min()):.2f} at worst."
    )


def _share(chosen: pd.Series) -> str:
    return f"{100 * chosen.mean():.0f} %"


def draw_candidates(table: pd.DataFrame) -> Figure:
    """Mean IoU of every candidate (columns) by family of targets (rows), a panel for every part."""
    parts = {part: _by_family(selected) for part, selected in table.groupby("part", sort=False)}
    figure, axes = panels(len(parts), 1, (7.5, 0.9 + 0.28 * max(map(len, parts.values()))))
    for panel, (part, means) in zip(axes, parts.items(), strict=True):
        heat_map(panel, means, (0, 1), "viridis")
        write_in(panel, means)
        panel.set_title(part, fontsize=9)
        panel.tick_params(axis="x", rotation=20)
    return figure


def _by_family(table: pd.DataFrame) -> pd.DataFrame:
    wide = scores_by_candidate(table)
    families = table.drop_duplicates("record").set_index("record")["family"].reindex(wide.index)
    wide["best"] = wide.max(axis=1)
    return wide.groupby(families, sort=False).mean()[::-1]
