"""Fit the predictor to tables of candidates, and predict records that a fit has not seen."""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import nnls
from sklearn.linear_model import LogisticRegression

from bnadapt.errors import InputError
from bnadapt.experiments.specs import REAL
from bnadapt.experiments.tables import Tables
from bnadapt.files import sha256_of
from bnadapt.gain import CANDIDATES
from bnadapt.gain.candidates import ADAPTED, DEFAULT, INVERTED, NONE
from bnadapt.gain.features import POLARITY, PROMISING
from bnadapt.gain.predictor import BOUND, STORED, KnownCase, LinearScore, Predictor, probability
from bnadapt.studies.candidates.findings import FEATURE

COVERAGE = 0.9  # of intervals
SHRINKAGE = 1.0  # ridge penalty on weights of features that have a mean square of 1
LOGISTIC = 10.0  # inverse penalty of the same
DRAWS = 10  # of the tissues and laboratories that a fit sees, for the learning curve
SMALLEST_SCALE = 1e-6  # of features that hardly vary
NATURAL, INVERSION = "pair", "inversion"  # families of targets
SAME_ORIGIN = {"isbi2012": "vnc", "dark-rats": "bright-rats"}
"""Sets that share their tissue, or their laboratory, with another one."""
STRICT, SOURCE, TASK = "strict", "source", "task"
SCHEMES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    STRICT: (("source_origin", "target_origin"), ("source_origin", "target_origin")),
    SOURCE: (("source_origin",), ("source_origin",)),
    TASK: (("task",), ("task",)),
}
"""Records that have the same first columns are predicted together, by a fit to all that have no value of these in any
of the second columns."""


def prepared(table: pd.DataFrame) -> pd.DataFrame:
    """A table of the candidates that leave images as they are, with `true_gain` and the origins of source and target.

    For `inverted_consistency` and `adapted_width` of the record see `bnadapt.gain.prediction.Prediction`.
    Columns of features in `PROMISING` become their differences from no adaptation's.
    """
    rows = table[table["candidate"].isin([name for name, each in CANDIDATES.items() if each.keeps_images])]
    unadapted = rows[rows["candidate"] == NONE].set_index("record").loc[rows["record"]]
    features = [f"{FEATURE}{name}" for name in PROMISING]
    origins = {f"{which}_origin": rows[f"{which}_set"].replace(SAME_ORIGIN) for which in ("source", "target")}
    differences = {name: rows[name].to_numpy() - unadapted[name].to_numpy() for name in features}
    inverted, adapted = (table[table["candidate"] == name].set_index("record") for name in (INVERTED, ADAPTED))
    return rows.assign(
        true_gain=rows["iou"].to_numpy() - unadapted["iou"].to_numpy(),
        inverted_consistency=rows["record"].map(inverted[f"{FEATURE}flip_consistency"]),
        adapted_width=rows["record"].map(adapted[f"{FEATURE}width"]),
        **differences,
        **origins,
    )


def fitted_gain(rows: pd.DataFrame) -> LinearScore:
    """Least squares of gains on differences of features; weights have the features' signs, all parts weigh alike."""
    rows = rows[(rows["candidate"] != NONE) & (rows["family"] != INVERSION)]
    weights = rows.groupby("part")["true_gain"].transform("size").rdiv(1.0).to_numpy() / rows["part"].nunique()
    signs = np.array(list(PROMISING.values()))
    features = rows[[f"{FEATURE}{name}" for name in PROMISING]].to_numpy()
    scales = np.sqrt(weights @ features**2) + SMALLEST_SCALE
    scaled = signs * np.clip(features / scales, -BOUND, BOUND) * np.sqrt(weights)[:, None]
    penalty = np.sqrt(SHRINKAGE) * np.eye(len(signs))
    target = np.concatenate([rows["true_gain"] * np.sqrt(weights), np.zeros(len(signs))])
    return _score(PROMISING, signs * nnls(np.concatenate([scaled, penalty]), target)[0], scales)


def fitted_polarity(rows: pd.DataFrame) -> LinearScore:
    """Logistic regression of whether a real target is inverted; each also counts with its polarity changed."""
    rows = rows[(rows["candidate"] == ADAPTED) & (rows["part"] == REAL)]
    features = rows[[f"{FEATURE}{name}" for name in POLARITY]].to_numpy()
    scales = np.sqrt((features**2).mean(0)) + SMALLEST_SCALE
    scaled, inverted = np.clip(features / scales, -BOUND, BOUND), (rows["family"] == INVERSION).to_numpy()
    model = LogisticRegression(C=LOGISTIC, fit_intercept=False)
    model.fit(np.concatenate([scaled, -scaled]), np.concatenate([inverted, ~inverted]))
    return _score(POLARITY, model.coef_[0], scales)


def folds(rows: pd.DataFrame, scheme: str) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Pairs of the records that a fit may see, and the real ones that it is to predict.

    Records that are `held_out` (see `read`) are predicted and never seen.

    Args:
        rows: see `prepared`.
        scheme: of `SCHEMES`.
    """
    keys, hidden = SCHEMES[scheme]
    for values, unseen in rows[rows["part"] == REAL].groupby(list(keys), sort=False):
        yield rows[~(rows["held_out"] | rows[list(hidden)].isin(values).any(axis=1))], unseen


def cross_predicted(table: pd.DataFrame, scheme: str) -> pd.DataFrame:
    """Real records, with the predictions of a fit that has not seen the like.

    Columns `predicted`, a gain, and `exchanged`, the probability that bright and dark are.

    Raises:
        InputError: there are too few sources.
    """
    parts = []
    for seen, unseen in folds(prepared(table), scheme):
        if not (seen["part"] == REAL).any():
            raise InputError(f"The table has too few sources to predict records by {scheme}; three are needed.")
        predicted, exchanged = _scored(fitted_gain(seen), unseen), _exchanged(fitted_polarity(seen), unseen)
        parts.append(unseen.assign(predicted=predicted, exchanged=exchanged))
    return pd.concat(parts)


def learning_curve(table: pd.DataFrame) -> pd.DataFrame:
    """Natural pairs, predicted as in the strict scheme by fits to the records of ever more tissues and laboratories.

    Columns `origins`, how many of these a fit sees; `draw`, which ones at random; `with_synthetic`, whether it sees
    the synthetic records, too. It is empty if a pair leaves no other tissue or laboratory to see.
    """
    rows = prepared(table)
    pairs = [(seen, natural_cases(unseen)) for seen, unseen in folds(rows, STRICT)]
    pairs = [(seen, unseen) for seen, unseen in pairs if len(unseen)]
    most = min((seen.loc[seen["part"] == REAL, "source_origin"].nunique() for seen, _ in pairs), default=0)
    parts, generator = [], np.random.default_rng(0)
    for (seen, unseen), count, draw in product(pairs, range(1, most + 1), range(DRAWS)):
        is_real = seen["part"] == REAL
        drawn = generator.choice(seen.loc[is_real, "source_origin"].unique(), count, replace=False)
        within = seen[["source_origin", "target_origin"]].isin(drawn).all(axis=1) & is_real
        for with_synthetic, fitted in ((False, within), (True, within | ~is_real)):
            labels = {"origins": count, "draw": draw, "with_synthetic": with_synthetic}
            parts.append(unseen.assign(predicted=_scored(fitted_gain(seen[fitted]), unseen), **labels))
    return pd.concat(parts) if parts else rows.head(0).assign(predicted=[], origins=[], draw=[], with_synthetic=[])


def with_self_training(table: pd.DataFrame, learnt: pd.DataFrame) -> pd.DataFrame:
    """A table of candidates with `self_trained`: IoU of self-training from all layers, where it was measured.

    Args:
        table: of the study of candidates.
        learnt: of the study of self-training, whose gain over its own start is added to the IoU of `adapted`.
    """
    keys = ["task", "source", "target", "seed"]
    rows = learnt[learnt["start"] == ADAPTED].pivot_table("iou", keys, "method")
    gains = (rows["self-training"] - rows["statistics"]).rename("self_trained").reset_index()
    adapted = table[(table["candidate"] == ADAPTED) & (table["family"] == NATURAL)]
    adapted = adapted[["record", "iou", *keys]].merge(gains, "left", keys).set_index("record")
    return table.assign(self_trained=table["record"].map(adapted["iou"] + adapted["self_trained"]))


def natural_cases(predicted: pd.DataFrame) -> pd.DataFrame:
    """The rows of natural pairs that say how good predictions of gains are."""
    return predicted[(predicted["family"] == NATURAL) & (predicted["candidate"] != NONE)]


def self_trained_cases(predicted: pd.DataFrame) -> pd.DataFrame:
    """The natural pairs on which self-training was measured: predictions for all layers, its gain as `true_gain`."""
    unadapted = predicted[predicted["candidate"] == NONE].set_index("record")["iou"]
    rows = predicted[(predicted["candidate"] == ADAPTED) & predicted["self_trained"].notna()]
    return rows.assign(true_gain=rows["self_trained"] - unadapted.reindex(rows["record"]).to_numpy())


def fitted_predictor(table: pd.DataFrame, digests: Sequence[str]) -> Predictor:
    """The predictor of tables of candidates, with what is known of strict predictions of natural pairs.

    Args:
        table: see `with_self_training`.
        digests: SHA-256 of the tables.
    """
    rows = prepared(table)
    predicted = cross_predicted(table, STRICT)
    cases = natural_cases(predicted)
    error = float((cases["predicted"] - cases["true_gain"]).abs().quantile(COVERAGE))
    known = {name: rows[f"{FEATURE}{name}"] for name in PROMISING}
    limits = {name: (round(float(each.min()), 4), round(float(each.max()), 4)) for name, each in known.items()}
    loss = max(0.0, -float(cases.loc[cases["candidate"] == DEFAULT, "true_gain"].min()))
    return Predictor(
        fitted_gain(rows),
        fitted_polarity(rows),
        range=limits,
        error=round(error, 4),
        cases=known_cases(cases),
        self_trained=known_cases(self_trained_cases(predicted)),
        default_loss=round(loss, 4),
        records=list(digests),
    )


def known_cases(rows: pd.DataFrame) -> list[KnownCase]:
    """Rows with predicted and true gains, in order."""
    return sorted(
        KnownCase(round(each.predicted, 4), round(each.true_gain, 4), each.task, f"{each.source} -> {each.target}")
        for each in rows.itertuples()
    )


def _score(names: Sequence[str] | Mapping[str, int], weights: np.ndarray, scales: np.ndarray) -> LinearScore:
    columns = (
        {name: round(float(each), 6) for name, each in zip(names, own, strict=True)} for own in (weights, scales)
    )
    return LinearScore(*columns)


def _scored(score: LinearScore, rows: pd.DataFrame) -> np.ndarray:
    named = rows[[f"{FEATURE}{name}" for name in score.weights]].set_axis(list(score.weights), axis=1)
    return np.array([score(each) for each in named.to_dict("records")])


def _exchanged(polarity: LinearScore, rows: pd.DataFrame) -> np.ndarray:
    """The same for all rows of a record."""
    adapted = rows[rows["candidate"] == ADAPTED]
    by_record = pd.Series([probability(each) for each in _scored(polarity, adapted)], adapted["record"])
    return rows["record"].map(by_record).to_numpy()


def read(candidates: Sequence[Path], self_training: Path | None, held_out: Sequence[Path] = ()) -> pd.DataFrame:
    """The tables in folders of studies as one, with `held_out`: whether no fit sees the record.

    Args:
        candidates: studies of candidates that predictions are fitted to.
        self_training: study of self-training on the same pairs.
        held_out: studies of candidates that are only predicted.
    """
    tables = [Tables.read(folder).table.assign(held_out=folder in held_out) for folder in (*candidates, *held_out)]
    table = pd.concat(tables, ignore_index=True)
    if self_training is None:
        return table.assign(self_trained=math.nan)
    return with_self_training(table, Tables.read(self_training).table)


def main(candidates: Sequence[Path], self_training: Path, output: Path = STORED) -> None:
    """Fit to the tables in folders of studies, and write the predictor that comes with bnadapt."""
    digests = [sha256_of(folder / "table.parquet") for folder in (*candidates, self_training)]
    fitted_predictor(read(candidates, self_training), digests).save(output)


if __name__ == "__main__":
    *given, last = map(Path, sys.argv[1:])
    main(given, last)
