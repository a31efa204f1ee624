"""Every candidate on every target, with label-free features: records that the gain's predictor is fitted to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from bnadapt.data.image_shifts import named_shift
from bnadapt.data.intensity import IntensityName
from bnadapt.errors import InputError
from bnadapt.experiments.evaluation import Evaluation
from bnadapt.experiments.networks import SourceNetwork, Training
from bnadapt.experiments.specs import SYNTHETIC, Spec, canonical, part_of, resolved
from bnadapt.experiments.study import Study, StudyFigure
from bnadapt.experiments.tables import Tables
from bnadapt.reports.document import Table
from bnadapt.studies.candidates.case import CandidateCase
from bnadapt.studies.candidates.findings import candidates_table, draw_candidates, sentences
from bnadapt.studies.pairing import picture_captions

OWN, SHIFT_SEED = "own", 0


@dataclass(frozen=True)
class Sources:
    """Real data sets of a task as sources, and the targets of their networks.

    Args:
        sets: domains by name; each is a source, and a target of itself.
        training: training of the networks.
        evaluation: evaluation of them.
        evaluations: other evaluations by family of targets, for example with smaller tiles.
        intensities: scalings of intensities, each with its own networks.
        targets: domains by family, such as `pair` or `proportions`, and name; those of a source's own name are left
            out.
        shifts: image shifts of every source, by name, with severities.
    """

    sets: Mapping[str, Spec]
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)
    evaluations: Mapping[str, Evaluation] = field(default_factory=dict)
    intensities: Sequence[IntensityName] = ("zscore",)
    targets: Mapping[str, Mapping[str, Spec]] = field(default_factory=dict)
    shifts: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Grid:
    """Synthetic sources, and targets of all means and some shares of foreground.

    Args:
        sources: means of foreground and background, and share of foreground.
        means: means of targets; every pair of different means is a target.
        foregrounds: shares of foreground of the targets.
        std: standard deviation of both.
        training: training of the networks.
        evaluation: evaluation of them.
    """

    sources: Sequence[Sequence[float]] = ((0.3, 0.7, 0.25), (0.7, 0.3, 0.25))
    means: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9)
    foregrounds: Sequence[float] = (0.25,)
    std: float = 0.1
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)


@dataclass
class Candidates(Study):
    """Every candidate for every source network on every target.

    Args:
        data_sets: sources and targets by task.
        grids: grids of synthetic sources and targets by name.
        seeds: seeds of training.
        pictured: whether to show what every candidate predicts, for the first seed.

    Raises:
        InputError: there is no such shift.
    """

    name = "candidates"
    title = "Candidates: what each gives, and what can be seen of it"
    question = (
        "A source network meets a target. It can be left as it is, adapted, adapted for other class proportions, in"
        " part, to inverted images or to another pixel size. What does each give, how often does adaptation harm, and"
        " what of it can be seen without labels?"
    )
    columns = ("record", "part", "task", "family", "source", "target", "intensity", "seed", "candidate", "iou")

    data_sets: Mapping[str, Sources] | None = None
    grids: Mapping[str, Grid] | None = None
    seeds: Sequence[int] = (1, 2, 3)
    pictured: bool = False

    def __post_init__(self) -> None:
        self.data_sets, self.grids = self.data_sets or {}, self.grids or {}
        for group in self.data_sets.values():
            for name in group.shifts:
                named_shift(name)
        if not (self.data_sets or self.grids):
            raise InputError("study: there is nothing to measure; give study.data_sets or study.grids.")

    def cases(self) -> list[CandidateCase]:
        """Every source network on every target, one seed after the other."""
        return [
            case
            for seed in self.seeds
            for cases in (self._data_set_cases(seed), self._grid_cases(seed))
            for case in cases
        ]

    def findings(self, tables: Tables) -> list[str]:
        """What the candidates give on natural pairs, and how often the default helps and harms there."""
        return sentences(tables.table)

    def summary(self, tables: Tables) -> Table:
        """IoU of every candidate by part."""
        return candidates_table(tables.table)

    def figures(self, tables: Tables) -> dict[str, StudyFigure]:
        """IoU of candidates by family of targets."""
        return {
            "candidates": StudyFigure(
                "Every candidate by family of targets",
                "Mean foreground IoU on the target's test block over records; the last column is the best candidate of"
                " every record, which is known only with labels.",
                draw_candidates(tables.table),
            ),
        }

    def pictures(self, tables: Tables) -> dict[str, str]:
        """What every candidate predicts, for the first seed."""
        return picture_captions(tables.table, "candidate", self.seeds[0])

    def _data_set_cases(self, seed: int) -> Iterator[CandidateCase]:
        for task, group in self.data_sets.items():
            for intensity, (source, domain) in product(group.intensities, group.sets.items()):
                network = SourceNetwork(replace(group.training, intensity=intensity), domain, seed)
                labels = {"part": part_of(domain), "task": task, "intensity": intensity}
                labels |= {"source": source, "seed": seed}
                for family, name, target in _targets(group, source):
                    named = {**labels, "family": family, "target": name, "target_set": _set_of(target, group)}
                    named["source_set"] = source
                    evaluation = group.evaluations.get(family, group.evaluation)
                    yield CandidateCase(network, target, evaluation, named, pictured=self._draws(seed))

    def _grid_cases(self, seed: int) -> Iterator[CandidateCase]:
        for task, grid in self.grids.items():
            for *means, share in grid.sources:
                domain = {"class": "Synthetic", "mean": means, "std": [grid.std, grid.std], "foreground": share}
                network = SourceNetwork(grid.training, {**domain, "images": 40, "size": 256, "seed": seed}, seed)
                labels = {"part": SYNTHETIC, "task": task, "intensity": grid.training.intensity, "seed": seed}
                labels |= {"source": _named(means, share), "source_set": _means(means)}
                for family, name, target in _grid_targets(grid, means, seed):
                    named = {**labels, "family": family, "target": name, "target_set": _means(target["mean"])}
                    yield CandidateCase(network, target, grid.evaluation, named, pictured=self._draws(seed))

    def _draws(self, seed: int) -> bool:
        return self.pictured and seed == self.seeds[0]


def _targets(group: Sources, source: str) -> Iterator[tuple[str, str, Spec]]:
    """Family, name and domain of every target of a source."""
    yield OWN, source, group.sets[source]
    for family, targets in group.targets.items():
        yield from ((family, name, target) for name, target in targets.items() if name != source)
    for shift, severities in group.shifts.items():
        for severity in severities:
            target = {"class": "Shifted", "domain": group.sets[source], "shift": shift, "severity": severity}
            yield shift, f"{source}, {shift} {severity:g}", {**target, "seed": SHIFT_SEED}


def _set_of(target: Spec, group: Sources) -> str:
    """Name of the set that a target comes from."""
    while "domain" in target:
        target = target["domain"]
    names = {canonical(resolved(domain)): name for name, domain in group.sets.items()}
    return names.get(canonical(resolved(target)), str(target["class"]))


def _grid_targets(grid: Grid, source: Sequence[float], seed: int) -> Iterator[tuple[str, str, Spec]]:
    domain: dict[str, Any] = {"class": "Synthetic", "std": [grid.std, grid.std], "images": 16, "size": 128}
    domain |= {"seed": 1000 + seed, "split": [0.5, 0.0, 0.5]}
    for foreground in grid.foregrounds:
        for first in grid.means:
            for second in (each for each in grid.means if each != first):
                same = (first > second) == (source[0] > source[1])
                family = "grid, same polarity" if same else "grid, inverted"
                name = _named((first, second), foreground)
                yield family, name, {**domain, "mean": [first, second], "foreground": foreground}


def _named(means: Sequence[float], share: float) -> str:
    return f"{_means(means)}, {100 * share:g} %"


def _means(means: Sequence[float]) -> str:
    return f"{means[0]:g} on {means[1]:g}"
