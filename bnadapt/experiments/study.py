"""What a study is: cases to measure, and what their table shows."""

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
        caption: what it shows.
        figure: to draw.
    """

    title: str
    caption: str
    figure: Figure


class Study(ABC):
    """An experiment: a class of its own with a config as its constructor's arguments.

    Attributes:
        name: what the command line calls it.
        title: heading of its page.
        question: what it asks, in a sentence or two.
        columns: that its table has, among others.
        distance_columns: that its table of distances has; none if its report can do without distances.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    question: ClassVar[str]
    columns: ClassVar[Sequence[str]] = ("record", "iou_unadapted", "iou_adapted", "gain")
    distance_columns: ClassVar[Sequence[str]] = ()

    @abstractmethod
    def cases(self) -> list[Case]:
        """What to measure."""

    @abstractmethod
    def findings(self, tables: Tables) -> list[str]:
        """What the tables say, in sentences with numbers."""

    def summary(self, tables: Tables) -> Table | None:
        """A table of what was found, for the page; none by default."""
        return None

    @abstractmethod
    def figures(self, tables: Tables) -> Mapping[str, StudyFigure]:
        """Figures of the tables, by file name without ending."""

    def pictures(self, tables: Tables) -> Mapping[str, str]:
        """Captions of pictures that cases left, by record; none by default."""
        return {}

    def tables(self, measured: Sequence[tuple[Case, list]]) -> Tables:
        """The tables of all measured cases."""
        return Tables.of(measured)
