"""A study: cases to measure, and findings from their table."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from matplotlib.figure import Figure

from bnadapt.experiments.case import Case
from bnadapt.experiments.tables import Tables
from bnadapt.reports.document import Table


class StudyFigure(NamedTuple):
    """A figure of a study.

    Attributes:
        title: heading above it.
        caption: caption below it.
        figure: figure to draw.
    """

    title: str
    caption: str
    figure: Figure


class Study(ABC):
    """Base class of experiments; a study is a dataclass derived from it, with its config as fields.

    Attributes:
        name: name on the command line.
        title: heading of its page.
        question: its question, in a sentence or two.
        columns: columns that its table must have.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    question: ClassVar[str]
    columns: ClassVar[Sequence[str]] = ("record", "iou_unadapted", "iou_adapted", "gain")

    @abstractmethod
    def cases(self) -> list[Case]:
        """The cases to measure."""

    @abstractmethod
    def findings(self, tables: Tables) -> list[str]:
        """Findings from the tables, in sentences with numbers."""

    def summary(self, tables: Tables) -> Table | None:
        """A table of results for the page; none by default."""
        return None

    @abstractmethod
    def figures(self, tables: Tables) -> Mapping[str, StudyFigure]:
        """Figures of the tables, by file name without ending."""

    def pictures(self, tables: Tables) -> Mapping[str, str]:
        """Captions of the cases' pictures, by record; none by default."""
        return {}

    def tables(self, measured: Sequence[tuple[Case, list]]) -> Tables:
        """The tables of all measured cases."""
        return Tables.of(measured)
