"""Scores of predicted gains, choices and polarity."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from bnadapt.gain.candidates import ADAPTED, CANDIDATES, DEFAULT, NONE, RECOMMENDABLE
from bnadapt.gain.prediction import Prediction, recommended
from bnadapt.gain.predictor import SELDOM, SURE, Expectation, comparable
from bnadapt.studies.candidates.findings import CLEAR
from bnadapt.studies.verdict.fitting import NATURAL, known_cases, natural_cases, self_trained_cases

EVIDENCE = ["exchanged", "inverted_consistency", "adapted_width"]
WORSE = 0.03  # loss of IoU that counts as harm
PAIR = ["task", "source", "target"]
ORIGINS = ["source_origin", "target_origin"]


def wide(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """A column by record (rows) and candidate (columns)."""
    return table.pivot_table(column, "record", "candidate", sort=False)


def choices(predicted: pd.DataFrame, table: pd.DataFrame, family: str = NATURAL) -> pd.DataFrame:
    """IoU by record: of the choice, of constant rules, of the best candidate, and of the best one of other seeds.

    `taken` is the choice, `inverted` whether images are taken for inverted, `suspected` whether they may be, so that a
    person is asked to look, and `advised` whether to self-train.

    Args:
        predicted: see `bnadapt.studies.verdict.fitting.cross_predicted`.
        table: of candidates, inverted ones among them.
        family: of the targets.
    """
    rows = predicted[predicted["family"] == family]
    scores = wide(table[table["record"].isin(rows["record"])], "iou")
    scores = scores[[name for name in CANDIDATES if name in scores]]
    gains, evidence = wide(rows, "predicted"), rows.groupby("record")[EVIDENCE].first()
    predictions = {record: _prediction(own, *evidence.loc[record]) for record, own in gains.iterrows()}
    defaults = rows[rows["candidate"] == DEFAULT].set_index("record")
    helped = _shares_elsewhere(natural_cases(predicted), defaults)
    taken = {record: recommended(each, helped[record]) for record, each in predictions.items()}
    unchanged = scores[[name for name in scores if CANDIDATES[name].keeps_images]]
    return pd.DataFrame(
        {
            "taken": taken,
            "inverted": {record: each.is_inverted for record, each in predictions.items()},
            "suspected": {record: each.is_suspected for record, each in predictions.items()},
            "advised": {
                record: each.allows_self_training and taken[record] != NONE for record, each in predictions.items()
            },
            "choice": {record: scores.loc[record, name] for record, name in taken.items()},
            "never": scores[NONE],
            "all_layers": scores[ADAPTED],
            "default": scores[DEFAULT],
            "oracle": scores.max(axis=1),
            "ceiling": _of_other_seeds(unchanged, table),
        }
    ).loc[list(taken)]


def decided(predicted: pd.DataFrame, taken: pd.Series) -> tuple[float, float]:
    """Share of correct statements that the choice helps or adaptation harms, and share of cases with a statement.

    A statement is made where nine of ten known cases agree, without those of the same two origins; gains within 0.02
    count neither as right nor as wrong.

    Args:
        predicted: see `choices`.
        taken: choice by record, of some or all records.
    """
    rows = natural_cases(predicted)
    compared = rows["record"].map(taken).replace(NONE, DEFAULT)
    asked = rows[rows["candidate"] == compared]
    shares = _shares_elsewhere(rows, asked)
    said = (shares >= SURE) | (shares <= SELDOM)
    clear = said & (asked["true_gain"].abs() > CLEAR)
    right = (shares >= SURE) == (asked["true_gain"] > 0)
    return float(right[clear].mean()), float(said.mean())


def _shares_elsewhere(rows: pd.DataFrame, asked: pd.DataFrame) -> pd.Series:
    """For every prediction asked for, in how many comparable rows of other origins adaptation helped: a share."""
    origins, own_origins = (each[ORIGINS].apply(frozenset, axis=1) for each in (rows, asked))
    shares = pd.Series(0.5, asked.index)
    for own, group in asked.groupby(own_origins):
        cases = known_cases(rows[origins != own])
        shares[group.index] = [comparable(cases, gain).share for gain in group["predicted"]]
    return shares


def of_natural_pairs(predicted: pd.DataFrame, table: pd.DataFrame, task: str | None = None) -> Mapping[str, float]:
    """All measures of predictions and choices on natural pairs, of all tasks or of one.

    Known cases that statements rest on are those of all tasks.
    """
    rows = natural_cases(predicted)
    picked = choices(predicted, table)
    if task:
        rows = rows[rows["task"] == task]
        picked = picked.loc[picked.index.isin(rows["record"])]
    right, said = decided(predicted, picked["taken"])
    learnt = self_trained_cases(predicted).set_index("record")["self_trained"].reindex(picked.index)
    advised = picked["advised"] & learnt.notna()
    followed = learnt.where(advised, picked["choice"])
    return {
        **_measures(picked),
        "rank_correlation": float(spearmanr(rows["predicted"], rows["true_gain"]).statistic),
        "right": right,
        "decided": said,
        "advised": float(advised.mean()),
        "helped": float((learnt > picked["never"])[advised].mean()),
        "always_self_trained": float(learnt.mean()),
        "self_trained": float(followed.mean()),
        "self_trained_worse": float((followed - picked["never"] < -WORSE).mean()),
        "self_trained_worst": float((followed - picked["never"]).min()),
    }


def correlations(learning: pd.DataFrame) -> pd.Series:
    """Rank correlation of predicted and true gains by `with_synthetic`, `origins` and `draw`, see `learning_curve`."""
    by_fit = learning.groupby(["with_synthetic", "origins", "draw"])[["predicted", "true_gain"]]
    return by_fit.apply(lambda rows: float(spearmanr(rows["predicted"], rows["true_gain"]).statistic))


def of_family(predicted: pd.DataFrame, table: pd.DataFrame, family: str) -> Mapping[str, float]:
    """IoU of choices and constant rules on a family of targets, and the share that is taken for inverted."""
    return _measures(choices(predicted, table, family))


def _measures(picked: pd.DataFrame) -> Mapping[str, float]:
    loss = picked["choice"] - picked["never"]
    return {
        "records": len(picked),
        **picked.drop(columns=["taken", "advised"]).mean().to_dict(),
        "worse": float((loss < -WORSE).mean()),
        "worst": float(loss.min()),
    }


def _prediction(gains: pd.Series, *evidence: float) -> Prediction:
    expected = {
        name: Expectation(gain, gain, gain, True) for name, gain in gains.dropna().items() if name in RECOMMENDABLE
    }
    return Prediction(expected, *evidence)


def _of_other_seeds(scores: pd.DataFrame, table: pd.DataFrame) -> pd.Series:
    """IoU by record of the candidate that is the best on the same pair's other seeds; NaN with one seed."""
    pairs = table.drop_duplicates("record").set_index("record").loc[scores.index, PAIR]
    ceiling = pd.Series(np.nan, scores.index)
    for _, own in scores.groupby([pairs[name] for name in PAIR]):
        for record in own.index if len(own) > 1 else ():
            ceiling[record] = own.loc[record, own.drop(record).mean().idxmax()]
    return ceiling
