"""How well the gain of adaptation is predicted for tissues, sources and tasks that the fit has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bnadapt.errors import InputError
from bnadapt.experiments.case import Case
from bnadapt.experiments.study import Study, StudyFigure
from bnadapt.experiments.tables import Tables
from bnadapt.reports.document import Table
from bnadapt.studies.verdict.findings import draw_predicted, schemes_table, sentences
from bnadapt.studies.verdict.fitting import PREDICTED, SCHEMES, cross_predicted

KEPT = ["record", "family", "task", "source", "target", "seed", "candidate", "iou"]
ADDED = ["record", "candidate", "true_gain", "source_origin", "target_origin", "predicted", "exchanged"]


@dataclass
class VerdictStudy(Study):
    """Reads tables of candidates, and predicts every record of real sets from others that share nothing with it.

    Args:
        candidates: folders of finished studies of candidates.
        schemes: what the fit does not see; names in `bnadapt.studies.verdict.fitting.SCHEMES`.

    Raises:
        InputError: a scheme does not exist.
    """

    name = "verdict"
    title = "Recommendations: is the gain predicted on what no fit has seen?"
    question = (
        "From what can be seen without labels, the gain of every candidate over no adaptation is predicted, and whether"
        " bright and dark are exchanged. The fit sees no record of the same tissue or laboratory as source or target"
        " (strict), as source, or of the same task. Does it tell help from harm, and is its choice worth more than"
        " always doing the same?"
    )
    columns = (*KEPT, "scheme", "true_gain", "predicted", "exchanged", "source_origin", "target_origin")

    candidates: Sequence[str]
    schemes: Sequence[str] = tuple(SCHEMES)

    def __post_init__(self) -> None:
        if unknown := [name for name in self.schemes if name not in SCHEMES]:
            raise InputError(f"study.schemes: there is no {unknown[0]!r}; take some of {', '.join(SCHEMES)}.")

    def cases(self) -> list[Case]:
        """No cases, since everything is measured already."""
        return []

    def tables(self, measured: Sequence) -> Tables:
        """Real records under every scheme; inverted candidates have no predicted gain."""
        table = pd.concat([Tables.read(Path(each)).table for each in self.candidates], ignore_index=True)
        real = table[table["family"].isin(PREDICTED)][KEPT]
        predicted = [
            real.merge(cross_predicted(table, scheme)[ADDED], "left", ["record", "candidate"]).assign(scheme=scheme)
            for scheme in self.schemes
        ]
        return Tables(pd.concat(predicted, ignore_index=True))

    def findings(self, tables: Tables) -> list[str]:
        """How good predictions and choices are under the first scheme; the others are in the table."""
        return sentences(tables.table)

    def summary(self, tables: Tables) -> Table:
        """All measures of natural pairs by scheme."""
        return schemes_table(tables.table)

    def figures(self, tables: Tables) -> dict[str, StudyFigure]:
        """Predicted against true gains."""
        return {
            "predicted": StudyFigure(
                "Predicted and true",
                "One dot per natural pair, seed and candidate: the predicted gain over no adaptation, and the measured"
                " one.",
                draw_predicted(tables.table[tables.table["predicted"].notna()]),
            ),
        }
