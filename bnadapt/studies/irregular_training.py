"""Networks with inaccurate running statistics, and the statistics re-estimated on their own source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.figure import Figure

from bnadapt.errors import InputError
from bnadapt.experiments.case import Case, RunLocation, TableRow, adaptation_row
from bnadapt.experiments.domain_tiles import domain_tiles_for
from bnadapt.experiments.evaluation import Evaluation
from bnadapt.experiments.network_evaluation import NetworkEvaluation
from bnadapt.experiments.networks import SourceNetwork, Training, fit
from bnadapt.experiments.plots import curve_panels
from bnadapt.experiments.specs import Spec
from bnadapt.experiments.study import Study, StudyFigure
from bnadapt.experiments.tables import Tables


@dataclass(frozen=True, eq=False)
class TrainingCase(Case):
    """A training with measurements after some of its steps.

    Args:
        network: what is trained.
        whole: the source, also where the network sees only a part of it; statistics are re-estimated on its
            training block, and scores are of its test block.
        steps: steps of the optimizer after which the network is measured.
        evaluation: settings of adaptation and scoring.
        labels: see `Case`.
    """

    network: SourceNetwork
    whole: Spec
    steps: Sequence[int]
    evaluation: Evaluation
    labels: Mapping[str, Any]

    @property
    def needs(self) -> None:
        """None; the case trains its own network."""

    def measure(self, location: RunLocation) -> list[TableRow]:
        """A row for every step."""
        probe = Probe(self)
        fit(self.network, location.device, [probe])
        return [{**row, "network": self.network.key} for row in probe.rows]


class Probe(Callback):
    """Measures a network in training with its running statistics, and with re-estimated ones."""

    def __init__(self, case: TrainingCase) -> None:
        self.case = case
        self.rows: list[TableRow] = []
        self.tiles = domain_tiles_for(case.network, case.evaluation)(case.whole)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Measure if the step is due."""
        if trainer.global_step in self.case.steps:
            with torch.random.fork_rng(devices=[]):
                self._measure(trainer.global_step, pl_module)

    def _measure(self, step: int, task: LightningModule) -> None:
        was_training = task.network.training
        task.network.eval()
        network = NetworkEvaluation(task.network, self.case.whole, self.case.evaluation, lambda _: self.tiles)
        row, _ = adaptation_row(network.source)
        task.network.train(was_training)
        self.rows.append({"step": step, **row})


@dataclass(frozen=True)
class Irregularity:
    """Differences of a training from the regular one.

    Args:
        training: fields of `Training` that differ.
        domain: arguments of the source that differ.
    """

    training: Mapping[str, Any] | None = None
    domain: Mapping[str, Any] | None = None


@dataclass
class IrregularTraining(Study):
    """Trainings that leave inaccurate running statistics, measured along the way.

    Args:
        sources: domains by name.
        training: the regular one.
        irregularities: irregularities by name; what differs from the regular training.
        steps: steps of the optimizer after which networks are measured.
        evaluation: evaluation of the networks.
        seeds: seeds of training.

    Raises:
        InputError: a training ends before the first of the steps.
    """

    name = "irregular-training"
    title = "Irregular training: statistics that are off on the source itself"
    question = (
        "Stopped early, trained in tiny batches, with a high or low momentum, another learning rate or few images:"
        " the running statistics of a network may be wrong for its own source. Does re-estimating them on tiles of"
        " the source's training block repair it?"
    )

    sources: Mapping[str, Spec]
    training: Training
    irregularities: Mapping[str, Irregularity]
    steps: Sequence[int] = (5, 10, 20, 40, 80, 160, 320)
    evaluation: Evaluation = field(default_factory=Evaluation)
    seeds: Sequence[int] = (1, 2, 3)

    def __post_init__(self) -> None:
        self.irregularities = {"regular": Irregularity(), **self.irregularities}
        self.steps = sorted(self.steps)
        for kind, irregularity in self.irregularities.items():
            end = (irregularity.training or {}).get("steps", self.training.steps)
            if not 1 <= self.steps[0] <= end:
                raise InputError(
                    f"study.steps is {self.steps}, but the training {kind} ends after {end} steps; give steps to look"
                    " after from 1 on, one of them before its end."
                )

    def cases(self) -> list[TrainingCase]:
        """Every source with every irregularity and seed."""
        return [
            self._case(name, source, kind, irregularity, seed)
            for name, source in self.sources.items()
            for kind, irregularity in self.irregularities.items()
            for seed in self.seeds
        ]

    def findings(self, tables: Tables) -> list[str]:
        """What re-estimation does early in a regular training, and at the end of every training."""
        sentences = []
        for source, rows in tables.table.groupby("source", sort=False):
            gains = rows.groupby(["irregularity", "step"], sort=False)["gain"].mean()
            regular = gains["regular"]
            late = gains.groupby("irregularity", sort=False).tail(1)
            listed = ", ".join(f"{kind} {gain:+.3f}" for (kind, _), gain in late.items())
            sentences.append(
                f"{source}: after {regular.index[0]} steps of a regular training re-estimation changes the IoU by"
                f" {regular.iloc[0]:+.3f}. At the end ({regular.index[-1]} steps) it changes it by: {listed}."
            )
        return sentences

    def figures(self, tables: Tables) -> dict[str, StudyFigure]:
        """IoU over steps for every source and irregularity."""
        tiles = f"{self.evaluation.tiles} tiles" if self.evaluation.tiles else "all tiles"
        return {
            f"steps-{source}": StudyFigure(
                f"{source}: IoU over training",
                "Foreground IoU on the source's test block after some steps, with the network's running statistics"
                f" (red) and with statistics re-estimated on {tiles} of the source's whole training block"
                " (blue). Trainings that differ in nothing but momentum have the same weights. Bands are one standard"
                " deviation over seeds.",
                self._draw(tables.table[tables.table["source"] == source]),
            )
            for source in self.sources
        }

    def _case(self, name: str, source: Spec, kind: str, irregularity: Irregularity, seed: int) -> TrainingCase:
        training = replace(self.training, **(irregularity.training or {}))
        domain = {**source, **(irregularity.domain or {})}
        labels = {"source": name, "irregularity": kind, "seed": seed}
        return TrainingCase(SourceNetwork(training, domain, seed), source, self.steps, self.evaluation, labels)

    def _draw(self, table: pd.DataFrame) -> Figure:
        parts = {kind: table[table["irregularity"] == kind] for kind in self.irregularities}
        figure, axes = curve_panels(parts, "step", 4)
        for panel in axes:
            panel.set_xscale("log")
        return figure
