"""Supervised training of a segmentation network on a source."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torchmetrics import MeanMetric

from bnadapt.data.masks import IGNORED
from bnadapt.errors import InputError
from bnadapt.tasks.base import AdaptableTask
from bnadapt.tasks.losses import DiceCrossEntropy


class SegmentationTask(AdaptableTask):
    """Trains, tests and runs a network that maps images (N, C, H, W) to logits (N, K, H, W).

    Args:
        network: `unet`, `smp/ARCHITECTURE` of segmentation-models-pytorch, or the import path of your class.
        network_args: further arguments of the network, such as `base_channels` (`unet`) or `encoder_name` (`smp/...`).
        in_channels: image channels.
        num_classes: classes, background included.
        loss: module of logits (N, K, H, W) and masks (N, H, W); Dice plus cross-entropy by default.
        optimizer: AdamW with a learning rate of 1e-3 by default.
        lr_scheduler: stepped after every batch; by default one cycle over the run that peaks at the
            optimizer's learning rate (Smith and Topin 2019); it cycles the first beta of Adam and AdamW too,
            and leaves the momentum of other optimizers alone.

    Raises:
        InputError: the network cannot be built.
    """

    def __init__(
        self,
        network: str = "unet",
        network_args: dict[str, Any] | None = None,
        in_channels: int = 1,
        num_classes: int = 2,
        loss: nn.Module | None = None,
        optimizer: OptimizerCallable | None = None,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(network, network_args, in_channels, num_classes)
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.loss = loss
        self.val_loss = MeanMetric()
        self._seed: int | None = None

    def setup(self, stage: str) -> None:
        if stage in ("fit", "validate") and self.loss is None:
            self.loss = self.default_loss()

    def on_fit_start(self) -> None:
        self._seed = torch.initial_seed()

    def on_train_start(self) -> None:
        """Refuse data of other classes, and resuming beyond the end of a one-cycle schedule."""
        loaders = self.trainer.train_dataloader
        self.checked_classes((loaders["source"] if isinstance(loaders, dict) else loaders).dataset)
        scheduler = self.lr_schedulers()
        steps = self.trainer.estimated_stepping_batches
        if self.trainer.ckpt_path and isinstance(scheduler, OneCycleLR) and scheduler.total_steps < steps:
            raise InputError(
                f"the checkpoint's one-cycle schedule ends after {scheduler.total_steps} steps, this run has"
                f" {steps}; resume with the same max_epochs, crops_per_epoch and batch_size."
            )

    def on_train_epoch_start(self) -> None:
        """Seed torch by run and epoch, so that a resumed run draws what an uninterrupted one would."""
        self._seed = torch.initial_seed() if self._seed is None else self._seed
        torch.manual_seed(self._seed + self.current_epoch)

    def default_loss(self) -> nn.Module:
        """The loss if none is given."""
        return DiceCrossEntropy()

    def trained_parameters(self) -> Iterable[nn.Parameter]:
        """The parameters for the optimizer."""
        return self.network.parameters()

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        if "mask" not in batch:
            raise InputError(f"{type(self).__name__} trains on the source alone; leave out --data.target_crops.")
        loss = self.loss(self.logits(batch), batch["mask"])
        self.log("train/source/loss", loss, prog_bar=True)
        self.log("train/learning_rate", self.optimizers().param_groups[0]["lr"])
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        logits = self.logits(batch)
        labelled = (batch["mask"] != IGNORED).flatten(1).any(1).sum()
        self.val_loss.update(self.loss(logits, batch["mask"]), labelled)
        self.val_sets[dataloader_idx].metrics.update(logits.argmax(1), batch["mask"])

    def on_validation_epoch_end(self) -> None:
        self.log("val/source/loss", self.val_loss)
        super().on_validation_epoch_end()

    def configure_optimizers(self) -> dict[str, Any]:
        make = self.optimizer or (lambda parameters: torch.optim.AdamW(parameters, lr=1e-3))
        optimizer = make(self.trained_parameters())
        scheduler = self.lr_scheduler(optimizer) if self.lr_scheduler else self._one_cycle(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _one_cycle(self, optimizer: torch.optim.Optimizer) -> OneCycleLR:
        peaks = [group["lr"] for group in optimizer.param_groups]
        steps = self.trainer.estimated_stepping_batches
        if not math.isfinite(steps):
            raise InputError(
                "a one-cycle schedule needs an end; set --trainer.max_epochs or --trainer.max_steps, or give another"
                " --model.lr_scheduler."
            )
        cycled = isinstance(optimizer, (torch.optim.Adam, torch.optim.AdamW))
        return OneCycleLR(optimizer, peaks, total_steps=int(steps), cycle_momentum=cycled)
