"""Findings from the table of the study of class proportions."""

import numpy as np
import pandas as pd

from bnadapt.studies.proportions.case import ROWS
from bnadapt.studies.proportions.estimators import ESTIMATORS, clipped_logit

FACTOR = 3  # between the class proportions of source and target, from which on they differ much
SYNTHETIC = "synthetic"


def parts_of(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows by part, and of all real ones together where there are several."""
    parts = dict(list(table.groupby("part", sort=False)))
    real = table[table["part"] != SYNTHETIC]
    return {**parts, "all real targets": real} if real["part"].nunique() > 1 else parts


def by_difference(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows whose class proportions differ much, and the others, without empty groups."""
    ratio = rows["foreground"] / rows["foreground_source"]
    much = np.maximum(ratio, 1 / ratio) >= FACTOR
    split = {f"{FACTOR} times or more": rows[much], f"less than {FACTOR} times": rows[~much]}
    return {which: group for which, group in split.items() if len(group)}


def of_part(part: str, rows: pd.DataFrame) -> list[str]:
    """The IoU of every treatment, where proportions differ much and where they do not."""
    sentences = []
    for which, group in by_difference(rows).items():
        listed = ", ".join(f"{group[column].mean():.3f} {label}" for column, label in ROWS.items())
        sentences.append(
            f"{part}, where proportions differ {which} ({len(group)} records): mean IoU {listed}. {_worst(group)}"
        )
    return sentences


def estimators_compared(table: pd.DataFrame) -> str:
    """The error of every estimator of the share of foreground, on synthetic and on real targets."""
    real = table["part"] != SYNTHETIC
    listed = [
        f"{label}: " + " and ".join(_error(table[which], f"estimate_{name}") for which in (~real, real) if which.any())
        for name, label in ESTIMATORS.items()
    ]
    kinds = " and ".join(kind for kind, which in (("synthetic", ~real), ("real", real)) if which.any())
    return (
        f"Error of the estimated share of foreground, difference of logits, mean (worst) over {kinds} targets:"
        f" {'; '.join(listed)}."
    )


def seconds_compared(table: pd.DataFrame) -> str:
    """The cost of the correction."""
    ratio = (table["seconds_corrected"] / table["seconds"]).median()
    return (
        f"Adapting with estimated proportions took {ratio:.1f} times as long as plain adaptation of the same few tiles,"
        " in the median: the estimate is 12 passes over up to 8 tiles, however many adaptation reads. Class moments,"
        " which are measured once per network, are not counted."
    )


def _error(rows: pd.DataFrame, column: str) -> str:
    errors = (rows[column].map(clipped_logit) - rows["foreground"].map(clipped_logit)).abs()
    return f"{errors.mean():.2f} ({errors.max():.2f})"


def _worst(rows: pd.DataFrame) -> str:
    change = rows.assign(change=rows["iou_corrected"] - rows["iou_adapted"])
    pairs = change.groupby(["part", "source", "target"], sort=False)["change"].mean()
    (_, source, target), least = pairs.idxmin(), pairs.min()
    return (
        f"Against AdaBN the correction changes the IoU, mean over seeds, by {least:+.3f} at worst"
        f" ({source} -> {target})."
    )
