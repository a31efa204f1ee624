"""LightningCLI that completes a command line from checkpoints and stored configs."""

import sys
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LearningRateFinder, RichProgressBar
from lightning.pytorch.cli import ArgsType, LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from bnadapt.callbacks.progress import ProgressBar
from bnadapt.commands.help_texts import HELP
from bnadapt.commands.parser import CommandParser
from bnadapt.commands.precision import device_kind, estimating_precision, fastest_precision
from bnadapt.commands.resuming import kept_config, kept_options, kept_words, logger_words
from bnadapt.commands.training_length import LENGTH, default_length
from bnadapt.errors import InputError
from bnadapt.files import ensure_folder
from bnadapt.networks.smp import DOWNLOADED
from bnadapt.tasks import known_tasks
from bnadapt.tasks.checkpoints import DEFAULT_TASK, NETWORK_PARAMETERS, StoredTask, read_checkpoint

GREATEST_SEED = 2**32 - 1  # NumPy's
ESTIMATING = ("adapt", "finetune", "preview", "propose", "recommend")  # commands that estimate statistics
NO_PRECISION = ("precision", "plugins", "fast_dev_run")  # options of a Trainer that rule out choosing one


class CommandCLI(LightningCLI):
    """LightningCLI for tasks and a DomainPair, with a subcommand for each entry of HELP.

    The task is a SegmentationTask unless `--model` names another class.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Run the command that the arguments begin with."""
        words = kwargs.get("args")
        self.arguments = [str(each) for each in (sys.argv[1:] if words is None else words)]
        self.resumed: list[str] = []
        super().__init__(*args, **kwargs)

    def subcommands(self) -> dict[str, set[str]]:
        """The requested command, with the arguments that are not options; all commands if it is unknown.

        Building the parsers of all commands takes half a second, of one 50 ms.
        """
        by_name = {name: {"model", "datamodule"} for name in HELP} | LightningCLI.subcommands()
        requested = self.arguments[:1]
        return {name: by_name[name] for name in requested if name in by_name} or by_name

    def add_arguments_to_parser(self, parser: CommandParser) -> None:
        """Set the default task."""
        parser.set_defaults({"model": {"class_path": DEFAULT_TASK}})

    def parse_arguments(self, parser: Any, args: ArgsType) -> None:
        """Parse; refuse a checkpoint that is missing, broken, foreign or of another network than requested."""
        super().parse_arguments(parser, self._with_kept_options(self.arguments))
        config = self.config[self.config.subcommand]
        if not 0 <= config.seed_everything <= GREATEST_SEED:
            raise InputError(
                f"--seed_everything is {config.seed_everything}; give a whole number from 0 to {GREATEST_SEED}."
            )
        self.stored: StoredTask | None = None
        if config.ckpt_path is None:
            if self.config.subcommand != "fit":
                raise InputError(f"{self.config.subcommand}: give the trained network by --ckpt_path.")
            return
        requested = config.model.init_args
        self.stored = read_checkpoint(Path(config.ckpt_path), requested.get("network"))
        if self.config.subcommand == "fit" and not self.stored.is_resumable:
            raise InputError(
                f"{config.ckpt_path}: holds a network without the state of its training, as adapted checkpoints do, so"
                " it cannot be resumed; take best.ckpt or last.ckpt."
            )
        if not self.stored.knows_scaling and config.data.intensity is None:
            raise InputError(
                f"{config.ckpt_path}: does not say how the training images of its network were scaled; give"
                " --data.intensity."
            )
        self._check_requested(requested)

    def before_instantiate_classes(self) -> None:
        """Set the default length of a training."""
        if self.config.subcommand == "fit" and (length := default_length(self.config.fit.trainer)):
            self.config = self.parser.parse_object({"fit": {"trainer": length}}, self.config)
            rank_zero_only(print)(LENGTH)

    def _with_kept_options(self, arguments: list[str]) -> list[str]:
        """Arguments preceded by the stored options of the training to resume."""
        path = kept_config(arguments)
        if path is None:
            return arguments
        options = kept_options(path, arguments)
        rank_zero_only(print)(
            f"Resuming with the options of {path} ({', '.join(options)}); options on the command line take precedence."
        )
        self.resumed = kept_words(options["data"], arguments)
        logger = logger_words(path, arguments)
        return [arguments[0], f"--config={yaml.safe_dump(options)}", *logger, *arguments[1:]]

    def _check_requested(self, requested: Any) -> None:
        """Refuse a checkpoint of another network than the command line or a config requests."""
        defaults = self._subcommand_parsers[self.config.subcommand].get_defaults().model.init_args
        for name in NETWORK_PARAMETERS:
            value = requested.get(name)
            if isinstance(value, dict):  # the checkpoint holds the weights
                value = {key: each for key, each in value.items() if key != DOWNLOADED} or None
            if value not in (defaults[name], self.stored.parameters[name]):
                raise InputError(
                    f"{self.stored.path}: holds a network with {name} {self.stored.parameters[name]}, --model.{name}"
                    f" requests {requested.get(name)}; leave out --model.{name}, or take another checkpoint."
                )

    def _parse_ckpt_path(self) -> None:
        """Take the task's class and hyper-parameters, and nothing else, from the checkpoint."""
        if self.stored is None:
            return
        config = self.config[self.config.subcommand].model
        tasks = known_tasks()
        if self.stored.task not in tasks:
            raise InputError(
                f"{self.stored.path}: was written by the task {self.stored.task}; its code would be imported and run."
                f" If you trust that code, name it yourself by --model {self.stored.task}."
            )
        names = tasks[self.stored.task].stored_parameters
        parameters = {name: self.stored.parameters[name] for name in names if name in self.stored.parameters}
        task = {"class_path": self.stored.task, "init_args": {**config.init_args.as_dict(), **parameters}}
        self.config = self.parser.parse_object({self.config.subcommand: {"model": task}}, self.config)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The Trainer; errors of Lightning become one sentence."""
        try:
            trainer = super().instantiate_trainer(**{**kwargs, **self._precision()})
        except InputError:
            raise
        except (ValueError, TypeError, RuntimeError, MisconfigurationException) as error:
            raise InputError(f"--trainer: {error}") from error
        trainer.callbacks = [ProgressBar() if type(each) is RichProgressBar else each for each in trainer.callbacks]
        for logger in trainer.loggers:
            if logger.save_dir is not None:
                ensure_folder(logger.save_dir)
        if any(isinstance(callback, LearningRateFinder) for callback in trainer.callbacks):
            raise InputError(
                "LearningRateFinder needs a learning rate that belongs to the task; here it belongs to the optimizer."
                " Set it by --model.optimizer AdamW --model.optimizer.lr RATE."
            )
        return trainer

    def _precision(self) -> dict[str, str]:
        """The precision of a command without the option, which is stored with the others."""
        options = self.config[self.config.subcommand].trainer
        device = device_kind(options.accelerator)
        if device is None or any(options[name] for name in NO_PRECISION):
            return {}
        if self.config.subcommand in ESTIMATING:
            options.precision = estimating_precision(device)
        elif self.config.subcommand == "fit":
            options.precision = self._of_training(device)
        return {"precision": options.precision}

    def _of_training(self, device: str) -> str:
        task, data = self.model.hparams, self.datamodule
        shape = (data.batch_size, task.in_channels, data.crop_size, data.crop_size)
        precision = fastest_precision(self.model.network, shape, task.num_classes, device)
        rank_zero_only(print)(f"Precision: {precision.name}; {precision.reason}. --trainer.precision sets another.")
        return precision.name
