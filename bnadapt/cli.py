"""The command line: LightningCLI with fit, validate, test, predict, and commands of our own, such as adapt."""

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateFinder, ModelCheckpoint
from lightning.pytorch.cli import ArgsType, LightningCLI, SaveConfigCallback
from lightning.pytorch.utilities.exceptions import MisconfigurationException

import bnadapt.data  # noqa: F401  (so that domains are known by their short names)
from bnadapt.callbacks import SegmentationPictures, SourceSummaryCallback, TensorBoardOverview
from bnadapt.data import DomainPair
from bnadapt.errors import InputError
from bnadapt.files import ensure_folder
from bnadapt.gain import Verdict
from bnadapt.parser import CommandParser
from bnadapt.reports.console import (
    print_adaptation,
    print_distances,
    print_prediction,
    print_scores,
    print_source_summary,
    print_verdict,
)
from bnadapt.reports.distance_page import write_distances
from bnadapt.reports.proportions_figure import scan_figure
from bnadapt.reports.rendering import rendered
from bnadapt.reports.verdict_page import write_verdict
from bnadapt.tasks import AdaptableTask
from bnadapt.tasks.checkpoints import DEFAULT_TASK, NETWORK_PARAMETERS, StoredTask, check_trusted, read_checkpoint
from bnadapt.trainer import AdaptationTrainer

OWN = ("adapt", "recommend", "distances", "source_summary")


class BnadaptCLI(LightningCLI):
    """LightningCLI for tasks and a DomainPair, with the subcommands of OWN.

    The task is a SegmentationTask unless `--model` names another class.
    """

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Lightning's and our own; each with the arguments that are not options."""
        return LightningCLI.subcommands() | {own: {"model", "datamodule"} for own in OWN}

    def add_arguments_to_parser(self, parser: CommandParser) -> None:
        """The task that is meant where none is named."""
        parser.set_defaults({"model": {"class_path": DEFAULT_TASK}})

    def parse_arguments(self, parser: Any, args: ArgsType) -> None:
        """Parse, and refuse a checkpoint that is missing, broken, foreign or of another network than asked for."""
        super().parse_arguments(parser, args)
        config = self.config[self.config.subcommand]
        self.stored: StoredTask | None = None
        if config.ckpt_path is None:
            if self.config.subcommand != "fit":
                raise InputError(f"{self.config.subcommand}: give the trained network by --ckpt_path.")
            return
        self.stored = read_checkpoint(Path(config.ckpt_path))
        if self.config.subcommand == "fit" and not self.stored.is_resumable:
            raise InputError(
                f"{config.ckpt_path}: holds an adapted network without the state of its training, so that it cannot be"
                " resumed; take best.ckpt or last.ckpt."
            )
        asked = config.model.init_args
        self._check_requested(asked)
        check_trusted(self.stored, asked.get("network"))

    def _check_requested(self, asked: Any) -> None:
        """Refuse a checkpoint of another network than the command line or a config asks for."""
        defaults = self._subcommand_parsers[self.config.subcommand].get_defaults().model.init_args
        for name in NETWORK_PARAMETERS:
            if asked.get(name) not in (defaults[name], self.stored.parameters[name]):
                raise InputError(
                    f"{self.stored.path}: holds a network with {name} {self.stored.parameters[name]}, --model.{name}"
                    f" asks for {asked.get(name)}; leave out --model.{name}, or take another checkpoint."
                )

    def _parse_ckpt_path(self) -> None:
        """Take the task's class and hyper-parameters from the checkpoint, of which nothing else is followed."""
        if self.stored is None:
            return
        config = self.config[self.config.subcommand].model
        known = {_path_of(kind): kind for kind in _subclasses(AdaptableTask)}
        if self.stored.task not in known:
            raise InputError(
                f"{self.stored.path}: is of the task {self.stored.task}, code that would be imported and run; if you"
                f" trust that code, name it yourself by --model {self.stored.task}."
            )
        names = known[self.stored.task].stored_parameters
        parameters = {name: self.stored.parameters[name] for name in names if name in self.stored.parameters}
        task = {"class_path": self.stored.task, "init_args": {**config.init_args.as_dict(), **parameters}}
        self.config = self.parser.parse_object({self.config.subcommand: {"model": task}}, self.config)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Lightning's, whose refusals become a sentence."""
        try:
            trainer = super().instantiate_trainer(**kwargs)
        except InputError:
            raise
        except (ValueError, TypeError, RuntimeError, MisconfigurationException) as error:
            raise InputError(f"--trainer: {error}") from error
        for logger in trainer.loggers:
            if logger.save_dir is not None:
                ensure_folder(logger.save_dir)
        if any(isinstance(callback, LearningRateFinder) for callback in trainer.callbacks):
            raise InputError(
                "LearningRateFinder changes a learning rate of the task itself, and here it is the optimizer's; set it"
                " by --model.optimizer AdamW --model.optimizer.lr RATE."
            )
        return trainer

    def after_test(self) -> None:
        """Print the table of scores."""
        if self.trainer.is_global_zero:
            print_scores({tag: float(value) for tag, value in self.trainer.callback_metrics.items()})

    def after_predict(self) -> None:
        """Say how much was segmented."""
        sections = self.datamodule.to_predict.sections
        blank = sum(section.is_blank for section in sections[: self.trainer.segmented])
        output = Path(self.config.predict.output)
        print_prediction(self.trainer.segmented, len(sections), blank, output)

    def after_adapt(self) -> None:
        """Say what was adapted, and write the page of the distances beside the checkpoint."""
        if self.trainer.is_global_zero:
            path = self.trainer.adapted_path
            if self.trainer.judged:
                print_verdict(*self._written_verdict(path.with_name(f"{path.stem}-verdict")))
            print_adaptation(self.model.adaptation, path)
            self._write_distances(path.with_name(f"{path.stem}-distances"))

    def after_recommend(self) -> None:
        """Say what to do, and write the page of it."""
        print_verdict(*self._written_verdict(Path(self.config.recommend.output)))

    def after_distances(self) -> None:
        """Write the page of the distances."""
        if self.trainer.is_global_zero:
            self._write_distances(Path(self.config.distances.output))

    def after_source_summary(self) -> None:
        """Say what the summary rests on."""
        if self.trainer.is_global_zero:
            summary = self.model.source_summary
            path = Path(self.config.source_summary.ckpt_path)
            print_source_summary(summary.moments.pixels.tolist(), summary.iou, path)

    def _write_distances(self, folder: Path) -> None:
        distance = self.trainer.latent_distance
        if distance is not None and distance.findings is not None:
            write_distances(distance.findings, {**distance.pictures, **self._scan_picture()}, folder)
            print_distances(distance.findings, folder / "index.html")

    def _written_verdict(self, folder: Path) -> tuple[Verdict, Path]:
        """The verdict of this run, and its page, which is written."""
        verdict, trials = self.trainer.judged
        write_verdict(verdict, trials, self.datamodule.target.name, folder)
        return verdict, folder / "index.html"

    def _scan_picture(self) -> dict[str, np.ndarray]:
        """Of estimated class proportions, where this run has estimated them."""
        proportions = (self.model.adaptation or {}).get("class_proportions")
        if self.config.subcommand != "adapt" or not proportions or not proportions["estimated"]:
            return {}
        return {"proportions": rendered(scan_figure(proportions))}


class RunConfig(SaveConfigCallback):
    """Keeps the config of a run in the folder of its logs; a run without logs has no folder, and keeps none."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save it, once."""
        if trainer.loggers:
            super().setup(trainer, pl_module, stage)


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
        AdaptableTask,
        DomainPair,
        save_config_callback=RunConfig,
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
        parser_class=CommandParser,
        subclass_mode_model=True,
        auto_configure_optimizers=False,
        save_config_kwargs={"overwrite": True},
        parser_kwargs={
            "description": "Train, adapt, test and run segmentation networks. Experiments: `bnadapt study --help`."
        },
        args=args,
    )


def _path_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _subclasses(kind: type) -> set[type]:
    """All subclasses that are imported: those of bnadapt, and what the user has named."""
    own = set(kind.__subclasses__())
    return own.union(*map(_subclasses, own))


def _callbacks() -> list[Any]:
    return [
        ModelCheckpoint(monitor="val/source/iou", mode="max", filename="best", enable_version_counter=False),
        ModelCheckpoint(filename="last", enable_version_counter=False),
        SourceSummaryCallback(),
        SegmentationPictures(),
        TensorBoardOverview(),
    ]


def _quiet() -> None:
    """Drop the messages that tell a user of bnadapt nothing."""
    warnings.filterwarnings("ignore", ".*does not have many workers which may be a bottleneck.*")
    warnings.filterwarnings("ignore", ".*infer the batch indices fetched from your dataloader.*")
    warnings.filterwarnings("ignore", ".*The dirpath has changed from.*")
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", ".*LightningCLI's args parameter is intended to run from within Python.*")
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda"):
        logging.getLogger(name).addFilter(lambda record: "💡" not in record.getMessage())
