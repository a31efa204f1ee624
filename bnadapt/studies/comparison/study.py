"""The table of methods, on data that anyone can get, with the cost beside the score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bnadapt.data.intensity import IntensityName
from bnadapt.errors import InputError
from bnadapt.experiments.evaluation import Evaluation
from bnadapt.experiments.networks import Training
from bnadapt.experiments.specs import Spec, part_of
from bnadapt.experiments.study import Study, StudyFigure
from bnadapt.experiments.tables import Tables
from bnadapt.reports.document import Table
from bnadapt.studies.comparison.case import ComparisonCase
from bnadapt.studies.comparison.findings import comparison_table, draw_directions, real, sentences
from bnadapt.studies.comparison.methods import Method
from bnadapt.studies.comparison.treatments import TREATMENTS
from bnadapt.studies.pairing import picture_captions


@dataclass(frozen=True)
class Directions:
    """Data sets that share a task, in which directions to go between them, and how networks are trained there.

    Args:
        sets: domains by name.
        pairs: pairs of names, source first.
        training: training of all methods; its task is that of the method.
        evaluation: evaluation of them.
    """

    sets: Mapping[str, Spec]
    pairs: Sequence[Sequence[str]]
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)


@dataclass
class Comparison(Study):
    """Every method in every direction, on one backbone, with one budget of steps and crops.

    Args:
        tasks: directions by task.
        methods: methods by name; the table compares with `U-Net + AdaBN`, where there is a `U-Net` that is adapted so.
        intensity: scaling of intensities, unless a method sets another.
        seeds: seeds of training.
        pictured: whether to show predictions of the first seed.

    Raises:
        InputError: a treatment does not exist, or a pair names an unknown set.
    """

    name = "comparison"
    title = "Comparison: methods of domain adaptation side by side"
    question = (
        "A network is trained with masks of a source and is to segment a target of which there are only images. What do"
        " Y-Net, CellSegUDA, a mean teacher and re-estimated BatchNorm statistics give, what do they cost, and what"
        " does the network forget? Mean foreground IoU over all real directions and seeds; the last checkpoint counts,"
        " and no label of the target is used in any choice."
    )
    columns = ("record", "part", "task", "source", "target", "seed", "row", "iou", "iou_source", "seconds_adaptation")

    tasks: Mapping[str, Directions]
    methods: Mapping[str, Method]
    intensity: IntensityName = "zscore"
    seeds: Sequence[int] = (1, 2, 3)
    pictured: bool = True

    def __post_init__(self) -> None:
        for name, method in self.methods.items():
            if unknown := [each for each in method.afterwards if each not in TREATMENTS]:
                raise InputError(
                    f"study.methods: {name} has a treatment {unknown[0]!r}; take some of {', '.join(TREATMENTS)}."
                )
        for task, group in self.tasks.items():
            for pair in group.pairs:
                if len(pair) != 2 or not set(pair) <= set(group.sets):
                    raise InputError(
                        f"study.tasks: {task} has no pair {list(pair)}; name two of {', '.join(group.sets)}."
                    )

    def cases(self) -> list[ComparisonCase]:
        """Every method in every direction, one seed after the other."""
        return [
            self._case(task, group, source, target, name, method, seed)
            for seed in self.seeds
            for task, group in self.tasks.items()
            for source, target in group.pairs
            for name, method in self.methods.items()
        ]

    def findings(self, tables: Tables) -> list[str]:
        """The mean IoU of the rows that matter over all real directions, and what failed."""
        return sentences(real(tables.table))

    def summary(self, tables: Tables) -> Table:
        """The table of methods, over all real directions where there are any."""
        return comparison_table(real(tables.table))

    def figures(self, tables: Tables) -> dict[str, StudyFigure]:
        """A map of methods and directions."""
        return {
            "directions": StudyFigure(
                "Every direction",
                "Foreground IoU on the target's test block, mean over seeds. Where there are real directions, the table"
                " of methods is of these alone.",
                draw_directions(tables.table),
            ),
        }

    def pictures(self, tables: Tables) -> dict[str, str]:
        """Predictions of the first seed."""
        return picture_captions(tables.table, "row", self.seeds[0])

    def _case(
        self, task: str, group: Directions, source: str, target: str, name: str, method: Method, seed: int
    ) -> ComparisonCase:
        training = replace(group.training, intensity=self.intensity)
        labels = {"part": part_of(group.sets[source]), "task": task, "source": source, "target": target, "seed": seed}
        return ComparisonCase(
            network=method.trained_on(training, group.sets[source], group.sets[target], seed),
            target=group.sets[target],
            afterwards=tuple(method.afterwards),
            reads_target=method.learns_from != "source",
            evaluation=group.evaluation,
            labels={**labels, "method": name},
            pictured=self.pictured and seed == self.seeds[0],
        )
