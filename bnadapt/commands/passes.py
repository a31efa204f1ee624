"""Number of tiles that commands pass through the network, and the time of one, to estimate how long they take."""

import time
from collections.abc import Sequence
from itertools import pairwise

import torch

from bnadapt.actions.finetune import UNCHOSEN
from bnadapt.adaptation import SCANNED_TILES
from bnadapt.batchnorm.isolation import isolated
from bnadapt.data import DomainPair
from bnadapt.gain import CANDIDATES, PREVIEWED
from bnadapt.gain.candidates import NONE
from bnadapt.labels import FineTuning, SelfTraining
from bnadapt.labels.cross_validation import CHECKED_EVERY, FEWEST_TO_STOP
from bnadapt.labels.learner import CROP
from bnadapt.labels.pseudo_labels import BATCH
from bnadapt.labels.self_training import SELF_TRAINED
from bnadapt.labels.statistics import PASSES
from bnadapt.tasks import AdaptableTask

TRIED = 20  # passes of every tile that all candidates are tried on
MEASURED = 32  # tiles of either domain that `adapt` measures distances on
STATES = 3  # passes of every tile that distances are measured on
PROPORTIONS = 105  # passes to estimate class proportions, for corrected candidates
LEARNING = 3  # passes without gradients that take as long as one with
COMPARED = 5  # passes of every tile that `propose` reads


def passes_of_adapt(data: DomainPair, is_chosen: bool, self_training: int) -> int:
    """Passes of adaptation and its alarms, distances if there is a source, candidates, and steps of self-training."""
    distances = STATES * MEASURED if data.source else 0
    tried = TRIED * SCANNED_TILES if is_chosen else 0
    return adaptation_tiles(data) + SCANNED_TILES + distances + tried + _of_self_training(data, self_training)


def passes_of_preview(data: DomainPair, regions: int, candidates: Sequence[str] | None) -> int:
    """Passes of adapting under every candidate, and of showing the regions."""
    names = candidates or PREVIEWED
    proportions = PROPORTIONS if any(CANDIDATES[name].is_corrected for name in names) else 0
    return len(names) * (adaptation_tiles(data) + regions) + proportions


def passes_of_finetune(data: DomainPair, labelled: int, steps: int, start: str) -> int:
    """Passes of a start, of steps on labelled and unlabelled crops, and of scores in cross-validation.

    Args:
        data: the data.
        labelled: number of labelled tiles.
        steps: steps of each training.
        start: see `bnadapt finetune`.
    """
    tiles, folds = adaptation_tiles(data), min(FineTuning().folds, labelled) if labelled >= FEWEST_TO_STOP else 0
    begun = 0 if start == NONE else passes_of_adapt(data, start not in UNCHOSEN, 0)
    begun += _of_self_training(data, SelfTraining().steps) if start == SELF_TRAINED else 0
    prepared = (PASSES + 2) * tiles  # statistics at the start, pseudo-labels, and statistics at the end
    learnt = round((1 + folds) * steps * 2 * BATCH * LEARNING * CROP**2)
    scored = (2 + steps // CHECKED_EVERY) * (folds * tiles + labelled) if folds else 0
    return begun + prepared + learnt + scored


def _of_self_training(data: DomainPair, steps: int) -> int:
    """Passes of steps of self-training, and of three predictions of all tiles."""
    crop = min(1.0, SelfTraining().side / data.tile_size) ** 2  # as a part of a tile
    return round(steps * BATCH * (1 + LEARNING) * crop) + (3 * adaptation_tiles(data) if steps else 0)


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
