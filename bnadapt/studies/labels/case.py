"""A network that learns from labelled tiles of a target: from a source network, or from scratch."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from bnadapt.batchnorm import Bank
from bnadapt.errors import InputError
from bnadapt.experiments.case import Case, NetworkCase, RunLocation, TableRow
from bnadapt.experiments.domain_tiles import domain_tiles_for
from bnadapt.experiments.evaluation import Evaluation
from bnadapt.experiments.network_evaluation import DomainEvaluation, NetworkEvaluation
from bnadapt.experiments.networks import SourceNetwork, Training, build_task, quiet
from bnadapt.experiments.specs import Spec
from bnadapt.gain.candidates import ADAPTED, CANDIDATES, NONE
from bnadapt.gain.source_summary import images_and_masks
from bnadapt.labels import FineTuning, LabelledTiles, LearnName, finetune, self_train
from bnadapt.labels.proposal import COMPARED, proposed_tiles
from bnadapt.labels.random_tiles import random_tiles
from bnadapt.labels.self_training import SELF_TRAINED

Start = Literal["none", "adapted", "self-trained", "scratch"]
Choice = Literal["random", "proposed"]
RANDOM, PROPOSED = "random", "proposed"
SCRATCH, STATISTICS = "scratch", "statistics"
CONSIDERED = 64  # random labelled tiles that `propose` chooses from


@dataclass(frozen=True, eq=False)
class StartCase(NetworkCase):
    """A source network on a target, without a label.

    Args:
        network, target, evaluation, labels: see `NetworkCase`.
        start: candidate whose statistics it has, or `self-trained` from `adapted`.
    """

    start: Start

    def rows_on(self, target: DomainEvaluation, location: RunLocation) -> list[TableRow]:
        """One row."""
        with target.network.restored():
            begin(target, self.start)
            iou = target.quick_scores().iou
        return [{"learn": STATISTICS, "iou": iou, "labelled_tiles": 0, "seconds": 0.0}]


@dataclass(frozen=True, eq=False)
class LabelsCase(NetworkCase):
    """A source network on a target, after it has learnt from labelled tiles.

    Args:
        network, target, evaluation, labels: see `NetworkCase`.
        start: see `StartCase`.
        tiles: number of labelled tiles of the train block; None takes all.
        draw: seed of the choice of tiles.
        choice: tiles at random, or those that `propose` chooses among some random ones.
        learn: what is learnt, see `bnadapt.labels.FineTuning`.
        steps: steps of the optimizer.
    """

    start: Start
    tiles: int | None
    draw: int
    choice: Choice
    learn: LearnName
    steps: int

    def rows_on(self, target: DomainEvaluation, location: RunLocation) -> list[TableRow]:
        """One row."""
        network, images, labelled = target.network, target.adaptation_tiles(), self._labelled(target)
        settings = FineTuning(self.learn, self.steps, folds=0, seed=self.draw)
        with network.restored():
            begin(target, self.start)
            started = time.process_time()
            with network.precision():
                finetune(network.network, images, labelled, settings, network.bank).apply(network.network)
            seconds = round(time.process_time() - started, 3)
            iou = target.quick_scores().iou
        return [{"learn": self.learn, "iou": iou, "labelled_tiles": len(labelled), "seconds": seconds}]

    def _labelled(self, target: DomainEvaluation) -> LabelledTiles:
        if self.choice == RANDOM:
            return random_tiles(target.tiles.scored, self.tiles, self.draw)
        return proposed_labelled_tiles(target, self.tiles, self.draw)


@dataclass(frozen=True, eq=False)
class ScratchCase(Case):
    """A new network that is trained on labelled tiles of a target alone.

    Args:
        training: training of the networks that it is compared with.
        target: the domain.
        evaluation: settings of adaptation and scoring.
        labels: see `Case`.
        tiles: number of labelled tiles of the train block; None takes all.
        draw: seed of the choice of tiles, and of the network.
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
            tiles = domain_tiles_for(SourceNetwork(self.training, self.target, self.draw), self.evaluation)
            network = NetworkEvaluation(fresh, self.target, self.evaluation, tiles)
        target = network.source
        images = target.adaptation_tiles()
        labelled = random_tiles(target.tiles.scored, self.tiles, self.draw)
        network.adapted(images).bank.apply(fresh)
        settings = FineTuning(
            "all", self.steps, self.training.learning_rate, folds=0, seed=self.draw, pseudo_label_weight=0
        )
        with network.precision():
            finetune(fresh, images, labelled, settings).apply(fresh)
        seconds = round(time.process_time() - started, 3)
        iou = target.quick_scores().iou
        return [{"learn": "all", "iou": iou, "labelled_tiles": len(labelled), "seconds": seconds}]


def begin(target: DomainEvaluation, start: Start) -> None:
    """Load the weights and statistics that learning starts from into the network of a target."""
    if start == SELF_TRAINED:
        target.network.network.load_state_dict(_self_trained(target))
    else:
        start_bank(target, start).apply(target.network.network)


@lru_cache(1)
def _self_trained(target: DomainEvaluation) -> Mapping[str, Tensor]:
    """State of the network of a target after self-training, which the cases of one pair share."""
    network = target.network
    start_bank(target, ADAPTED).apply(network.network)
    with network.precision():
        return self_train(network.network, target.adaptation_tiles(), source_bank=network.bank)


def start_bank(target: DomainEvaluation, candidate: str) -> Bank:
    """Statistics of a candidate."""
    network = target.network
    if candidate == NONE:
        return network.bank
    return network.adapted(target.adaptation_tiles(), CANDIDATES[candidate].policy).bank


def proposed_labelled_tiles(target: DomainEvaluation, count: int, seed: int) -> LabelledTiles:
    """Tiles that `propose` would choose among random ones of the train block; at least one has foreground."""
    loader = target.tiles.scored.labelled_tiles("target", "train", CONSIDERED, seed)
    images, masks = images_and_masks(loader)
    left = torch.tensor(loader.dataset.indices).argsort()  # in the order in which they lie in the volume
    shares = _disagreement(target, images)
    while len(left):
        chosen = proposed_tiles(images, shares, left.tolist(), count)
        if (masks[chosen] == 1).any():
            return LabelledTiles(images[chosen], masks[chosen])
        left = left[~torch.isin(left, torch.tensor(chosen))]
    raise InputError(f"{target.tiles.scored.target.name}: no tile shows foreground; take another target.")


def _disagreement(target: DomainEvaluation, images: Tensor) -> Tensor:
    """Share (n,) of the pixels of each image on which the candidates that `propose` compares disagree."""
    network = target.network
    banks = [start_bank(target, name) for name in COMPARED]
    classes = torch.stack([torch.cat([network.predicted(part, bank) for part in images.split(8)]) for bank in banks])
    return (classes != classes[0]).any(0).double().mean((1, 2))
