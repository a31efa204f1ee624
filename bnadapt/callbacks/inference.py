"""Run a task's network outside of Lightning's loops, as they would run it."""

from functools import partial

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, distributed

from bnadapt.adaptation import AdaptationPass


@torch.no_grad()
def logits_of(task: LightningModule, images: Tensor) -> Tensor:
    """Logits (N, K, H, W) of images (N, C, H, W), on the task's device and in its Trainer's precision."""
    precision = task.trainer.precision_plugin
    with precision.forward_context():
        return task.logits({"image": precision.convert_input(images.to(task.device))})


def adaptation_pass(
    trainer: Trainer, task: LightningModule, positions_per_tile: int = 96, layers: list[str] | None = None
) -> AdaptationPass:
    """A task's network as its Trainer runs it, from the source's statistics on, in all its processes."""
    group = distributed.group.WORLD if trainer.world_size > 1 else None
    forward = partial(logits_of, task)
    return AdaptationPass(task.network, forward, task.source_bank, positions_per_tile, layers, group)


def shard(trainer: Trainer) -> tuple[int, int]:
    """Which of how many processes this is."""
    return trainer.global_rank, trainer.world_size
