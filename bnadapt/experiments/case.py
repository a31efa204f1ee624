"""A case: one thing to measure, as a function of its config alone."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from bnadapt.batchnorm import Bank, Policy
from bnadapt.experiments.evaluation import Evaluation
from bnadapt.experiments.network_evaluation import DomainEvaluation
from bnadapt.experiments.networks import SourceNetwork
from bnadapt.experiments.specs import Keyed, Spec, policy_of
from bnadapt.experiments.trained_networks import cached_network
from bnadapt.files import atomic_write
from bnadapt.gain.candidates import FULL_REPLACEMENT
from bnadapt.reports.panels import comparison

TableRow = dict[str, Any]


@dataclass(frozen=True)
class RunLocation:
    """Folders and device of a measurement.

    Attributes:
        networks: folder of trained networks.
        pictures: folder for pictures.
        runs: folder for further outputs of a case.
        device: device to run on.
    """

    networks: Path
    pictures: Path
    runs: Path
    device: torch.device


class Case(Keyed, ABC):
    """Something to measure; a dataclass of plain values.

    Attributes:
        labels: columns of the table that identify the case in its study; they follow from the config and are not part
            of its key.
    """

    labels: Mapping[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """The class of the case and all fields except the labels."""
        config = {key: value for key, value in super().config.items() if key != "labels"}
        return {"kind": type(self).__name__, **config}

    @property
    @abstractmethod
    def needs(self) -> SourceNetwork | None:
        """The network that must be trained first, if any; cases of one network run in one process."""

    @abstractmethod
    def measure(self, location: RunLocation) -> list[TableRow]:
        """Measure the case, and return its rows of the table."""

    def picture_in(self, folder: Path) -> Path:
        """The path of the case's picture in a folder of pictures."""
        return folder / f"{self.key}.png"

    def save_picture(self, figure: Figure, location: RunLocation, dpi: int = 80) -> None:
        """Write the case's picture."""
        with atomic_write(self.picture_in(location.pictures)) as partial:
            figure.savefig(partial, dpi=dpi)


@dataclass(frozen=True, eq=False)
class NetworkCase(Case):
    """A source network on a target.

    Args:
        network: the source network.
        target: the domain.
        evaluation: settings of adaptation and scoring.
        labels: see `Case`.
    """

    network: SourceNetwork
    target: Spec
    evaluation: Evaluation
    labels: Mapping[str, Any]

    @property
    def needs(self) -> SourceNetwork:
        """The source network."""
        return self.network

    def measure(self, location: RunLocation) -> list[TableRow]:
        """The rows of `rows_on`, with the key of the network."""
        rows = self.rows_on(self.on_target(location), location)
        return [{**row, "network": self.network.key} for row in rows]

    @abstractmethod
    def rows_on(self, target: DomainEvaluation, location: RunLocation) -> list[TableRow]:
        """Measure the network on the target, and leave it unchanged."""

    def on_target(self, location: RunLocation) -> DomainEvaluation:
        """The network on the target, trained first where it is missing."""
        return cached_network(self.network, location.networks, self.evaluation, location.device).on(self.target)


@dataclass(frozen=True, eq=False)
class AdaptationCase(NetworkCase):
    """A source network on a target, without and with adaptation.

    Args:
        network, target, evaluation, labels: see `NetworkCase`.
        policy: how source and target statistics are combined, as plain values.
        pictured: whether to keep a picture of the first test tile.
        draw: seed of the draw of tiles for adaptation.
    """

    policy: Mapping[str, Any] = field(default_factory=dict)
    pictured: bool = False
    draw: int = 0

    @property
    def config(self) -> dict[str, Any]:
        """The config with the defaults of the policy."""
        return {**super().config, "policy": policy_of(self.policy).record()}

    def rows_on(self, target: DomainEvaluation, location: RunLocation) -> list[TableRow]:
        """One row, see `adaptation_row`."""
        row, bank = adaptation_row(target, policy_of(self.policy), self.draw)
        if self.pictured:
            self._draw(target, bank, location)
        return [row]

    def draw_picture(self, location: RunLocation) -> None:
        """Adapt, and draw the picture alone."""
        target = self.on_target(location)
        bank = target.network.adapted(target.adaptation_tiles(self.draw), policy_of(self.policy)).bank
        self._draw(target, bank, location)

    def _draw(self, target: DomainEvaluation, bank: Bank, location: RunLocation) -> None:
        """Image, mask, predictions without and with adaptation, and their difference, for the first test tile."""
        network, item = target.network, target.tiles.pictured
        banks = {"without adaptation": network.bank, "with adaptation": bank}
        predictions = {title: network.predicted(item["image"][None], each)[0] for title, each in banks.items()}
        self.save_picture(comparison(item, predictions), location)


def adaptation_row(target: DomainEvaluation, policy: Policy = FULL_REPLACEMENT, draw: int = 0) -> tuple[TableRow, Bank]:
    """Adapt a network to a domain, and measure the result.

    Args:
        target: a network on the domain.
        policy: how source and target statistics are combined.
        draw: seed of the draw of tiles for adaptation.

    Returns:
        Scores, gain and, if requested, distances by state, layer and measure; and the adapted bank.
    """
    network, evaluation = target.network, target.network.evaluation
    tiles = target.adaptation_tiles(draw)
    started = time.perf_counter()
    estimate = network.adapted(tiles, policy)
    seconds = time.perf_counter() - started
    after = network.scores(target.tiles, estimate.bank)
    row: TableRow = {
        "iou_source": network.source.scores.iou,
        "iou_unadapted": target.scores.iou,
        "iou_adapted": after.iou,
        "gain": after.iou - target.scores.iou,
        "foreground_source": network.source.scores.true,
        "foreground": after.true,
        "foreground_unadapted": target.scores.predicted,
        "foreground_adapted": after.predicted,
        "tiles": estimate.tiles,
        "seconds": round(seconds, 3),
    }
    if evaluation.latent_tiles:
        row["distances"] = {
            "noise_floor": network.noise_floor,
            "unadapted": target.distances,
            "adapted": network.distances(target.latent_tiles, estimate.bank),
        }
    return row, estimate.bank
