"""Targets with other class proportions than the source, and statistics corrected for the difference."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from bnadapt.data.intensity import IntensityName
from bnadapt.errors import InputError
from bnadapt.experiments.evaluation import Evaluation
from bnadapt.experiments.networks import SourceNetwork, Training
from bnadapt.experiments.specs import SYNTHETIC, Spec
from bnadapt.experiments.study import Study, StudyFigure
from bnadapt.experiments.tables import Tables, mean_and_std
from bnadapt.reports.document import Table
from bnadapt.studies.pairing import DataSetGroup
from bnadapt.studies.proportions.case import ROWS, ClassProportionCase
from bnadapt.studies.proportions.figures import draw_estimates, draw_maps, draw_pairs, draw_theory
from bnadapt.studies.proportions.findings import by_difference, means_by_difference, parts_of
from bnadapt.studies.proportions.theory import theory_compared


@dataclass(frozen=True)
class Subsets:
    """Targets of other class proportions than the data sets of a task, such as `TilesByForeground` of them.

    Args:
        targets: domains by name.
        evaluation: evaluation of the task's networks on them.
        intensity: scaling of intensities.
    """

    targets: Mapping[str, Spec]
    evaluation: Evaluation
    intensity: IntensityName


@dataclass
class Proportions(Study):
    """Synthetic sources and targets of all class proportions, and every pair of real data sets.

    Args:
        source_shares: shares of foreground of the synthetic sources.
        target_shares: shares of foreground of the synthetic targets.
        brighter: added to both means of the synthetic targets, one after the other.
        training: training of the synthetic networks.
        evaluation: evaluation of them.
        tasks: real data sets by task, as in the study `pairs`; none by default.
        intensity: scaling of intensities of the real data sets.
        subsets: further targets by task; none by default.
        seeds: seeds of training.

    Raises:
        InputError: a share is not between 0 and 1, or a subset's task does not exist.
    """

    name = "proportions"
    title = "Class proportions: statistics without their difference"
    question = (
        "Re-estimated statistics are those of the target's mixture of classes. Where its share of foreground differs"
        " from the source's, they carry that difference and move the decision threshold. Does it help to correct them"
        " for the proportions, which are estimated without labels?"
    )
    columns = ("record", "part", *ROWS, "foreground", "foreground_source", "foreground_estimated")

    source_shares: Sequence[float] = (0.05, 0.15, 0.3, 0.5, 0.8)
    target_shares: Sequence[float] = (0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8)
    brighter: Sequence[float] = (0.0, 0.2)
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)
    tasks: Mapping[str, DataSetGroup] | None = None
    intensity: IntensityName = "zscore"
    subsets: Mapping[str, Subsets] | None = None
    seeds: Sequence[int] = (1, 2, 3)

    def __post_init__(self) -> None:
        if wrong := [share for share in (*self.source_shares, *self.target_shares) if not 0 < share < 1]:
            raise InputError(f"study: {wrong[0]} is not a share of foreground; give shares between 0 and 1.")
        self.tasks, self.subsets = self.tasks or {}, self.subsets or {}
        if unknown := sorted(set(self.subsets) - set(self.tasks)):
            raise InputError(f"study.subsets: unknown task {unknown[0]}; name one of study.tasks.")

    def cases(self) -> list[ClassProportionCase]:
        """Every source on every target, with every seed."""
        return [*self._synthetic_cases(), *self._pair_cases(), *self._subset_cases()]

    def findings(self, tables: Tables) -> list[str]:
        """The IoU where proportions differ much and where they do not."""
        return means_by_difference(tables.table)

    def summary(self, tables: Tables) -> Table:
        """IoU of every way by part and difference in proportions: mean, and standard deviation over seeds of it."""
        rows = []
        for part, group in parts_of(tables.table).items():
            for which, rows_there in by_difference(group).items():
                by_seed = rows_there.groupby("seed")[[*ROWS]].mean()
                scores = (mean_and_std(by_seed[column]) for column in ROWS)
                rows.append([part, which, str(len(rows_there)), *scores])
        return Table(["part", "proportions differ", "records", *ROWS.values()], rows)

    def figures(self, tables: Tables) -> dict[str, StudyFigure]:
        """Maps over the proportions of source and target, and bars for the real pairs."""
        table, figures = tables.table, {}
        synthetic = table[table["part"] == SYNTHETIC]
        if len(synthetic):
            figures["synthetic"] = StudyFigure(
                "Synthetic: share of foreground in source and target",
                "Foreground IoU on the target, mean over seeds, and over the intensities of the target.",
                draw_maps(synthetic),
            )
            figures["theory"] = StudyFigure(
                "Synthetic: what plain adaptation costs, measured and in closed form",
                f"One dot per record: IoU with AdaBN. Lines: the closed form (docs/proportions.md)."
                f" {theory_compared(synthetic)}",
                draw_theory(synthetic),
            )
        real = table[table["part"] != SYNTHETIC]
        if len(real):
            figures["pairs"] = StudyFigure(
                "Every ordered pair of real data sets",
                "Foreground IoU on the target's test block, with the share of foreground in source and target; whiskers"
                " are one standard deviation over seeds.",
                draw_pairs(real),
            )
        figures["estimates"] = StudyFigure(
            "True and estimated share of foreground",
            "One dot per record: the share in the target's test block against the estimate from other tiles of the"
            " target, without labels.",
            draw_estimates(table),
        )
        return figures

    def _synthetic_cases(self) -> Iterator[ClassProportionCase]:
        domain = {"class": "Synthetic", "std": [0.1, 0.1]}
        varied = product(self.seeds, self.source_shares, self.target_shares, self.brighter)
        for seed, source, target, added in varied:
            trained_on = {**domain, "mean": [0.7, 0.3], "foreground": source, "images": 40, "size": 256, "seed": seed}
            tested_on = {**domain, "mean": [round(0.7 + added, 6), round(0.3 + added, 6)], "foreground": target}
            tested_on |= {"images": 16, "size": 128, "seed": 1000 + seed, "split": [0.5, 0.0, 0.5]}
            labels = {"part": SYNTHETIC, "source": f"{source:g}", "target": f"{target:g}"}
            labels |= {"brighter": added, "seed": seed}
            network = SourceNetwork(self.training, trained_on, seed)
            yield ClassProportionCase(network, tested_on, self.evaluation, labels)

    def _pair_cases(self) -> Iterator[ClassProportionCase]:
        for task, group in self.tasks.items():
            for seed, (source, target) in product(self.seeds, group.pairs()):
                network = group.network(source, seed, intensity=self.intensity)
                labels = {"part": task, "source": source, "target": target, "seed": seed}
                yield ClassProportionCase(network, group.sets[target], group.evaluation, labels)

    def _subset_cases(self) -> Iterator[ClassProportionCase]:
        for task, subset in self.subsets.items():
            for seed, source, target in product(self.seeds, self.tasks[task].sets, subset.targets):
                network = self.tasks[task].network(source, seed, intensity=subset.intensity)
                labels = {"part": f"{task}, subsets", "source": source, "target": target, "seed": seed}
                yield ClassProportionCase(network, subset.targets[target], subset.evaluation, labels)
