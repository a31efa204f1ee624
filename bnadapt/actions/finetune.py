"""Fine-tune a task's network on a few labelled tiles of its target."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from bnadapt.actions.adapt import Adaptation, with_earlier
from bnadapt.actions.checks import require_domains, require_tiles_in_memory
from bnadapt.actions.choose import Show, adapt_by_choice, check_choice
from bnadapt.actions.labelled import labelled_by_hand, labelled_of_train_block, learnt_areas
from bnadapt.actions.self_train import self_train_on_target
from bnadapt.adaptation import Recipe
from bnadapt.batchnorm import Bank, NoBatchNormError
from bnadapt.data import DomainPair
from bnadapt.data.masks import IGNORED
from bnadapt.errors import InputError
from bnadapt.gain import RECOMMENDABLE
from bnadapt.gain.candidates import ADAPTED, FULL_REPLACEMENT, NONE
from bnadapt.labels import FineTuning, LabelledTiles, SelfTraining, finetune
from bnadapt.labels.self_training import SELF_TRAINED
from bnadapt.tasks import AdaptableTask

UNCHOSEN = (SELF_TRAINED, ADAPTED, NONE)  # starts that need no recommendation


def check_finetuning(data: DomainPair, labelled: int | None, proposed: str | None, start: str, steps: int) -> None:
    """Refuse what cannot be learnt from, before any work.

    Raises:
        InputError: no target, neither or both of `labelled` and `proposed`, no masks, a source that is not read, an
            unknown start, or a count below 1.
    """
    require_domains(data, "finetune", "target")
    if (labelled is None) == (proposed is None):
        raise InputError(
            "finetune: give either --labelled, a number of tiles that --data.target.masks label, or --proposed, a"
            " folder of bnadapt propose that was drawn on."
        )
    if steps < 1 or (labelled is not None and labelled < 1):
        raise InputError(f"finetune: steps is {steps}, labelled {labelled}; give at least 1.")
    if labelled is not None:
        data.require_masks("target")
    require_tiles_in_memory(data, "finetune")
    if data.source is not None and start in UNCHOSEN:
        raise InputError(
            "finetune: learns from the target alone, and reads a source only to recommend a --start such as auto; leave"
            " out --data.source."
        )
    if start not in UNCHOSEN:
        check_choice("finetune: --start", start, data.requested_change, names=(SELF_TRAINED, *RECOMMENDABLE))


@torch.inference_mode(False)
def finetune_to_target(
    task: AdaptableTask, data: DomainPair, labels: int | Path, settings: FineTuning, start: str, show: Show
) -> Adaptation | None:
    """Learn from labelled tiles, and update the task's network and record.

    Args:
        task: the trained network.
        data: its target is read without masks, for statistics.
        labels: number of tiles of the target's train block, which has masks, or folder of `propose`.
        settings: how to learn.
        start: what to start from, see `bnadapt finetune`.
        show: gives the `progress` of a piece of work by its name.

    Returns:
        The adaptation that it started from, if any.

    Raises:
        InputError: there is nothing to learn from.
        BatchNormError: see `finetune`.
    """
    source, change = task.source_bank or bank_or_none(task.network), data.target_change
    labelled = _read(labels, data, task.hparams.num_classes)
    adaptation = _begin(task, data, start, show)
    if data.target_change != change:
        labelled = _read(labels, data, task.hparams.num_classes)
    started = time.perf_counter()
    tiles = DataLoader(data.unlabelled_tiles("target", data.adaptation_tiles), batch_size=data.batch_size)
    with task.trainer.precision_plugin.forward_context():
        images = [batch["image"] for batch in tiles]
        tuned = finetune(task.network, images, labelled, settings, source, show("Learning"))
        tuned.apply(task.network)
    data.learnt_areas = [*data.learnt_areas, *learnt_areas(data, labelled)]
    keeps_features = tuned.learn in ("mixing", "head") and start != SELF_TRAINED
    task.source_bank, task.target_bank = source if keeps_features else None, bank_or_none(task.network)
    if tuned.learn != "mixing":
        task.class_moments = task.source_summary = None  # of other weights
    task.adaptation = {
        **_record_so_far(task, data),
        "finetuning": {
            "start": start if source or start == SELF_TRAINED else NONE,
            "learn": tuned.learn,
            "steps": tuned.steps,
            "labelled_tiles": len(labelled),
            "labelled_pixels": int((labelled.masks != IGNORED).sum()),
            "unlabelled_tiles": sum(map(len, images)),
            "iou_before": tuned.before,
            "iou_after": tuned.after,
            "iou_by_steps": dict(tuned.scores),
            "seconds": round(time.perf_counter() - started, 3),
        },
    }
    return adaptation


def _read(labels: int | Path, data: DomainPair, num_classes: int) -> LabelledTiles:
    """The tiles of `finetune_to_target`."""
    if isinstance(labels, Path):
        return labelled_by_hand(data, labels, num_classes)
    return labelled_of_train_block(data, labels)


def _record_so_far(task: AdaptableTask, data: DomainPair) -> Mapping[str, Any]:
    """The record of the adaptation that learning started from; one with labels of its own becomes an earlier one."""
    record = task.adaptation or {}
    return record if record and "finetuning" not in record else with_earlier({"target": data.target.name}, record)


def bank_or_none(network: nn.Module) -> Bank | None:
    """Statistics that a network holds; None if it has no BatchNorm layers."""
    try:
        return Bank.of(network)
    except NoBatchNormError:
        return None


def _begin(task: AdaptableTask, data: DomainPair, start: str, show: Show) -> Adaptation | None:
    """Bring the network to its start; statistics are adapted only if the network has any."""
    adaptation = None
    if start != NONE and bank_or_none(task.network):
        choice = None if start in UNCHOSEN else start
        adaptation = adapt_by_choice(task, data, Recipe(FULL_REPLACEMENT), choice, show).adaptation
    if start == SELF_TRAINED:
        self_train_on_target(task, data, SelfTraining(), show("Self-training"))
    return adaptation
