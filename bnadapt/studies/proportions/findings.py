"""Findings from the table of the study of class proportions."""

import numpy as np
import pandas as pd

from bnadapt.experiments.specs import SYNTHETIC
from bnadapt.studies.proportions.case import ROWS

FACTOR = 3  # between the class proportions of source and target, from which on they differ much


def parts_of(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows by part, and of all real ones together where there are several."""
    parts = dict(list(table.groupby("part", sort=False)))
    real = table[table["part"] != SYNTHETIC]
    return {**parts, "all real targets": real} if real["part"].nunique() > 1 else parts


def by_difference(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows with much different class proportions, and the others, without empty groups."""
    ratio = rows["foreground"] / rows["foreground_source"]
    much = np.maximum(ratio, 1 / ratio) >= FACTOR
    split = {f"{FACTOR} times or more": rows[much], f"less than {FACTOR} times": rows[~much]}
    return {which: group for which, group in split.items() if len(group)}


def means_by_difference(table: pd.DataFrame) -> list[str]:
    """The mean IoU of every treatment on real targets, or else on synthetic ones, by difference of proportions."""
    real = table["part"] != SYNTHETIC
    kind, rows = ("real", table[real]) if real.any() else (SYNTHETIC, table)
    return [
        f"Where proportions differ {which} ({len(group)} {kind} records), the mean IoU is "
        + ", ".join(f"{group[column].mean():.3f} {label}" for column, label in ROWS.items())
        + "."
        for which, group in by_difference(rows).items()
    ]
