"""Fit the predictor to the table of candidates, and predict records that a fit has not seen."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.neighbors import NearestNeighbors

from bnadapt.errors import InputError
from bnadapt.experiments.tables import Tables
from bnadapt.files import sha256_of
from bnadapt.gain import LEARNT
from bnadapt.gain.forest import Forest
from bnadapt.gain.predictor import COVERAGE, STORED, Familiar, Predictor, spread
from bnadapt.studies.candidates.findings import FEATURE

TREES, SMALLEST_LEAF = 100, 6
SMALLEST_SCALE = 1e-3  # of features that hardly vary
KEPT = 1500  # rows that tell what is familiar
FAMILIAR = 0.99  # quantile of the rows' distances to the nearest row of another source
SCHEMES = {"source": ("source",), "data set": ("target_set", "source_set"), "family": ("family",)}
"""What a record that is predicted shares with none of those that the prediction was fitted to; all else it may."""


def columns() -> list[str]:
    """Columns of the table that hold the features that predictions are learnt from."""
    return [f"{FEATURE}{name}" for name in LEARNT]


def fitted_forest(table: pd.DataFrame) -> Forest:
    """Extremely randomised trees (Geurts et al. 2006) of IoU on features; both parts weigh alike."""
    trees = ExtraTreesRegressor(TREES, min_samples_leaf=SMALLEST_LEAF, max_features=0.5, random_state=0, n_jobs=1)
    trees.fit(table[columns()].to_numpy(np.float32), table["iou"], sample_weight=_weights(table))
    return Forest.of(trees)


def folds(table: pd.DataFrame, scheme: str) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Pairs of what a fit may see, and the records that it is to predict.

    Args:
        table: of candidates.
        scheme: of `SCHEMES`.
    """
    keys = SCHEMES[scheme]
    for group in table[keys[0]].unique():
        touched = (table[list(keys)] == group).any(axis=1)
        tested = table[keys[0]] == group
        yield table[~touched], table[tested]


def cross_predicted(table: pd.DataFrame, scheme: str) -> pd.DataFrame:
    """The table with what is predicted of records that a fit has not seen.

    Columns `predicted`, the forest's mean, `spread` of its trees, and `familiar`, whether it knows such features.

    Raises:
        InputError: there are fewer than three sources.
    """
    parts = []
    for seen, unseen in folds(table, scheme):
        if seen["source"].nunique() < 2 or unseen.empty:
            continue
        rows = torch.tensor(unseen[columns()].to_numpy(np.float32))
        by_tree, known = fitted_forest(seen)(rows), familiar_features(seen)
        parts.append(
            unseen.assign(
                predicted=by_tree.mean(1).numpy(), spread=spread(by_tree).numpy(), familiar=known.holds(rows).numpy()
            )
        )
    if not parts:
        raise InputError(f"The table has too few sources to leave one out by {scheme}; three are needed.")
    return pd.concat(parts)


def conformal(predicted: pd.DataFrame) -> float:
    """90 % quantile of the absolute errors, in units of the trees' spread; both parts weigh alike."""
    errors = ((predicted["iou"] - predicted["predicted"]).abs() / predicted["spread"]).to_numpy()
    order = errors.argsort()
    return float(errors[order][np.searchsorted(_weights(predicted).to_numpy()[order].cumsum() / len(errors), COVERAGE)])


def familiar_features(table: pd.DataFrame) -> Familiar:
    """What is familiar to a fit: as near to some row as 99 % of the rows are to the nearest one of another source."""
    rows = torch.tensor(table[columns()].to_numpy(np.float32))
    low, high = torch.quantile(rows, torch.tensor([0.25, 0.75]), dim=0)
    scale = torch.maximum(high - low, rows.std(0)).clamp(min=SMALLEST_SCALE)
    centre = rows.median(0).values
    scaled = (rows - centre) / scale
    kept = np.random.default_rng(0).permutation(len(scaled))[:KEPT]
    distances = _to_other_sources(scaled.numpy(), table["source"].to_numpy(), kept)
    return Familiar(centre, scale, scaled[kept], float(np.quantile(distances, FAMILIAR)))


def fitted_predictor(table: pd.DataFrame, digest: str) -> Predictor:
    """The predictor of a table of candidates; its intervals are of sources that it had not seen."""
    error = conformal(cross_predicted(table, "source"))
    return Predictor(list(LEARNT), fitted_forest(table), error, familiar_features(table), digest)


def _weights(table: pd.DataFrame) -> pd.Series:
    """Of rows, 1 on average, by which real and synthetic ones weigh alike."""
    return len(table) / table["part"].nunique() / table.groupby("part")["iou"].transform("size")


def _to_other_sources(rows: np.ndarray, sources: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Distance of every row to the nearest kept one of another source."""
    distances = np.empty(len(rows))
    for source in np.unique(sources):
        own, others = sources == source, kept[sources[kept] != source]
        distances[own] = NearestNeighbors(n_neighbors=1).fit(rows[others]).kneighbors(rows[own])[0][:, 0]
    return distances


def main(folder: Path, output: Path = STORED) -> None:
    """Fit to the table in a study's folder, and write the predictor that comes with bnadapt."""
    path = folder / "table.parquet"
    fitted_predictor(Tables.read(folder).table, sha256_of(path)).save(output)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
