"""Rank correlations of many columns with a score, and their confidence intervals."""

from collections.abc import Callable

import numpy as np
import pandas as pd

REPLICATES = 200


def spearman(columns: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of every column (n, K) with a score (n,); NaN for one that does not vary."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return pd.DataFrame(columns).rank().corrwith(pd.Series(score).rank()).to_numpy()


def kendall(columns: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Kendall's tau-b of every column (n, K) with a score (n,)."""
    return pd.DataFrame(columns).corrwith(pd.Series(score), method="kendall").to_numpy()


def interval(
    correlation: Callable[[np.ndarray, np.ndarray], np.ndarray],
    columns: np.ndarray,
    score: np.ndarray,
    clusters: pd.Series,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """95 % percentile intervals by a bootstrap of clusters: records of one source network depend on each other.

    Args:
        correlation: `spearman` or `kendall`.
        columns: (n, K).
        score: (n,).
        clusters: (n,) names; whole clusters are drawn with replacement.
        replicates: number of bootstrap replicates.
        seed: seed of the draws.

    Returns:
        Lower and upper ends (K,); NaN where there is a single cluster, which leaves the spread unknown.
    """
    generator = np.random.default_rng(seed)
    members = list(clusters.groupby(clusters.to_numpy()).indices.values())
    if len(members) < 2:
        return np.full(columns.shape[1], np.nan), np.full(columns.shape[1], np.nan)
    correlations = []
    for _ in range(replicates):
        sample = np.concatenate([members[each] for each in generator.integers(len(members), size=len(members))])
        correlations.append(correlation(columns[sample], score[sample]))
    low, high = np.nanpercentile(np.stack(correlations), [2.5, 97.5], axis=0)
    return low, high


def closest(table: pd.DataFrame) -> pd.DataFrame:
    """The distance that correlates most with every score, in every part and state: the first of equals."""
    order = table["spearman"].dropna().abs().sort_values(ascending=False, kind="stable").index
    first = table.loc[order].groupby(["part", "score", "state"], sort=False, observed=True).head(1)
    return first.sort_index()


def by_part(table: pd.DataFrame, score: str) -> pd.DataFrame:
    """Spearman's correlation with a score: distances (state, layer, measure) by parts."""
    rows = table[table["score"] == score]
    return rows.pivot_table("spearman", ["state", "layer", "measure"], "part", sort=False, observed=True)


def transferred(correlations: pd.DataFrame) -> pd.DataFrame:
    """Correlations of the distance that is best in the part of the row, in the part of the column."""
    best = correlations.loc[list(correlations.abs().idxmax())]
    return best.set_axis(correlations.columns, axis=0)


def mean_over_parts(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of a single part: the mean of Spearman's correlation over all parts."""
    keys = ["state", "score", "depth", "layer", "measure"]
    return table.groupby(keys, sort=False, observed=True)["spearman"].mean().reset_index()
