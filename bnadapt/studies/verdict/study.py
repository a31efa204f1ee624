"""How well the predictor tells what adaptation does, on networks, data sets and shifts that it has not seen."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bnadapt.errors import InputError
from bnadapt.experiments.case import Case
from bnadapt.experiments.study import Study, StudyFigure
from bnadapt.experiments.tables import Tables
from bnadapt.reports.document import Table
from bnadapt.studies.verdict.figures import draw_features, draw_predicted
from bnadapt.studies.verdict.findings import schemes_table, sentences
from bnadapt.studies.verdict.fitting import SCHEMES, cross_predicted
from bnadapt.studies.verdict.scores import single_features

KEPT = [
    "record",
    "part",
    "task",
    "family",
    "source",
    "target",
    "target_set",
    "source_set",
    "intensity",
    "seed",
    "network",
]
KEPT += ["candidate", "iou", "scheme", "predicted", "spread", "familiar"]


class VerdictStudy(Study):
    """Reads the table of candidates, and predicts every record from others that share nothing with it.

    Args:
        candidates: folder of the finished study of candidates.
        schemes: what is left out, of `bnadapt.studies.verdict.fitting.SCHEMES`.

    Raises:
        InputError: there is no such scheme.
    """

    name = "verdict"
    title = "Verdict: is the gain predicted on what no prediction has seen?"
    question = (
        "From what can be seen without labels, a forest predicts the IoU of every candidate. It is fitted to all"
        " records but those of a source (all its seeds and scalings), of a data set (as source or target), or of a"
        " family of targets, and predicts these. Does it tell help from harm, and is its choice worth more than always"
        " adapting?"
    )
    columns = ("record", "part", "scheme", "candidate", "iou", "predicted", "spread", "familiar")
    distance_columns = ("part", "feature", "spearman", "auc")

    def __init__(self, candidates: str, schemes: Sequence[str] = tuple(SCHEMES)) -> None:
        if unknown := [name for name in schemes if name not in SCHEMES]:
            raise InputError(f"study.schemes: there is no {unknown[0]!r}; take some of {', '.join(SCHEMES)}.")
        self.candidates = candidates
        self.schemes = schemes

    def cases(self) -> list[Case]:
        """None; all is measured already."""
        return []

    def tables(self, measured: Sequence) -> Tables:
        """Predictions of every part under every scheme; and what single features tell."""
        table = Tables.read(Path(self.candidates)).table
        predicted = [cross_predicted(table, scheme).assign(scheme=scheme)[KEPT] for scheme in self.schemes]
        features = [single_features(own).assign(part=part) for part, own in table.groupby("part", sort=False)]
        return Tables(pd.concat(predicted, ignore_index=True), pd.concat(features, ignore_index=True))

    def findings(self, tables: Tables) -> list[str]:
        """How good predictions and choices are, part by part and scheme by scheme, and where they fail."""
        return sentences(tables)

    def summary(self, tables: Tables) -> Table:
        """All measures by part and scheme."""
        return schemes_table(tables.table)

    def figures(self, tables: Tables) -> dict[str, StudyFigure]:
        """Predicted against true scores and gains, and what single features tell."""
        return {
            "predicted": StudyFigure(
                "Predicted and true",
                "One dot per record and candidate: the IoU, and the gain over no adaptation, that is predicted from"
                " records of other sources, against what was measured.",
                draw_predicted(tables.table),
            ),
            "features": StudyFigure(
                "What single features tell",
                "Spearman's rank correlation of every feature's change by plain adaptation (or of the feature itself,"
                " if it is the same for all candidates) with the gain.",
                draw_features(tables.distances),
            ),
        }
