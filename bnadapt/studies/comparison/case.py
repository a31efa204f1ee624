"""A method in one direction: one network, scored after every treatment."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from bnadapt.batchnorm import BatchNormError
from bnadapt.errors import InputError
from bnadapt.experiments.case import NetworkCase, RunLocation, TableRow
from bnadapt.experiments.network_evaluation import DomainEvaluation
from bnadapt.experiments.networks import training_seconds
from bnadapt.reports.panels import outlined_panels, panel_rows
from bnadapt.studies.comparison.methods import NONE, row_name
from bnadapt.studies.comparison.treatments import treated


@dataclass(frozen=True, eq=False)
class ComparisonCase(NetworkCase):
    """A method in one direction, with one seed.

    Args:
        network: network of the method.
        target: domain to score on, with masks.
        evaluation: see `NetworkCase`.
        labels: see `Case`; `method` is its name.
        afterwards: names of treatments of the trained network.
        reads_target: whether training reads images of the target.
        pictured: whether to keep a picture of the first test tile.
    """

    afterwards: Sequence[str]
    reads_target: bool
    pictured: bool = False

    def rows_on(self, target: DomainEvaluation, location: RunLocation) -> list[TableRow]:
        """A row for every treatment; of one that fails, the reason."""
        training = self.network.training
        common = {
            "target_crops": training.steps * training.batch_size if self.reads_target else 0,
            "seconds_training": training_seconds(self.network, location.networks),
        }
        rows, predictions = [], {}
        for treatment in self.afterwards:
            name = row_name(self.labels["method"], treatment)
            try:
                row, predictions[name] = _scored(target, treatment)
            except (BatchNormError, InputError, RuntimeError) as error:
                row = {"failed": str(error)}
            rows.append({"row": name, **row, **common})
        if self.pictured and predictions:
            self.save_picture(panel_rows(outlined_panels(target.tiles.pictured, predictions)), location)
        return rows


def _scored(target: DomainEvaluation, treatment: str) -> tuple[TableRow, Tensor]:
    """Scores of a treatment on target and source, what it cost, and its prediction of the first test tile."""
    network = target.network
    tiles = target.adaptation_tiles()
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
