"""The command line: LightningCLI with fit, validate, test, predict, adapt and distances."""

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import ArgsType, LightningCLI

import bnadapt.data  # noqa: F401  (so that domains are known by their short names)
from bnadapt.callbacks import SegmentationPictures, TensorBoardOverview
from bnadapt.data import DomainPair
from bnadapt.errors import InputError
from bnadapt.tasks import SegmentationTask
from bnadapt.trainer import AdaptationTrainer

OWN_NETWORK = ("network", "network_args", "in_channels", "num_classes")


class BnadaptCLI(LightningCLI):
    """LightningCLI for a SegmentationTask and a DomainPair, with the subcommands `adapt` and `distances`."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Lightning's, `adapt` and `distances`; each with the arguments that are not options."""
        return LightningCLI.subcommands() | {own: {"model", "datamodule"} for own in ("adapt", "distances")}

    def parse_arguments(self, parser: Any, args: ArgsType) -> None:
        """Parse, and refuse a checkpoint that is missing, broken or of another network than asked for."""
        super().parse_arguments(parser, args)
        config = self.config[self.config.subcommand]
        if config.ckpt_path is None:
            if self.config.subcommand != "fit":
                raise InputError(f"{self.config.subcommand}: give the trained network by --ckpt_path.")
            return
        stored = _network_in(Path(config.ckpt_path), to_resume=self.config.subcommand == "fit")
        defaults = self._subcommand_parsers[self.config.subcommand].get_defaults().model
        for key in OWN_NETWORK:
            asked = config.model[key]
            if asked not in (defaults[key], stored[key]):
                raise InputError(
                    f"{config.ckpt_path}: holds a network with {key} {stored[key]}, --model.{key} asks for {asked};"
                    f" leave out --model.{key}, or take another checkpoint."
                )


def _network_in(path: Path, to_resume: bool) -> dict[str, Any]:
    """The network's hyper-parameters in a checkpoint of ours.

    Args:
        path: the checkpoint.
        to_resume: whether it must also hold the state of its training.

    Raises:
        InputError: the file is missing, broken or no such checkpoint.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; check --ckpt_path.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        parameters = checkpoint["hyper_parameters"]
        stored = {key: parameters[key] for key in OWN_NETWORK}
    except Exception as error:
        raise InputError(
            f"{path}: is no checkpoint of `bnadapt fit` or `bnadapt adapt`, or is damaged"
            f" ({type(error).__name__}); give one, such as .../checkpoints/best.ckpt."
        ) from error
    if to_resume and "optimizer_states" not in checkpoint:
        raise InputError(
            f"{path}: holds an adapted network without the state of its training, so that it cannot be resumed; take"
            " best.ckpt or last.ckpt."
        )
    return stored


def main(args: ArgsType = None) -> BnadaptCLI:
    """Run one command.

    Args:
        args: command line arguments; those of the process by default.

    Returns:
        The finished command line, with its trainer, model and data module.

    Raises:
        InputError: an input cannot be used; possibly as the cause of a ValueError.
    """
    _quiet()
    return BnadaptCLI(
        SegmentationTask,
        DomainPair,
        trainer_class=AdaptationTrainer,
        trainer_defaults={
            "logger": {
                "class_path": "lightning.pytorch.loggers.TensorBoardLogger",
                "init_args": {"save_dir": "lightning_logs", "name": "default", "default_hp_metric": False},
            },
            "callbacks": _callbacks(),
            "log_every_n_steps": 10,
            "devices": 1,
        },
        seed_everything_default=0,
        auto_configure_optimizers=False,
        save_config_kwargs={"overwrite": True},
        parser_kwargs={
            "description": "Train, adapt, test and run segmentation networks. Experiments: `bnadapt study --help`."
        },
        args=args,
    )


def _callbacks() -> list[Any]:
    return [
        ModelCheckpoint(monitor="val/source/iou", mode="max", filename="best", enable_version_counter=False),
        ModelCheckpoint(filename="last", enable_version_counter=False),
        SegmentationPictures(),
        TensorBoardOverview(),
    ]


def _quiet() -> None:
    """Drop the messages that tell a user of bnadapt nothing."""
    warnings.filterwarnings("ignore", ".*does not have many workers which may be a bottleneck.*")
    warnings.filterwarnings("ignore", ".*The dirpath has changed from.*")
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", ".*LightningCLI's args parameter is intended to run from within Python.*")
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda"):
        logging.getLogger(name).addFilter(lambda record: "💡" not in record.getMessage())
