"""A method in one direction: trained once, scored after everything that is done with it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bnadapt.experiments.case import Case, RunLocation, TableRow
from bnadapt.experiments.evaluation import DomainEvaluation, Evaluation, cached_network
from bnadapt.experiments.networks import Training
from bnadapt.experiments.specs import Spec
from bnadapt.files import atomic_write
from bnadapt.reports.panels import classes_panel, image_panel, panel_row
from bnadapt.studies.comparison.history import History, trained_with_history
from bnadapt.studies.comparison.methods import METHODS, NONE, row_name
from bnadapt.studies.comparison.treatments import treated


@dataclass(frozen=True, eq=False)
class ComparisonCase(Case):
    """A method in one direction, with one seed.

    Args:
        method: a key of `METHODS`.
        training: that all methods share.
        source: the domain with masks.
        target: the other one.
        seed: of weights and crops.
        evaluation: how to adapt and score.
        labels: see `Case`.
        pictured: whether to keep a picture of the first test tile.
    """

    method: str
    training: Training
    source: Spec
    target: Spec
    seed: int
    evaluation: Evaluation
    labels: Mapping[str, Any]
    pictured: bool = False

    @property
    def needs(self) -> None:
        """None that others share: the training is watched, and a part of the case."""
        return None

    def measure(self, location: RunLocation) -> list[TableRow]:
        """A row for everything that is done with the network afterwards."""
        method = METHODS[self.method]
        network = method.trained_on(self.training, self.source, self.target, self.seed)
        history = trained_with_history(network, self.target, self.evaluation, location)
        target = cached_network(network, location.networks, self.evaluation, location.device).on(self.target)
        crops = self.training.steps * self.training.batch_size if method.learns_from != "source" else 0
        rows, predictions = [], {}
        for treatment in method.afterwards:
            row, prediction = _scored(target, treatment)
            row |= {"row": row_name(self.method, treatment), "target_crops": crops, "network": network.key}
            rows.append({**row, **(_of(history) if treatment == NONE else {}), "seconds_training": history.seconds})
            predictions[row["row"]] = prediction
        if self.pictured:
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
        prediction = network.predicted(target.tiles.labelled[0][0][:1], bank)[0]
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


def _of(history: History) -> TableRow:
    return {"history_steps": history.steps, "history_iou": history.iou, "iou_oracle_choice": max(history.iou)}


def _draw(target: DomainEvaluation, predictions: Mapping[str, Tensor], location: RunLocation, key: str) -> None:
    images, masks = target.tiles.labelled[0]
    panels = {"image": image_panel(images[0]), "mask": classes_panel(masks[0].numpy())}
    panels |= {name: classes_panel(classes.numpy()) for name, classes in predictions.items()}
    with atomic_write(location.pictures / f"{key}.png") as partial:
        panel_row(panels).savefig(partial, dpi=60)
