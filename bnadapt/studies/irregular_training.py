"""Networks whose running statistics are off, and the statistics re-estimated on their own source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor

from bnadapt.batchnorm import estimate
from bnadapt.studies.case import Case, Place, Row
from bnadapt.studies.evaluation import Evaluation, Images, Scores, scored
from bnadapt.studies.networks import SourceNetwork, Training, fit, pair_of
from bnadapt.studies.plots import before_and_after, legend, panels
from bnadapt.studies.specs import Spec
from bnadapt.studies.study import Shown, Study
from bnadapt.studies.tables import Tables


@dataclass(frozen=True, eq=False)
class TrainingCase(Case):
    """A training that is looked at after some of its steps.

    Args:
        network: what is trained.
        whole: the source, also where the network sees only a part of it; statistics are re-estimated on its
            training block, and scores are of its test block.
        steps: of the optimizer, after which to look.
        evaluation: how.
        labels: see `Case`.
    """

    network: SourceNetwork
    whole: Spec
    steps: Sequence[int]
    evaluation: Evaluation
    labels: Mapping[str, Any]

    @property
    def needs(self) -> None:
        """It trains its own network."""

    def measure(self, place: Place) -> list[Row]:
        """A row for every step."""
        probe = Probe(self)
        fit(self.network, place.device, [probe])
        return probe.rows


class Probe(Callback):
    """Scores a network in training with its running statistics, and with re-estimated ones."""

    def __init__(self, case: TrainingCase) -> None:
        self.case = case
        self.rows: list[Row] = []
        training, evaluation = case.network.training, case.evaluation
        options = {"tile_size": evaluation.tile_size, "batch_size": evaluation.batch_size}
        pair = pair_of(training, target=case.whole, **options)
        self.images = Images(pair, pair)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look, if it is time."""
        if trainer.global_step in self.case.steps:
            with torch.random.fork_rng(devices=[]):
                self._look(trainer.global_step, pl_module)

    def _look(self, step: int, task: LightningModule) -> None:
        network = task.network

        @torch.no_grad()
        def forward(images: Tensor) -> Tensor:
            return task(images.to(task.device)).float()

        tiles = self.images.unlabelled(self.case.evaluation.tiles)
        was_training = network.training
        network.eval()
        before = scored(forward, self.images.labelled)
        found = estimate(network, tiles, batch_size=self.case.evaluation.batch_size, forward=forward)
        with found.bank.applied(network):
            after = scored(forward, self.images.labelled)
        network.train(was_training)
        self.rows.append(_row(step, before, after, found.tiles))


def _row(step: int, before: Scores, after: Scores, tiles: int) -> Row:
    return {
        "step": step,
        "iou_source": before.iou,
        "iou_unadapted": before.iou,
        "iou_adapted": after.iou,
        "gain": after.iou - before.iou,
        "foreground": after.true,
        "foreground_unadapted": before.predicted,
        "foreground_adapted": after.predicted,
        "tiles": tiles,
    }


@dataclass(frozen=True)
class Irregularity:
    """How a training differs from the regular one.

    Args:
        training: fields of `Training` that differ.
        domain: arguments of the source that differ.
    """

    training: Mapping[str, Any] | None = None
    domain: Mapping[str, Any] | None = None


class IrregularTraining(Study):
    """Trainings that leave running statistics off, looked at along the way.

    Args:
        sources: domains by name.
        training: the regular one.
        irregularities: by name; what differs from the regular training.
        steps: after which to look.
        evaluation: of the networks.
        seeds: of training.
    """

    name = "irregular-training"
    title = "Irregular training: statistics that are off on the source itself"
    question = (
        "Stopped early, trained in tiny batches, with a high or low momentum, another learning rate or few images:"
        " the running statistics of a network may be wrong for its own source. Does re-estimating them on tiles of"
        " the source's training block repair it?"
    )

    def __init__(
        self,
        sources: Mapping[str, Spec],
        training: Training,
        irregularities: Mapping[str, Irregularity],
        steps: Sequence[int] = (5, 10, 20, 40, 80, 160, 320),
        evaluation: Evaluation | None = None,
        seeds: Sequence[int] = (1, 2, 3),
    ) -> None:
        self.sources = sources
        self.training = training
        self.irregularities = {"regular": Irregularity(), **irregularities}
        self.steps = steps
        self.evaluation = evaluation or Evaluation()
        self.seeds = seeds

    def cases(self) -> list[TrainingCase]:
        """Every source with every irregularity and seed."""
        return [
            self._case(name, source, kind, irregularity, seed)
            for name, source in self.sources.items()
            for kind, irregularity in self.irregularities.items()
            for seed in self.seeds
        ]

    def findings(self, tables: Tables) -> list[str]:
        """What re-estimation does early, at the end, and for which irregularity most."""
        table = tables.table
        said = []
        for source, own in table.groupby("source", sort=False):
            first, last = own["step"].min(), own["step"].max()
            gains = own.groupby(["irregularity", "step"], sort=False)["gain"].mean()
            early, late = gains.xs(first, level="step"), gains.xs(last, level="step")
            best, worst = gains.idxmax(), gains.idxmin()
            listed = ", ".join(f"{kind} {gain:+.3f}" for kind, gain in late.items())
            said += [
                f"{source}: after {first} steps of a regular training re-estimation changes the IoU by"
                f" {early['regular']:+.3f}. At the end ({last} steps) it changes it by: {listed}.",
                f"{source}: most is repaired in the training called {best[0]} after {best[1]} steps"
                f" ({gains.max():+.3f}); the largest loss is {worst[0]} after {worst[1]} steps ({gains.min():+.3f}).",
            ]
        return said

    def figures(self, tables: Tables) -> dict[str, Shown]:
        """IoU over steps for every source and irregularity."""
        return {
            f"steps-{source}": Shown(
                f"{source}: IoU over training",
                "Foreground IoU on the source's test block after some steps, with the network's running statistics"
                f" (red) and with statistics re-estimated on {self._tiles()} of the source's whole training block"
                " (blue). Trainings that differ in nothing but momentum have the same weights. Bands are one standard"
                " deviation over seeds.",
                self._draw(tables.table[tables.table["source"] == source]),
            )
            for source in self.sources
        }

    def _tiles(self) -> str:
        count = self.evaluation.tiles
        return f"{count} tiles" if count else "all tiles"

    def _case(self, name: str, source: Spec, kind: str, irregularity: Irregularity, seed: int) -> TrainingCase:
        training = replace(self.training, **(irregularity.training or {}))
        seen = {**source, **(irregularity.domain or {})}
        labels = {"source": name, "irregularity": kind, "seed": seed}
        return TrainingCase(SourceNetwork(training, seen, seed), source, self.steps, self.evaluation, labels)

    def _draw(self, table: pd.DataFrame) -> Figure:
        kinds = list(self.irregularities)
        figure, axes = panels(len(kinds), 4, (2.8, 2.2))
        for panel, kind in zip(axes, kinds, strict=True):
            before_and_after(panel, table[table["irregularity"] == kind], "step")
            panel.set_xscale("log")
            panel.set_title(kind, fontsize=9)
        legend(figure, axes[0])
        return figure
