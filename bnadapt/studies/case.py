"""A case: one thing to measure, as a function of its config alone."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bnadapt.batchnorm import Bank
from bnadapt.callbacks.pictures import comparison
from bnadapt.files import atomic_write
from bnadapt.studies.evaluation import Evaluated, Evaluation, Images, at_hand
from bnadapt.studies.networks import SourceNetwork
from bnadapt.studies.specs import Keyed, Spec

Row = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a case is measured.

    Attributes:
        networks: folder of trained networks.
        pictures: folder for pictures.
        device: to run on.
    """

    networks: Path
    pictures: Path
    device: torch.device


class Case(Keyed, ABC):
    """Something to measure; a dataclass of plain values.

    Attributes:
        labels: columns of the table that tell the case apart from the others of its study; they follow from the
            config and are no part of its key.
    """

    labels: Mapping[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """All but the labels, and what kind of case it is."""
        config = {key: value for key, value in super().config.items() if key != "labels"}
        return {"kind": type(self).__name__, **config}

    @property
    @abstractmethod
    def needs(self) -> SourceNetwork | None:
        """The network that must be trained before, if there is one; cases of one network go to one process."""

    @abstractmethod
    def measure(self, place: Place) -> list[Row]:
        """The rows of the table that it gives."""


@dataclass(frozen=True, eq=False)
class AdaptationCase(Case):
    """A source network on a target, without and with adaptation.

    Args:
        network: the source network.
        target: the domain.
        evaluation: how to adapt and score.
        labels: see `Case`.
        policy: how source and target statistics are combined, as plain values.
        pictured: whether to keep a picture of the first test tile.
        draw: seed of which tiles adaptation reads.
    """

    network: SourceNetwork
    target: Spec
    evaluation: Evaluation
    labels: Mapping[str, Any]
    policy: Mapping[str, Any] = field(default_factory=dict)
    pictured: bool = False
    draw: int = 0

    @property
    def needs(self) -> SourceNetwork:
        """The source network."""
        return self.network

    def measure(self, place: Place) -> list[Row]:
        """One row: scores, gain, and, where they are asked for, distances by state, layer and measure."""
        evaluated = at_hand(self.network, place.networks, self.evaluation, place.device)
        target = evaluated.on(self.target)
        tiles = target.images.unlabelled(self.evaluation.tiles, self.draw)
        started = time.perf_counter()
        estimate = evaluated.adapted(tiles, self.policy)
        seconds = time.perf_counter() - started
        with estimate.bank.applied(evaluated.network):
            after = evaluated.scores(target.images)
            residual = evaluated.distances(target.latent_tiles) if self.evaluation.latent_tiles else None
        if self.pictured:
            self._draw(evaluated, target.images, estimate.bank, place.pictures / f"{self.key}.png")
        row: Row = {
            "iou_source": evaluated.source.scores.iou,
            "iou_unadapted": target.scores.iou,
            "iou_adapted": after.iou,
            "gain": after.iou - target.scores.iou,
            "foreground_source": evaluated.source.scores.true,
            "foreground": after.true,
            "foreground_unadapted": target.scores.predicted,
            "foreground_adapted": after.predicted,
            "tiles": estimate.tiles,
            "seconds": round(seconds, 3),
        }
        if residual:
            row["distances"] = {
                "noise_floor": evaluated.noise_floor,
                "unadapted": target.distances,
                "adapted": residual,
            }
        return [row]

    def _draw(self, evaluated: Evaluated, images: Images, bank: Bank, path: Path) -> None:
        """Image, mask, predictions without and with adaptation, and their difference, of the first test tile."""
        batch, masks = images.labelled[0]
        predictions = {"without adaptation": evaluated.forward(batch[:1]).argmax(1)[0].cpu()}
        with bank.applied(evaluated.network):
            predictions["with adaptation"] = evaluated.forward(batch[:1]).argmax(1)[0].cpu()
        figure = comparison({"image": batch[0], "mask": masks[0]}, predictions)
        with atomic_write(path) as partial:
            figure.savefig(partial, dpi=80)
