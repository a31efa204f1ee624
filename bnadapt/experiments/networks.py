"""Source networks: trained once, and looked up by their config."""

import inspect
import json
import logging
import math
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything

from bnadapt.batchnorm import NoBatchNormError, batchnorm_layers
from bnadapt.data import DomainPair
from bnadapt.data.augmentation import AugmentationName
from bnadapt.data.intensity import IntensityName
from bnadapt.errors import InputError
from bnadapt.experiments.specs import Keyed, Spec, domain_of
from bnadapt.files import atomic_write
from bnadapt.networks.registry import NETWORKS
from bnadapt.tasks import AdaptableTask
from bnadapt.tasks.checkpoints import DEFAULT_TASK


@dataclass(frozen=True, eq=False)
class Training(Keyed):
    """Settings of the training of a source network: AdamW, one cycle of the learning rate, last weights.

    Args:
        network: name, as `--model.network` takes it.
        network_args: further arguments of the network.
        crop_size: side of a crop, in pixels.
        batch_size: crops in a step.
        steps: steps of the optimizer.
        learning_rate: peak of the learning rate.
        intensity: scaling of intensities.
        pixel_size_nm: pixel size that images are resampled to; None for no resampling.
        augmentation: augmentation of crops, see `bnadapt.data.augmentation`.
        momentum: momentum of BatchNorm layers, the weight of a batch in the running statistics.
        precision: precision of Lightning's Trainer; `bf16-mixed` is faster on processors that support it.
        task: import path of the task's class.
        task_args: further arguments of the task.
    """

    network: str = "unet"
    network_args: Mapping[str, Any] = field(default_factory=lambda: {"base_channels": 16})
    crop_size: int = 128
    batch_size: int = 8
    steps: int = 350
    learning_rate: float = 0.003
    intensity: IntensityName = "dtype"
    pixel_size_nm: float | None = None
    augmentation: AugmentationName = "flips"
    momentum: float = 0.1
    precision: str = "32-true"
    task: str = DEFAULT_TASK
    task_args: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, Any]:
        """The config with the defaults of the network and of the task."""
        config = super().config
        config["network_args"] = {**_defaults(NETWORKS.get(self.network)), **config["network_args"]}
        config["task_args"] = {**_defaults(self.task_class()), **config["task_args"]}
        return config

    def task_class(self) -> type[AdaptableTask]:
        """The class of the task.

        Raises:
            InputError: the class does not exist.
        """
        module, _, name = self.task.rpartition(".")
        try:
            kind = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise InputError(f"task {self.task}: not found ({error}); give the import path of a task.") from error
        if not (isinstance(kind, type) and issubclass(kind, AdaptableTask)):
            raise InputError(f"task {self.task}: is not an AdaptableTask; give the import path of one.")
        return kind


@dataclass(frozen=True, eq=False)
class SourceNetwork(Keyed):
    """Config of a network: its training, data and seed.

    Args:
        training: settings of the training.
        source: domain with masks.
        seed: seed of weights and crops.
        target: domain whose images, without masks, the task trains on too; none by default.
    """

    training: Training
    source: Spec
    seed: int
    target: Spec | None = None

    def path(self, folder: Path) -> Path:
        """The path of the checkpoint in a folder of networks."""
        return folder / f"{self.key}.ckpt"


def trained(network: SourceNetwork, folder: Path, device: torch.device) -> Path:
    """The checkpoint of a network in a folder; a missing one is trained first.

    Beside it lies a JSON file with its config and the seconds that training took.
    """
    path = network.path(folder)
    if not path.exists():
        started = time.perf_counter()
        task = fit(network, device)
        about = {"seconds": round(time.perf_counter() - started, 1), "network": network.config}
        with atomic_write(path.with_suffix(".json")) as partial_path:
            partial_path.write_text(json.dumps(about, indent=1), encoding="utf-8")
        with atomic_write(path) as partial_path:
            task.trainer.save_checkpoint(partial_path, weights_only=True)
    return path


def training_seconds(network: SourceNetwork, folder: Path) -> float:
    """Seconds that the training of a network took; NaN if unknown."""
    about = network.path(folder).with_suffix(".json")
    return json.loads(about.read_text(encoding="utf-8"))["seconds"] if about.exists() else math.nan


def fit(network: SourceNetwork, device: torch.device, callbacks: Sequence[Callback] = ()) -> AdaptableTask:
    """Train a network.

    Args:
        network: config of the network.
        device: device to train on.
        callbacks: callbacks of the Trainer.

    Returns:
        The task, with its Trainer.
    """
    training = network.training
    with quiet():
        seed_everything(network.seed, verbose=False)
        data = domain_pair(
            training,
            source=network.source,
            target=network.target,
            crops_per_epoch=training.steps * training.batch_size,
            augmentation=training.augmentation,
            target_crops=network.target is not None,
        )
        task = build_task(training, optimizer=partial(torch.optim.AdamW, lr=training.learning_rate))
        with suppress(NoBatchNormError):
            for layer in batchnorm_layers(task.network).values():
                layer.momentum = training.momentum
        trainer = Trainer(
            max_steps=training.steps,
            accelerator=device.type,
            devices=1 if device.index is None else [device.index],
            precision=training.precision,
            callbacks=list(callbacks),
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(task, datamodule=data)
    return task


def build_task(training: Training, **options: Any) -> AdaptableTask:
    """The task of a training, with new weights."""
    arguments = {**training.task_args, **options}
    return training.task_class()(network=training.network, network_args=dict(training.network_args), **arguments)


def domain_pair(
    training: Training, source: Spec | None = None, target: Spec | None = None, **options: Any
) -> DomainPair:
    """The data module of a network of this training."""
    return DomainPair(
        source=domain_of(source) if source else None,
        target=domain_of(target) if target else None,
        intensity=training.intensity,
        pixel_size_nm=training.pixel_size_nm,
        crop_size=training.crop_size,
        batch_size=options.pop("batch_size", training.batch_size),
        **options,
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Lightning and the data modules, except for errors."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "bnadapt.data")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR if each.name == "bnadapt.data" else logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


def _defaults(kind: Any) -> dict[str, Any]:
    """Parameters of a class that have plain defaults."""
    if kind is None:
        return {}
    parameters = inspect.signature(kind).parameters.values()
    return {each.name: each.default for each in parameters if isinstance(each.default, str | int | float | bool)}
