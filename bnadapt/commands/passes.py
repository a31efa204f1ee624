"""Number of tiles that commands pass through the network, and the time of one, to estimate how long they take."""

import time
from collections.abc import Sequence
from itertools import pairwise

import torch

from bnadapt.adaptation import SCANNED_TILES
from bnadapt.batchnorm.isolation import isolated
from bnadapt.data import DomainPair
from bnadapt.gain import CANDIDATES
from bnadapt.labels import FineTuning, SelfTraining
from bnadapt.labels.cross_validation import FEWEST_TO_STOP
from bnadapt.labels.pseudo_labels import BATCH
from bnadapt.tasks import AdaptableTask

TRIED = 20  # passes of every tile that all candidates are tried on
MEASURED = 32  # tiles of either domain that `adapt` measures distances on
STATES = 3  # passes of every tile that distances are measured on
PROPORTIONS = 105  # passes to estimate class proportions, for some candidates
LEARNING = 3  # passes without gradients that take as long as one with
COMPARED = 5  # passes of every tile that `propose` reads


def passes_of_adapt(data: DomainPair, is_chosen: bool, self_training: int) -> int:
    """Passes of adaptation and its alarms, distances if there is a source, candidates, and steps of self-training."""
    distances = STATES * MEASURED if data.source else 0
    tried = TRIED * SCANNED_TILES if is_chosen else 0
    crop = min(1.0, SelfTraining().side / data.tile_size) ** 2  # as a part of a tile
    learnt = round(self_training * BATCH * (1 + LEARNING) * crop)
    return adaptation_tiles(data) + SCANNED_TILES + distances + tried + learnt


def passes_of_preview(data: DomainPair, regions: int, candidates: Sequence[str] | None) -> int:
    """Passes of adapting under every candidate, and of showing the regions."""
    return len(candidates or CANDIDATES) * (adaptation_tiles(data) + regions) + PROPORTIONS


def passes_of_finetune(data: DomainPair, labelled: int | None, steps: int) -> int:
    """Passes of adapting, and of steps on all tiles, with cross-validation where enough are labelled."""
    settings = FineTuning()
    tiles = settings.folds if labelled is None else labelled
    trainings = 1 + min(settings.folds, tiles) if tiles >= FEWEST_TO_STOP else 1
    return adaptation_tiles(data) + trainings * steps * 2 * BATCH * LEARNING


def seconds_of_tile(task: AdaptableTask, side: int) -> float:
    """Seconds that a tile takes in the network of a task, the better of two passes."""
    tile, times = torch.zeros(1, task.hparams.in_channels, side, side), [time.perf_counter()]
    with isolated(task.network):
        for _ in range(2):
            task.logits_of(tile).sum().item()
            times.append(time.perf_counter())
    return min(later - earlier for earlier, later in pairwise(times))


def adaptation_tiles(data: DomainPair) -> int:
    """Tiles of the target that adaptation reads; as many as by default if it reads all."""
    return data.adaptation_tiles or 64
