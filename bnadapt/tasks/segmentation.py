"""The LightningModule that trains and tests a segmentation network."""

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torchmetrics import MetricCollection

from bnadapt.batchnorm import Bank, Estimation
from bnadapt.errors import InputError
from bnadapt.networks import build_network
from bnadapt.tasks.losses import DiceCrossEntropy
from bnadapt.tasks.scores import named_scores, segmentation_scores

TILES_AT_ONCE = 16


class SegmentationTask(LightningModule):
    """Trains, tests and runs a network that maps images (N, C, H, W) to logits (N, K, H, W).

    Network, its arguments, channels and classes are stored in the checkpoint, so that later
    commands need only the checkpoint; how it was trained is not part of it.

    Args:
        network: `unet`, `smp/ARCHITECTURE` of segmentation-models-pytorch, or the import path of your own.
        network_args: its further arguments, such as `base_channels` of `unet` or `encoder_name` of `smp/...`.
        in_channels: image channels.
        num_classes: classes, background included.
        loss: module of logits (N, K, H, W) and masks (N, H, W); Dice plus cross-entropy by default.
        optimizer: AdamW with a learning rate of 1e-3 by default.
        lr_scheduler: stepped after every batch; by default one cycle over the run that peaks at the
            optimizer's learning rate (Smith and Topin 2019); it cycles the first beta of Adam and AdamW too,
            and leaves the momentum of other optimizers alone.

    Attributes:
        estimation: takes the batches of the predict loop, while BatchNormAdaptation is at work.
        source_bank: BatchNorm statistics before adaptation, in an adapted network.
        target_bank: the adapted ones, in a network that this run has adapted.
        adaptation: record of the adaptation, in an adapted network.

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
        super().__init__()
        self.save_hyperparameters("network", "network_args", "in_channels", "num_classes")
        network = build_network(network, in_channels, num_classes, network_args or {})
        self.network = network.to(memory_format=torch.channels_last)
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.estimation: Estimation | None = None
        self.source_bank: Bank | None = None
        self.target_bank: Bank | None = None
        self.adaptation: dict[str, Any] | None = None
        self.loss = loss
        self.strict_loading = False  # a loss may hold tensors of its own; the network's are checked on loading

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images.contiguous(memory_format=torch.channels_last))

    def setup(self, stage: str) -> None:
        if stage == "predict":
            return
        self.classes = self._checked_classes()
        if self.loss is None:
            self.loss = DiceCrossEntropy()
        self.test_names = list(self.trainer.datamodule.test_domains()) if stage == "test" else []
        self.val_scores = segmentation_scores(self.hparams.num_classes)
        self.test_scores = nn.ModuleList(segmentation_scores(self.hparams.num_classes) for _ in self.test_names)

    def on_fit_start(self) -> None:
        self._seed = torch.initial_seed()

    def on_train_start(self) -> None:
        """Refuse to go beyond the end of a one-cycle schedule that a checkpoint brought."""
        scheduler = self.lr_schedulers()
        steps = self.trainer.estimated_stepping_batches
        if isinstance(scheduler, OneCycleLR) and scheduler.total_steps < steps:
            raise InputError(
                f"the checkpoint's one-cycle schedule ends after {scheduler.total_steps} steps, this run asks for"
                f" {steps}; resume with the same max_epochs, crops_per_epoch and batch_size."
            )

    def on_train_epoch_start(self) -> None:
        """Seed torch by run and epoch, so that a resumed run draws what an uninterrupted one would."""
        torch.manual_seed(self._seed + self.current_epoch)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        loss = self.loss(self._checked(batch), batch["mask"])
        self.log("train/source/loss", loss, prog_bar=True)
        self.log("train/learning_rate", self.optimizers().param_groups[0]["lr"])
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        logits = self._checked(batch)
        self.log("val/source/loss", self.loss(logits, batch["mask"]), batch_size=len(logits))
        self.val_scores.update(logits.argmax(1), batch["mask"])

    def on_validation_epoch_end(self) -> None:
        scores = self._computed(self.val_scores, "val/source")
        self.log_dict(scores)
        self.log("iou", scores["val/source/iou"], prog_bar=True, logger=False)

    def test_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        self.test_scores[dataloader_idx].update(self._checked(batch).argmax(1), batch["mask"])

    def on_test_epoch_end(self) -> None:
        for name, scores in zip(self.test_names, self.test_scores, strict=True):
            self.log_dict(self._computed(scores, f"test/{name}"))

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor | bool:
        """Class probabilities (N, K, H, W); while adapting, whether the statistics have seen enough."""
        self._check_channels(batch["image"])
        if self.estimation is not None:
            return self.estimation.add(batch["image"])
        return torch.cat([self(part).float().softmax(1) for part in batch["image"].split(TILES_AT_ONCE)])

    def configure_optimizers(self) -> dict[str, Any]:
        make = self.optimizer or (lambda parameters: torch.optim.AdamW(parameters, lr=1e-3))
        optimizer = make(self.network.parameters())
        scheduler = self.lr_scheduler(optimizer) if self.lr_scheduler else self._one_cycle(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.source_bank is not None:
            checkpoint["source_bank"] = self.source_bank.state_dict()
            checkpoint["adaptation"] = self.adaptation

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over the record of an adaptation; refuse weights of another network."""
        _check_fit(self.state_dict(), checkpoint["state_dict"], self.hparams.network)
        if "source_bank" in checkpoint:
            self.source_bank = Bank(**checkpoint["source_bank"])
            self.adaptation = checkpoint["adaptation"]

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

    def _checked(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits of a batch whose channels fit."""
        self._check_channels(batch["image"])
        return self(batch["image"])

    def _check_channels(self, images: Tensor) -> None:
        if images.shape[1] != self.hparams.in_channels:
            raise InputError(
                f"the images have {images.shape[1]} channels, the network takes {self.hparams.in_channels}; convert"
                f" the images, or train a network with --model.in_channels {images.shape[1]}."
            )

    def _checked_classes(self) -> tuple[str, ...]:
        classes = tuple(self.trainer.datamodule.classes)
        if len(classes) != self.hparams.num_classes:
            raise InputError(
                f"the network has {self.hparams.num_classes} classes, the data {len(classes)}"
                f" ({', '.join(classes)}); train a network with --model.num_classes {len(classes)}."
            )
        return classes

    def _computed(self, scores: MetricCollection, prefix: str) -> dict[str, Tensor]:
        named = named_scores(scores.compute(), self.classes, prefix)
        scores.reset()
        return named


def _check_fit(network: dict[str, Tensor], checkpoint: dict[str, Tensor], name: str) -> None:
    """Refuse a checkpoint whose network tensors differ from those of the network in name or shape."""
    stored = {key: tensor for key, tensor in checkpoint.items() if key.startswith("network.")}
    wanted = {key: tensor for key, tensor in network.items() if key.startswith("network.")}
    differing = sorted(stored.keys() ^ wanted.keys())
    differing += [key for key in wanted if key in stored and stored[key].shape != wanted[key].shape]
    if differing:
        raise InputError(
            f"the checkpoint holds another architecture than {name}: {len(differing)} of {len(wanted)} tensors differ,"
            f" the first is {differing[0]}. Take a checkpoint of this network, or leave out --model.network and"
            " --model.network_args so that the checkpoint's hold."
        )
