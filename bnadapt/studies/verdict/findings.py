"""What the predictions of unseen records say."""

import numpy as np
import pandas as pd

from bnadapt.experiments.tables import Tables
from bnadapt.gain.candidates import NONE
from bnadapt.reports.document import Table
from bnadapt.studies.verdict.fitting import SCHEMES
from bnadapt.studies.verdict.scores import all_scores, choices, reproducibility, wide

PUBLISHED = {
    "bottleneck_before": "Bhattacharyya at the bottleneck",
    "mean_drift": "BatchNorm drift",
    "thresholded_confidence": "ATC",
    "difference_of_confidence": "DoC",
    "class_confidence": "class-specific confidence",
    "flip_consistency": "consistency (CRank)",
    "dropout_disagreement": "AETTA",
    "agreement_with_others": "pairwise agreement",
    "nuclear_norm": "nuclear norm",
}
HEADER = {
    "rank_correlation": "rank correlation of gains",
    "error": "error of IoU",
    "covered": "in 90 % interval",
    "right": "help or harm right",
    "decided": "decided",
    "familiar": "familiar",
    "iou_chosen": "chosen",
    "iou_never": "never",
    "iou_always": "always",
    "iou_corrected": "corrected",
    "iou_oracle": "oracle",
}


def schemes_table(table: pd.DataFrame) -> Table:
    """All measures by part and scheme."""
    rows = []
    for (part, scheme), own in table.groupby(["part", "scheme"], sort=False):
        found = all_scores(own, own[SCHEMES[scheme][0]])
        rows.append([part, scheme, str(own["record"].nunique()), *(f"{found[name]:.3f}" for name in HEADER)])
    return Table(["part", "left out", "records", *HEADER.values()], rows)


def sentences(tables: Tables) -> list[str]:
    """How good predictions and choices are, and where they fail."""
    said = []
    for (part, scheme), own in tables.table.groupby(["part", "scheme"], sort=False):
        said += _of_scheme(part, scheme, own)
    for part, own in tables.table[tables.table["scheme"] == tables.table["scheme"].iloc[0]].groupby("part", sort=False):
        if not np.isnan(between := reproducibility(own)):
            said.append(
                f"{part}: gains of networks that differ in their seed alone correlate at {between:.2f} with each other"
                f" (ranks), so that a prediction that knew all but the seed would follow them at about"
                f" {max(between, 0) ** 0.5:.2f}."
            )
    for part, own in tables.distances.groupby("part", sort=False):
        said.append(f"{part}: of single features, these follow the gain most closely: {_listed(own.head(6))}.")
        published = own.set_index("feature").reindex(list(PUBLISHED)).dropna(subset="spearman").reset_index()
        published["feature"] = published["feature"].map(PUBLISHED)
        said.append(f"{part}: published scores by themselves: {_listed(published)}.")
    return said


def _listed(features: pd.DataFrame) -> str:
    return ", ".join(
        f"{row.feature} {row.spearman:+.2f}" + ("" if pd.isna(row.auc) else f" (AUC {row.auc:.2f})")
        for row in features.itertuples()
    )


def _of_scheme(part: str, scheme: str, own: pd.DataFrame) -> list[str]:
    found = all_scores(own, own[SCHEMES[scheme][0]])
    unseen = f"{part}, no {scheme} in common"
    covered = (
        "" if np.isnan(found["covered"]) else f", {100 * found['covered']:.0f} % of the scores in their 90 % interval"
    )
    return [
        f"{unseen}: rank correlation of predicted and true gain {found['rank_correlation']:.2f}, mean error of the"
        f" predicted IoU {found['error']:.3f}{covered};"
        f" help or harm right in {100 * found['right']:.0f} % of the {100 * found['decided']:.0f} % decided.",
        f"{unseen}: IoU of the choice {found['iou_chosen']:.3f}, never {found['iou_never']:.3f}, always"
        f" {found['iou_always']:.3f}, corrected {found['iou_corrected']:.3f}, best candidate"
        f" {found['iou_oracle']:.3f}. {_worst(own)}",
    ]


def _worst(own: pd.DataFrame) -> str:
    """The pair of source and target whose choice loses most against no adaptation, over seeds."""
    picked = choices(own)
    labels = own.drop_duplicates("record").set_index("record")[["task", "source", "target", "intensity"]]
    loss = (picked["chosen"] - wide(own, "iou")[NONE]).groupby([labels.reindex(picked.index)[name] for name in labels])
    worst = loss.mean().idxmin()
    task, source, target, intensity = worst
    return f"Worst against never: {source} -> {target} ({task}, {intensity}), {loss.mean()[worst]:+.3f}."
