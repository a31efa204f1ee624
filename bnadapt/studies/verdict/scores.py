"""How good predictions are: of scores, of gains, of choices."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from bnadapt.gain.candidates import ADAPTED, CORRECTED, NONE
from bnadapt.gain.predictor import Expectation
from bnadapt.gain.verdict import chosen
from bnadapt.studies.candidates.findings import CLEAR, FEATURE
from bnadapt.studies.verdict.fitting import COVERAGE

DECIDED = 0.01  # predicted gain or loss from which on it is said whether adaptation helps or harms


def wide(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """A column by record (rows) and candidate (columns)."""
    return table.pivot_table(column, "record", "candidate", sort=False)


def gains(table: pd.DataFrame, column: str = "iou") -> pd.DataFrame:
    """Gains over no adaptation of plain and of corrected adaptation, by record."""
    scores = wide(table, column)
    return scores[[ADAPTED, CORRECTED]].sub(scores[NONE], axis=0)


def rank_correlation(one: pd.DataFrame, other: pd.DataFrame) -> float:
    """Spearman's, over all entries."""
    return float(spearmanr(one.to_numpy().ravel(), other.to_numpy().ravel()).statistic)


def reproducibility(table: pd.DataFrame) -> float:
    """Rank correlation of the gains of one seed with those of another, mean over pairs of seeds; NaN with one seed.

    A prediction that knows everything but the seed would follow the gains of one seed at about the square root of it
    (Spearman 1904).
    """
    firsts = table.drop_duplicates("record").set_index("record")
    same = [firsts[name] for name in ("task", "intensity", "source", "family", "target")]
    by_seed = gains(table).groupby([each.rename_axis("record") for each in (*same, firsts["seed"])]).first()
    between = by_seed[ADAPTED].unstack().corr("spearman").to_numpy()
    others = between[~np.eye(len(between), dtype=bool)]
    return float(np.nanmean(others)) if others.size and not np.isnan(others).all() else np.nan


def covered(predicted: pd.DataFrame, groups: pd.Series) -> float:
    """Share of the scores in their 90 % interval, as wide as the errors of all other groups; NaN without any."""
    if groups.nunique() < 2:
        return np.nan
    error = (predicted["iou"] - predicted["predicted"]).abs() / predicted["spread"]
    inside = [error[groups == group] <= np.quantile(error[groups != group], COVERAGE) for group in groups.unique()]
    return float(pd.concat(inside).mean())


def decided(predicted: pd.DataFrame) -> tuple[float, float]:
    """How often it is right that adaptation helps or harms, where it does by more than 0.02; and how often it is said.

    It is said where the features are familiar, and a gain or a loss of more than 0.01 is predicted.
    """
    true, expected = gains(predicted).to_numpy(), gains(predicted, "predicted").to_numpy()
    familiar = wide(predicted, "familiar").astype(bool)
    known = familiar[[ADAPTED, CORRECTED]].to_numpy() & familiar[[NONE]].to_numpy()
    said = known & (np.abs(expected) > DECIDED)
    clear = said & (np.abs(true) > CLEAR)
    return float((np.sign(expected) == np.sign(true))[clear].mean()) if clear.any() else np.nan, float(said.mean())


def choices(predicted: pd.DataFrame) -> pd.DataFrame:
    """IoU by record: of the choice, of never, always and always corrected adaptation, and of the best candidate."""
    scores, expected, familiar = (wide(predicted, column) for column in ("iou", "predicted", "familiar"))
    names = [
        chosen({name: Expectation(value, 0, 1, bool(known[name])) for name, value in row.items()})
        for row, known in zip(expected.to_dict("records"), familiar.to_dict("records"), strict=True)
    ]
    picked = [row[name] for row, name in zip(scores.to_dict("records"), names, strict=True)]
    columns = {"never": scores[NONE], "always": scores[ADAPTED], "corrected": scores[CORRECTED]}
    return pd.DataFrame({"chosen": picked, **columns, "oracle": scores.max(axis=1)}, index=scores.index)


def single_features(table: pd.DataFrame) -> pd.DataFrame:
    """What every feature by itself tells of the gain of plain adaptation, the closest first.

    Of its change by adaptation, or of the feature itself where all candidates have the same: the rank correlation with
    the gain, `spearman`, and how well it tells help from harm, by more than 0.02 each, `auc`; above 0.5 whatever its
    sign, and NaN where there is no help, or no harm.
    """
    true = gains(table)[ADAPTED]
    clear = true[true.abs() > CLEAR] > 0
    found = []
    for column in (name for name in table if name.startswith(FEATURE)):
        values = wide(table, column)
        change = values[ADAPTED] - values[NONE]
        change = values[ADAPTED] if change.abs().max() == 0 else change
        if change.nunique() > 1:
            auc = roc_auc_score(clear, change[clear.index]) if clear.nunique() > 1 else np.nan
            found.append((column.removeprefix(FEATURE), spearmanr(change, true).statistic, max(auc, 1 - auc)))
    rows = pd.DataFrame(found, columns=["feature", "spearman", "auc"])
    return rows.sort_values("spearman", key=lambda each: -each.abs(), ignore_index=True)


def all_scores(predicted: pd.DataFrame, groups: pd.Series) -> Mapping[str, float]:
    """Every measure of how good predictions are."""
    picked = choices(predicted).mean()
    right, share = decided(predicted)
    best = max(picked["never"], picked["always"])
    return {
        "rank_correlation": rank_correlation(gains(predicted), gains(predicted, "predicted")),
        "error": float((predicted["iou"] - predicted["predicted"]).abs().mean()),
        "covered": covered(predicted, groups),
        "right": right,
        "decided": share,
        "familiar": float(predicted["familiar"].mean()),
        **{f"iou_{name}": value for name, value in picked.items()},
        "regret": picked["oracle"] - picked["chosen"],
        "regret_of_constant": picked["oracle"] - best,
    }
