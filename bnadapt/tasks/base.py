"""The base of all tasks: a network with its scores, adapted state and checkpoint."""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, distributed
from torch.utils.data import DataLoader

from bnadapt.adaptation import NetworkRunner
from bnadapt.batchnorm import Bank, ClassMoments
from bnadapt.errors import InputError
from bnadapt.gain import SourceSummary
from bnadapt.networks import build_network, laid_out, memory_format, with_background
from bnadapt.networks.stored import load_tensors
from bnadapt.tasks.checkpoints import NETWORK_PARAMETERS, check_weights, read_checkpoint, without_other_files
from bnadapt.tasks.metrics import ScoredSet, mean_scores

log = logging.getLogger(__name__)


def known_tasks() -> dict[str, type["AdaptableTask"]]:
    """All imported classes of tasks, by import path: those of bnadapt, and those that the user has named."""
    return {f"{kind.__module__}.{kind.__qualname__}": kind for kind in _subclasses(AdaptableTask)}


def _subclasses(kind: type) -> set[type]:
    direct = set(kind.__subclasses__())
    return direct.union(*map(_subclasses, direct))


class AdaptableTask(LightningModule):
    """Scores, runs and stores a network that maps images (N, C, H, W) to logits (N, K, H, W).

    The base of all tasks: a method of training adds its training step and optimizers. The network, its arguments,
    channels and classes are stored in the checkpoint, so that later commands need only the checkpoint; settings of the
    training are not. Names of data sets and classes come from `name` and `classes` of the loaders' data sets.

    Args:
        network: `unet`, `smp/ARCHITECTURE` of segmentation-models-pytorch, or the import path of your class.
        network_args: further arguments of the network, such as `base_channels` (`unet`) or `encoder_name` (`smp/...`).
        in_channels: image channels C.
        num_classes: classes K, background included.

    Attributes:
        source_bank: BatchNorm statistics before adaptation, in a network that was adapted and has not learnt since.
        target_bank: adapted statistics, in a network that this run has adapted.
        adaptation: record of the adaptation, in an adapted network.
        class_moments: class moments of the source, if measured.
        source_summary: further statistics of the source, if measured.
        execution: runs the network during segmentation, if not by calling it.

    Raises:
        InputError: the network cannot be built.
    """

    stored_parameters: ClassVar[Sequence[str]] = NETWORK_PARAMETERS
    """Names of the parameters that a checkpoint keeps for later commands."""

    def __init__(
        self,
        network: str = "unet",
        network_args: dict[str, Any] | None = None,
        in_channels: int = 1,
        num_classes: int = 2,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(*self.stored_parameters)
        built = build_network(network, in_channels, num_classes, network_args or {})
        self.network = laid_out(built, in_channels)
        self.memory_format = memory_format(self.network)
        self.source_bank: Bank | None = None
        self.target_bank: Bank | None = None
        self.adaptation: dict[str, Any] | None = None
        self.class_moments: ClassMoments | None = None
        self.source_summary: SourceSummary | None = None
        self.execution: Callable[[Tensor], Tensor] | None = None
        self.strict_loading = False  # a loss may hold tensors; those of the network are checked on loading

    @classmethod
    def load_from_checkpoint(
        cls, checkpoint_path: str | Path, map_location: Any = "cpu", **arguments: Any
    ) -> "AdaptableTask":
        """Load a task; networks by import path must be named by the user, see `bnadapt.networks.trust`.

        Args:
            checkpoint_path: checkpoint of `fit` or `adapt`.
            map_location: device to load it to.
            **arguments: arguments of the task, such as `network`.

        Raises:
            InputError: the file is not such a checkpoint, or names a network that it must not run.
        """
        path = Path(checkpoint_path)
        stored = read_checkpoint(path, arguments.get("network")).parameters
        parameters = {name: stored[name] for name in cls.stored_parameters if name in stored}
        task = cls(**{**parameters, **arguments})
        checkpoint = load_tensors(path)
        task.on_load_checkpoint(checkpoint)
        task.load_state_dict(checkpoint["state_dict"], strict=task.strict_loading)
        return task.to(map_location)

    @property
    def is_adapted(self) -> bool:
        """Whether its statistics or weights were changed for a target."""
        return self.source_bank is not None or self.adaptation is not None

    def forward(self, images: Tensor) -> Tensor:
        run = self.network if self.execution is None else self.execution
        logits = run(images.contiguous(memory_format=self.memory_format))
        return with_background(logits, self.hparams.num_classes)

    def on_validation_start(self) -> None:
        """Set up the scores of every source's validation block."""
        self.val_sets = self._scored_sets(self.trainer.val_dataloaders)

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        self.val_sets[dataloader_idx].metrics.update(self.logits(batch).argmax(1), batch["mask"])

    def on_validation_epoch_end(self) -> None:
        """Log the scores of every source, and the mean over several as those of `source`."""
        by_set = [each.scores("val") for each in self.val_sets]
        for scores in by_set:
            self.log_dict(scores)
        if len(by_set) > 1:
            self.log_dict(mean_scores(by_set, "val/source"))
        mean = torch.stack([scores[f"val/{each.name}/iou"] for each, scores in zip(self.val_sets, by_set, strict=True)])
        self.log("iou", mean.mean(), prog_bar=True, logger=False)

    def on_test_start(self) -> None:
        """Set up the scores of every test set."""
        self.test_sets = self._scored_sets(self.trainer.test_dataloaders)

    def test_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        self.test_sets[dataloader_idx].metrics.update(self.scored_logits(batch).argmax(1), batch["mask"])

    def on_test_epoch_end(self) -> None:
        for each in self.test_sets:
            self.log_dict(each.scores("test"))

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Class probabilities (N, K, H, W) of the tiles of a section, see `SectionsToSegment`."""
        images = batch["image"]
        if not len(images):
            return images.new_zeros(0, self.hparams.num_classes, *images.shape[2:])
        parts = images.split(batch["at_once"])
        return torch.cat([self.scored_logits({"image": part}).float().softmax(1) for part in parts])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        kind = type(self)
        checkpoint["task"] = f"{kind.__module__}.{kind.__qualname__}"
        if self.class_moments is not None:
            checkpoint["class_moments"] = self.class_moments.state_dict()
        if self.source_summary is not None:
            checkpoint["source_summary"] = self.source_summary.state_dict()
        if self.source_bank is not None:
            checkpoint["source_bank"] = self.source_bank.state_dict()
        if self.adaptation is not None or self.source_bank is not None:
            checkpoint["adaptation"] = self.adaptation

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the record of an adaptation; refuse weights of another network."""
        checkpoint["callbacks"] = without_other_files(checkpoint.get("callbacks", {}))
        check_weights(self.state_dict(), checkpoint["state_dict"], self.hparams.network)
        if "class_moments" in checkpoint:
            self.class_moments = ClassMoments.from_state_dict(checkpoint["class_moments"])
        if "source_summary" in checkpoint:
            self.source_summary = _restored_summary(checkpoint["source_summary"], self.class_moments)
        if "source_bank" in checkpoint:
            self.source_bank = Bank.from_state_dict(checkpoint["source_bank"])
        self.adaptation = checkpoint.get("adaptation")

    def runner(self, positions_per_tile: int = 96, layers: list[str] | None = None) -> NetworkRunner:
        """The network as the task's Trainer runs it, from the source's statistics on, in all its processes.

        Args:
            positions_per_tile: see `NetworkRunner`.
            layers: see `NetworkRunner`.
        """
        group = distributed.group.WORLD if self.trainer.world_size > 1 else None
        return NetworkRunner(self.network, self.logits_of, self.source_bank, positions_per_tile, layers, group)

    @torch.no_grad()
    def logits_of(self, images: Tensor) -> Tensor:
        """Logits (N, K, H, W) of images (N, C, H, W), on the task's device and in its Trainer's precision."""
        precision = self.trainer.precision_plugin
        with precision.forward_context():
            return self.logits({"image": precision.convert_input(images.to(self.device))})

    def _scored_sets(self, loaders: DataLoader | Sequence[DataLoader]) -> list[ScoredSet]:
        datasets = [each.dataset for each in (loaders if isinstance(loaders, (list, tuple)) else [loaders])]
        return [
            ScoredSet(getattr(dataset, "name", f"set{number}"), self.checked_classes(dataset), self.device)
            for number, dataset in enumerate(datasets)
        ]

    def logits(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits (N, K, H, W) of a batch; refuses images that do not fit the network, and other outputs."""
        images = self.images(batch)
        logits = self(images)
        _check_logits(logits, (len(images), self.hparams.num_classes, *images.shape[2:]), self.hparams.network)
        return logits

    def scored_logits(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits (N, K, H, W) of a batch for predicting classes; refuses NaN and infinity, which would be class 0."""
        logits = self.logits(batch)
        if not (logits < math.inf).all():
            raise InputError(
                f"network {self.hparams.network}: gives logits that are NaN or infinite; its weights or statistics are"
                " too large; take another checkpoint, or --trainer.precision 32 if it was lower."
            )
        return logits

    def images(self, batch: dict[str, Tensor]) -> Tensor:
        """Images (N, C, H, W) of a batch; refuses another number of channels than the network's."""
        images = batch["image"]
        if images.shape[1] != self.hparams.in_channels:
            raise InputError(
                f"the images have {images.shape[1]} channels, the network takes {self.hparams.in_channels}; convert"
                f" the images, or train a network with --model.in_channels {images.shape[1]}."
            )
        return images

    def checked_classes(self, dataset: object) -> tuple[str, ...]:
        """Names of the classes of a data set; refuses another number than the network's."""
        classes = tuple(getattr(dataset, "classes", ())) or tuple(map(str, range(self.hparams.num_classes)))
        if len(classes) != self.hparams.num_classes:
            raise InputError(
                f"the network has {self.hparams.num_classes} classes, the data {len(classes)}"
                f" ({', '.join(classes)}); train a network with --model.num_classes {len(classes)}."
            )
        return classes


def _restored_summary(state: dict[str, Any], moments: ClassMoments | None) -> SourceSummary | None:
    try:
        return SourceSummary.from_state_dict(state, moments)
    except (KeyError, TypeError, AttributeError):
        log.warning(
            "The checkpoint's summary of its source is ignored: it is damaged, or was written by another version of"
            " bnadapt; bnadapt source_summary --overwrite replaces it."
        )
        return None


def _check_logits(logits: object, expected: tuple[int, ...], network: str) -> None:
    if not isinstance(logits, Tensor):
        content = f" with {', '.join(map(repr, logits))}" if isinstance(logits, dict) else ""
        raise InputError(
            f"network {network}: returns a {type(logits).__name__}{content} instead of logits; wrap it in a module"
            " with a forward that returns the tensor of logits (N, K, H, W)."
        )
    if tuple(logits.shape) != expected:
        raise InputError(
            f"network {network}: returns logits of shape {tuple(logits.shape)}, expected {expected}: as many"
            f" images, {expected[1]} classes, and the images' height and width."
        )
