"""A method in one direction: one network, scored after every treatment."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bnadapt.batchnorm import BatchNormError
from bnadapt.errors import InputError
from bnadapt.experiments.case import Case, RunLocation, TableRow
from bnadapt.experiments.evaluation import DomainEvaluation, Evaluation, cached_network
from bnadapt.experiments.networks import SourceNetwork, training_seconds
from bnadapt.experiments.specs import Spec
from bnadapt.files import atomic_write
from bnadapt.reports.panels import outlined_panels, panel_rows
from bnadapt.studies.comparison.methods import NONE, row_name
from bnadapt.studies.comparison.treatments import treated


@dataclass(frozen=True, eq=False)
class ComparisonCase(Case):
    """A method in one direction, with one seed.

    Args:
        network: network of the method.
        target: domain to score on, with masks.
        afterwards: names of treatments of the trained network.
        reads_target: whether training reads images of the target.
        evaluation: settings of adaptation and scoring.
        labels: see `Case`; `method` is its name.
        pictured: whether to keep a picture of the first test tile.
    """

    network: SourceNetwork
    target: Spec
    afterwards: Sequence[str]
    reads_target: bool
    evaluation: Evaluation
    labels: Mapping[str, Any]
    pictured: bool = False

    @property
    def needs(self) -> SourceNetwork:
        """The network, which other studies may share."""
        return self.network

    def measure(self, location: RunLocation) -> list[TableRow]:
        """A row for everything that is done with the network afterwards; of a treatment that fails, why it did."""
        training = self.network.training
        network = cached_network(self.network, location.networks, self.evaluation, location.device)
        target = network.on(self.target)
        crops = training.steps * training.batch_size if self.reads_target else 0
        common = {"target_crops": crops, "network": self.network.key}
        common["seconds_training"] = training_seconds(self.network, location.networks)
        rows, predictions = [], {}
        for treatment in self.afterwards:
            name = row_name(self.labels["method"], treatment)
            try:
                row, predictions[name] = _scored(target, treatment)
            except (BatchNormError, InputError, RuntimeError) as error:
                row = {"failed": str(error)}
            rows.append({"row": name, **row, **common})
        if self.pictured and predictions:
            _draw(target, predictions, location, self.key)
        return rows


def _scored(target: DomainEvaluation, treatment: str) -> tuple[TableRow, Tensor]:
    """Scores of a treatment on target and source, what it cost, and its prediction of the first test tile."""
    network = target.network
    tiles = target.tiles.unlabelled(network.evaluation.tiles)
    started = time.perf_counter()
    with treated(network, treatment, tiles) as bank:
        seconds = time.perf_counter() - started
        scores, of_source = (network.scores(each, bank) for each in (target.tiles, network.source.tiles))
        prediction = network.predicted(target.tiles.pictured["image"][None], bank)[0]
    row = {
        "iou": scores.iou,
        "dice": 2 * scores.iou / (1 + scores.iou),
        "iou_source": of_source.iou,
        "dice_source": 2 * of_source.iou / (1 + of_source.iou),
        "foreground": scores.true,
        "foreground_predicted": scores.predicted,
        "seconds_adaptation": 0.0 if treatment == NONE else round(seconds, 3),
        "target_tiles": 0 if treatment == NONE else len(tiles),
        "parameters": sum(each.numel() for each in network.network.parameters()),
    }
    return row, prediction


def _draw(target: DomainEvaluation, predictions: Mapping[str, Tensor], location: RunLocation, key: str) -> None:
    panels = outlined_panels(target.tiles.pictured, predictions)
    with atomic_write(location.pictures / f"{key}.png") as partial:
        panel_rows(panels).savefig(partial, dpi=80)
