"""How well the gain of adaptation is predicted for tissues, sources and tasks that the fit has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bnadapt.errors import InputError
from bnadapt.experiments.case import Case
from bnadapt.experiments.specs import REAL
from bnadapt.experiments.study import Study, StudyFigure
from bnadapt.experiments.tables import Tables
from bnadapt.reports.document import Table
from bnadapt.studies.verdict.findings import draw_learning, draw_predicted, schemes_table, sentences
from bnadapt.studies.verdict.fitting import DRAWS, SCHEMES, cross_predicted, learning_curve, read
from bnadapt.studies.verdict.scores import EVIDENCE

LEARNING_CURVE = "learning curve"  # in place of a scheme
KEPT = ["record", "family", "task", "source", "target", "seed", "candidate", "iou", "self_trained"]
LEARNING = ["record", "candidate", "seed", "origins", "draw", "with_synthetic", "predicted", "true_gain"]
ADDED = ["record", "candidate", "true_gain", "source_origin", "target_origin", "predicted", *EVIDENCE]


@dataclass
class VerdictStudy(Study):
    """Reads tables of candidates, and predicts every record of real sets from others that share nothing with it.

    Args:
        candidates: folders of finished studies of candidates.
        self_training: folder of a finished study of self-training on the same pairs; None if there is none.
        held_out: folders of further studies of candidates, which are predicted, but which no fit sees.
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
    columns = (*KEPT, "scheme", "true_gain", "predicted", *EVIDENCE, "source_origin", "target_origin")

    candidates: Sequence[str]
    self_training: str | None = None
    held_out: Sequence[str] = ()
    schemes: Sequence[str] = tuple(SCHEMES)

    def __post_init__(self) -> None:
        if unknown := [name for name in self.schemes if name not in SCHEMES]:
            raise InputError(f"study.schemes: there is no {unknown[0]!r}; take some of {', '.join(SCHEMES)}.")

    def cases(self) -> list[Case]:
        """No cases, since everything is measured already."""
        return []

    def tables(self, measured: Sequence) -> Tables:
        """Real records under every scheme; inverted candidates have no predicted gain."""
        candidates, held_out = ([Path(each) for each in folders] for folders in (self.candidates, self.held_out))
        table = read(candidates, Path(self.self_training) if self.self_training else None, held_out)
        real = table[table["part"] == REAL][KEPT]
        predicted = [
            real.merge(cross_predicted(table, scheme)[ADDED], "left", ["record", "candidate"]).assign(scheme=scheme)
            for scheme in self.schemes
        ]
        learning = learning_curve(table)[LEARNING].assign(scheme=LEARNING_CURVE)
        return Tables(pd.concat([*predicted, learning], ignore_index=True))

    def findings(self, tables: Tables) -> list[str]:
        """How good predictions and choices are under the first scheme; the others are in the table."""
        return sentences(_parts(tables)[0])

    def summary(self, tables: Tables) -> Table:
        """All measures of natural pairs by scheme, and by task in the first scheme."""
        return schemes_table(_parts(tables)[0])

    def figures(self, tables: Tables) -> dict[str, StudyFigure]:
        """Predicted against true gains, and the learning curve where there is one."""
        predicted, learning = _parts(tables)
        figures = {
            "predicted": StudyFigure(
                "Predicted and true",
                "One dot per natural pair, seed and candidate: the predicted gain over no adaptation, and the measured"
                " one.",
                draw_predicted(predicted[predicted["predicted"].notna()]),
            )
        }
        if len(learning):
            figures["learning-curve"] = StudyFigure(
                "From how many tissues and laboratories can it be learnt?",
                "Rank correlation of predicted and true gains of natural pairs against the number of tissues and"
                f" laboratories that the fit has seen, none of them the pair's own; mean and standard deviation over"
                f" {DRAWS} draws of these.",
                draw_learning(learning),
            )
        return figures


def _parts(tables: Tables) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predictions under the schemes, and those of the learning curve."""
    is_learning = tables.table["scheme"] == LEARNING_CURVE
    return tables.table[~is_learning], tables.table[is_learning]
