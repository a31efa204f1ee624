"""Findings from the correlations of latent distances with scores, in sentences and in a table."""

import numpy as np
import pandas as pd

from bnadapt.reports.document import Table
from bnadapt.studies.latent_spaces.correlations import closest
from bnadapt.studies.latent_spaces.figures import CONTROL, SCORES, STATES


def sentences(table: pd.DataFrame) -> list[str]:
    """How closely distances follow every score, from the worst part to the best."""
    before = filter(None, [_range(table, score, "unadapted") for score in ("iou_unadapted", "gain")])
    after = filter(None, [_range(table, "iou_adapted", "adapted")])
    listed = [*before, *(f"{each} (distances left after adaptation)" for each in after)]
    return [f"Largest absolute rank correlation with a distance before adaptation, by part: {'; '.join(listed)}."]


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


def _range(table: pd.DataFrame, score: str, state: str) -> str | None:
    """The rank correlations of a score with the closest distance, from the worst part to the best; None without any."""
    rows = closest(table[(table["score"] == score) & (table["state"] == state)])
    if rows.empty:
        return None
    size = rows.set_index("part")["spearman"].abs()
    ends = (f"{size[part]:.2f} ({part})" for part in dict.fromkeys([size.idxmin(), size.idxmax()]))
    return f"{SCORES[score]} {' to '.join(ends)}"


def _with_interval(value: float, low: float, high: float) -> str:
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]" if np.isfinite(low) else f"{value:+.2f}"
