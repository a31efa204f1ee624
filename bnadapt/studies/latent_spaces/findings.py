"""Findings from the correlations of latent distances with scores, in sentences and in a table."""

import numpy as np
import pandas as pd

from bnadapt.reports.document import Table
from bnadapt.studies.latent_spaces.correlations import by_part, closest, transferred
from bnadapt.studies.latent_spaces.figures import CONTROL, SCORES, STATES


def sentences(table: pd.DataFrame) -> list[str]:
    """How closely distances follow every score, and how well the choice of a distance transfers between parts."""
    lines = [_sentence_on_closest(table, score) for score in SCORES]
    if table["part"].nunique() > 1:
        lines += [_sentence_on_transfer(table, score) for score in SCORES]
    return lines


def closest_distances(table: pd.DataFrame) -> Table:
    """For every part, score and state, the distance that follows the score most closely."""
    header = ["part (records)", "score", "state", "closest distance", "Spearman", "Kendall"]
    states = STATES | CONTROL
    rows = [
        [
            *(f"{row.part} ({row.n})", SCORES[row.score], states[row.state], f"{row.measure} in {row.layer}"),
            *(
                _with_interval(row.spearman, row.low, row.high),
                _with_interval(row.kendall, row.kendall_low, row.kendall_high),
            ),
        ]
        for row in _in_reading_order(closest(table)).itertuples()
    ]
    return Table(header, rows)


def _in_reading_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Part after part, in them score after score and state after state."""
    order = {name: number for number, name in enumerate([*rows["part"].unique(), *SCORES, *STATES, *CONTROL])}
    return rows.sort_values(["part", "score", "state"], key=lambda column: column.map(order))


def _sentence_on_closest(table: pd.DataFrame, score: str) -> str:
    ranges = {}
    for state, rows in closest(table[table["score"] == score]).groupby("state", sort=False, observed=True):
        size = rows.set_index("part")["spearman"].abs()
        ends = [f"{size[part]:.2f} ({part})" for part in dict.fromkeys([size.idxmin(), size.idxmax()])]
        ranges[state] = " to ".join(ends)
    named = {
        "unadapted": "for distances before adaptation",
        "adapted": "for distances left after it",
        "noise_floor": "for noise floors, which know no target",
    }
    listed = ", ".join(f"{ranges[state]} {name}" for state, name in named.items() if state in ranges)
    return f"{SCORES[score]}: the largest absolute rank correlation of a part is {listed}."


def _sentence_on_transfer(table: pd.DataFrame, score: str) -> str:
    known = by_part(table[table["state"].isin(STATES)], score)
    chosen = transferred(known).to_numpy()
    here = chosen.diagonal()
    there = (chosen * np.sign(here)[:, None])[~np.eye(len(chosen), dtype=bool)]
    state, layer, measure = known.dropna().mean(axis=1).abs().idxmax()
    best = known.loc[(state, layer, measure)]
    return (
        f"Chosen in one part and tested in the others, the distance that follows the {SCORES[score]} most closely keeps"
        f" a correlation of {np.nanmedian(there):+.2f} in the median (from {np.nanmin(there):+.2f} to"
        f" {np.nanmax(there):+.2f}; {np.abs(here).mean():.2f} in its own part; a minus means that it turns around). On"
        f" average over all parts {measure} in {layer}, {STATES[state]} adaptation, follows it best: {best.mean():+.2f}"
        f" (from {best.min():+.2f} to {best.max():+.2f})."
    )


def _with_interval(value: float, low: float, high: float) -> str:
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]" if np.isfinite(low) else f"{value:+.2f}"
