"""A network that learns from labelled tiles of a target: from a source network, or from scratch."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bnadapt.errors import InputError
from bnadapt.experiments.case import Case, RunLocation, TableRow
from bnadapt.experiments.evaluation import (
    DomainEvaluation,
    DomainTiles,
    Evaluation,
    NetworkEvaluation,
    cached_network,
    scored,
    tiles_of,
)
from bnadapt.experiments.networks import SourceNetwork, Training, build_task, quiet
from bnadapt.experiments.specs import Spec
from bnadapt.gain.candidates import NONE
from bnadapt.labels import FineTuned, FineTuning, LabelledTiles, LearnName, finetune
from bnadapt.studies.candidates.case import evenly_spread

Start = Literal["none", "adapted"]
SCRATCH, STATISTICS = "scratch", "statistics"
SCORED = 48  # tiles of the test block, evenly spread


@dataclass(frozen=True, eq=False)
class LabelsCase(Case):
    """A source network on a target, before and after it learns from labelled tiles.

    Args:
        network: the source network.
        target: the domain.
        evaluation: settings of adaptation and scoring.
        labels: see `Case`.
        start: from the source's statistics (`none`) or the target's (`adapted`).
        tiles: labelled ones, of the train block; none is all, 0 scores the start.
        draw: seed of which.
        learn: what is learnt, in turn.
        steps: steps of the optimizer.
    """

    network: SourceNetwork
    target: Spec
    evaluation: Evaluation
    labels: Mapping[str, Any]
    start: Start
    tiles: int | None
    draw: int
    learn: Sequence[LearnName]
    steps: int

    @property
    def needs(self) -> SourceNetwork:
        """The source network."""
        return self.network

    def measure(self, location: RunLocation) -> list[TableRow]:
        """A row for the start without labels, or for everything that is learnt."""
        network = cached_network(self.network, location.networks, self.evaluation, location.device)
        target = network.on(self.target)
        images = target.tiles.unlabelled(self.evaluation.tiles)
        start = network.bank if self.start == NONE else network.adapted(images, {}).bank
        with start.applied(network.network):
            if self.tiles == 0:
                return [{"learn": STATISTICS, "iou": _iou(network, target), "labelled_tiles": 0, "seconds": 0.0}]
            labelled = labelled_tiles(target.tiles, self.tiles, self.draw)
            return [self._row(target, images, labelled, learn) for learn in self.learn]

    def _row(self, target: DomainEvaluation, images: Tensor, labelled: LabelledTiles, learn: LearnName) -> TableRow:
        network, started = target.network, time.process_time()
        settings = FineTuning(learn, self.steps, folds=0, seed=self.draw)
        with network.precision():
            tuned = finetune(network.network, images, labelled, settings, network.bank)
        seconds = round(time.process_time() - started, 3)
        with _holding(network.network, tuned):
            iou = _iou(network, target)
        return {"learn": learn, "iou": iou, "labelled_tiles": len(labelled), "seconds": seconds}


@dataclass(frozen=True, eq=False)
class ScratchCase(Case):
    """A new network that learns all that it knows from labelled tiles of a target.

    Args:
        training: training of the networks that it stands beside.
        target: the domain.
        evaluation: settings of adaptation and scoring.
        labels: see `Case`.
        tiles: labelled ones, of the train block; none is all.
        draw: seed of which, and of the network.
        steps: steps of the optimizer.
    """

    training: Training
    target: Spec
    evaluation: Evaluation
    labels: Mapping[str, Any]
    tiles: int | None
    draw: int
    steps: int

    @property
    def needs(self) -> None:
        """No network is needed."""

    def measure(self, location: RunLocation) -> list[TableRow]:
        """One row."""
        started = time.process_time()
        with quiet():
            torch.manual_seed(self.draw)
            fresh = build_task(self.training).network.to(location.device).eval()
            tiles = tiles_of(SourceNetwork(self.training, self.target, self.draw), self.evaluation)
            network = NetworkEvaluation(fresh, self.target, self.evaluation, tiles)
        target = network.source
        images = target.tiles.unlabelled(self.evaluation.tiles)
        labelled = labelled_tiles(target.tiles, self.tiles, self.draw)
        network.adapted(images, {}).bank.apply(fresh)
        settings = FineTuning("all", self.steps, self.training.learning_rate, folds=0, seed=self.draw)
        with network.precision():
            finetune(fresh, images, labelled, settings).apply(fresh)
        seconds = round(time.process_time() - started, 3)
        return [{"learn": "all", "iou": _iou(network, target), "labelled_tiles": len(labelled), "seconds": seconds}]


def labelled_tiles(tiles: DomainTiles, count: int | None, seed: int) -> LabelledTiles:
    """Labelled tiles of the train block in random order; the first shows some foreground. More hold those of fewer."""
    batches = tiles.scored.labelled_tiles("target", "train", None, seed)
    drawn = ((image, mask) for batch in batches for image, mask in zip(batch["image"], batch["mask"], strict=True))
    passed_over = []
    for tile in drawn:
        if (tile[1] == 1).any():
            chosen = islice(chain([tile], passed_over, drawn), count)
            images, masks = (torch.stack(each) for each in zip(*chosen, strict=True))
            return LabelledTiles(images, masks)
        passed_over.append(tile)
    raise InputError(f"{tiles.scored.target.name}: no tile of its train block shows foreground; take another target.")


def _iou(network: NetworkEvaluation, target: DomainEvaluation) -> float:
    return scored(network.forward, evenly_spread(target.tiles.labelled, SCORED)).iou


@contextmanager
def _holding(network: nn.Module, tuned: FineTuned) -> Iterator[None]:
    """Load a learnt state into a network temporarily."""
    saved = {name: each.clone() for name, each in network.state_dict().items()}
    tuned.apply(network)
    try:
        yield
    finally:
        network.load_state_dict(saved)
