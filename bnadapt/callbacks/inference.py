"""Run a task's network outside Lightning's loops, as they would run it."""

import torch
from lightning.pytorch import LightningModule
from torch import Tensor


@torch.no_grad()
def logits_of(task: LightningModule, images: Tensor) -> Tensor:
    """Logits (N, K, H, W) of images (N, C, H, W), on the task's device and in its Trainer's precision."""
    precision = task.trainer.precision_plugin
    with precision.forward_context():
        return task(precision.convert_input(images.to(task.device)))
