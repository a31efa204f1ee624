"""Train a task's adapted network on its own confident predictions of the target."""

import time
from dataclasses import asdict

import torch
from torch.utils.data import DataLoader

from bnadapt.actions.adapt import Progress
from bnadapt.actions.checks import require_tiles_in_memory
from bnadapt.data import DomainPair
from bnadapt.errors import InputError
from bnadapt.labels import SelfTraining, self_train
from bnadapt.tasks import AdaptableTask

SELF_TRAINING_OPTIONS = ("--policy.source_weight", "0", "--self_training", str(SelfTraining().steps))
"""Options of `bnadapt adapt` that adapt all layers and then self-train."""


def check_self_training(data: DomainPair, steps: int) -> None:
    """Refuse what cannot be done or held in memory, before any work.

    Raises:
        InputError: steps are negative, or all tiles of the target are to be read.
    """
    if steps < 0:
        raise InputError(f"adapt: self_training is {steps}; give a number of steps, such as 120, or 0 for none.")
    require_tiles_in_memory(data, "adapt: --self_training")


@torch.inference_mode(False)
def self_train_on_target(
    task: AdaptableTask, data: DomainPair, settings: SelfTraining, progress: Progress = iter
) -> None:
    """Learn from the target without labels, and update the task's network and record.

    Args:
        task: has the adapted network; its statistics stay, but what is known of the source belongs to other weights.
        data: its target is read, without masks.
        settings: how.
        progress: wraps the steps, to show how far it is, or to stop.
    """
    started = time.perf_counter()
    tiles = DataLoader(data.unlabelled_tiles("target", data.adaptation_tiles), batch_size=data.batch_size)
    images = [batch["image"] for batch in tiles]
    with task.trainer.precision_plugin.forward_context():
        task.network.load_state_dict(self_train(task.network, images, settings, task.source_bank, progress))
    task.source_bank = task.class_moments = task.source_summary = None  # of other weights
    record = {**asdict(settings), "tiles": sum(map(len, images)), "seconds": round(time.perf_counter() - started, 3)}
    task.adaptation = {**(task.adaptation or {"target": data.target.name}), "self_training": record}
