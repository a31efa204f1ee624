"""The command line: LightningCLI with fit, validate, test, predict, and commands of our own, such as adapt."""

import atexit
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LearningRateFinder, ModelCheckpoint, RichProgressBar
from lightning.pytorch.cli import ArgsType, LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import distributed

import bnadapt.data  # noqa: F401  (so that domains are known by their short names)
from bnadapt.actions import Judgement
from bnadapt.actions.choose import AUTO
from bnadapt.callbacks import SegmentationPictures, SourceSummaryCallback, TensorBoardOverview, TrainingCrops
from bnadapt.callbacks.progress import EvaluationTimeLeft, ProgressBar, TimeLeft, TrainingStart
from bnadapt.callbacks.run_config import RunConfig
from bnadapt.commands import console
from bnadapt.commands.next_command import MASKS, has_masks, next_command, resume_command, source_summary_command
from bnadapt.commands.parser import CommandParser
from bnadapt.commands.precision import device_kind, fastest_precision
from bnadapt.commands.quiet import quiet
from bnadapt.commands.resuming import kept_config, kept_options
from bnadapt.commands.trainer import AdaptationTrainer
from bnadapt.commands.training_length import LENGTH, default_length
from bnadapt.data import DomainPair
from bnadapt.errors import InputError
from bnadapt.files import ensure_folder
from bnadapt.gain.candidates import NONE
from bnadapt.networks.smp import DOWNLOADED
from bnadapt.reports.distance_figures import pictures
from bnadapt.reports.distance_page import write_distances
from bnadapt.reports.latents import LatentFindings, answer
from bnadapt.reports.preview_page import Commands, foreground_sentence, write_preview
from bnadapt.reports.proportions_figure import proportions_figure
from bnadapt.reports.rendering import rendered
from bnadapt.reports.terminal import Console
from bnadapt.reports.verdict_page import write_verdict
from bnadapt.tasks import AdaptableTask, known_tasks
from bnadapt.tasks.checkpoints import DEFAULT_TASK, NETWORK_PARAMETERS, StoredTask, read_checkpoint

NO_PRECISION = ("precision", "plugins", "fast_dev_run")  # options of a Trainer for which none is chosen
TRAINER_COMMANDS = ("adapt", "finetune", "propose", "recommend", "preview", "distances", "export", "source_summary")


class BnadaptCLI(LightningCLI):
    """LightningCLI for tasks and a DomainPair, with the subcommands of TRAINER_COMMANDS.

    The task is a SegmentationTask unless `--model` names another class.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Run the command that the arguments begin with."""
        given = kwargs.get("args")
        self.arguments = [str(each) for each in (sys.argv[1:] if given is None else given)]
        super().__init__(*args, **kwargs)

    def subcommands(self) -> dict[str, set[str]]:
        """The command that is asked for, each with the arguments that are not options; all commands if it is unknown.

        The parser of a command takes some 50 ms to build, those of all commands half a second.
        """
        every = LightningCLI.subcommands() | {name: {"model", "datamodule"} for name in TRAINER_COMMANDS}
        asked = self.arguments[:1]
        return {name: every[name] for name in asked if name in every} or every

    def add_arguments_to_parser(self, parser: CommandParser) -> None:
        """The task that is meant where none is named."""
        parser.set_defaults({"model": {"class_path": DEFAULT_TASK}})

    def parse_arguments(self, parser: Any, args: ArgsType) -> None:
        """Parse, and refuse a checkpoint that is missing, broken, foreign or of another network than asked for."""
        super().parse_arguments(parser, self._with_kept_options(self.arguments))
        config = self.config[self.config.subcommand]
        self.stored: StoredTask | None = None
        if config.ckpt_path is None:
            if self.config.subcommand != "fit":
                raise InputError(f"{self.config.subcommand}: give the trained network by --ckpt_path.")
            return
        asked = config.model.init_args
        self.stored = read_checkpoint(Path(config.ckpt_path), asked.get("network"))
        if self.config.subcommand == "fit" and not self.stored.is_resumable:
            raise InputError(
                f"{config.ckpt_path}: holds a network without the whole state of its training, as adapted ones are, so"
                " that it cannot be resumed; take best.ckpt or last.ckpt."
            )
        if not self.stored.knows_scaling and config.data.intensity is None:
            raise InputError(
                f"{config.ckpt_path}: does not say how the images were scaled that its network was trained on; give"
                " --data.intensity."
            )
        self._check_requested(asked)

    def before_instantiate_classes(self) -> None:
        """Give a training without a length the default one."""
        if self.config.subcommand == "fit" and (given := default_length(self.config.fit.trainer)):
            self.config = self.parser.parse_object({"fit": {"trainer": given}}, self.config)
            rank_zero_only(print)(LENGTH)

    @staticmethod
    def _with_kept_options(arguments: list[str]) -> list[str]:
        """Arguments, with the options that were kept of the training that they go on with."""
        path = kept_config(arguments)
        if path is None:
            return arguments
        kept = kept_options(path, arguments)
        rank_zero_only(print)(
            f"Going on with the options of {path} (from {', '.join(kept)}); those given here go before."
        )
        return [arguments[0], f"--config={yaml.safe_dump(kept)}", *arguments[1:]]

    def _check_requested(self, asked: Any) -> None:
        """Refuse a checkpoint of another network than the command line or a config asks for."""
        defaults = self._subcommand_parsers[self.config.subcommand].get_defaults().model.init_args
        for name in NETWORK_PARAMETERS:
            given = asked.get(name)
            if isinstance(given, dict):  # the checkpoint holds the weights
                given = {key: value for key, value in given.items() if key != DOWNLOADED} or None
            if given not in (defaults[name], self.stored.parameters[name]):
                raise InputError(
                    f"{self.stored.path}: holds a network with {name} {self.stored.parameters[name]}, --model.{name}"
                    f" asks for {asked.get(name)}; leave out --model.{name}, or take another checkpoint."
                )

    def _parse_ckpt_path(self) -> None:
        """Take the task's class and hyper-parameters from the checkpoint, of which nothing else is followed."""
        if self.stored is None:
            return
        config = self.config[self.config.subcommand].model
        known = known_tasks()
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
                "LearningRateFinder changes a learning rate of the task itself, and here it is the optimizer's; set it"
                " by --model.optimizer AdamW --model.optimizer.lr RATE."
            )
        return trainer

    def fit(self, **options: Any) -> None:
        """Train; where Ctrl-C ends that, say where the network is so far, and how to go on."""
        try:
            self.trainer.fit(**options)
        except SystemExit as ended:
            if isinstance(ended.__context__, KeyboardInterrupt) and self.trainer.is_global_zero:
                self._report_interruption()
            raise

    def _precision(self) -> dict[str, str]:
        """The option for a training that is given none, which is kept with the others."""
        options = self.config[self.config.subcommand].trainer
        device = device_kind(options.accelerator)
        if self.config.subcommand != "fit" or device is None or any(options[name] for name in NO_PRECISION):
            return {}
        task, data = self.model.hparams, self.datamodule
        shape = (data.batch_size, task.in_channels, data.crop_size, data.crop_size)
        found = fastest_precision(self.model.network, shape, task.num_classes, device)
        rank_zero_only(print)(f"Precision: {found.name}; {found.reason}. --trainer.precision sets another.")
        options.precision = found.name
        return {"precision": found.name}

    def after_fit(self) -> None:
        """Say where the trained network is, and what it scores."""
        if not self.trainer.is_global_zero:
            return
        stopping = self.trainer.early_stopping_callback
        if stopping and stopping.stopped_epoch:
            Console().print(
                f"Stopped early after {self.trainer.global_step} steps: the IoU on the source's validation block has"
                f" not risen for {stopping.patience} epochs."
            )
        best, last = self._print_training()
        if path := best or last:
            self._print_next("adapt", path)

    def after_validate(self) -> None:
        """Print the table of scores."""
        if self.trainer.is_global_zero:
            self._print_scores("val/")
            self._print_next("adapt")

    def after_test(self) -> None:
        """Print the table of scores."""
        if self.trainer.is_global_zero:
            self._print_scores("test/")
            is_adapted = self.model.source_bank is not None or self.config.test.bank
            self._print_next("predict" if is_adapted else "adapt")

    def predict(self, **options: Any) -> None:
        """Segment, and say how much was, where the files are written."""
        if segmented := self.trainer.predict(**options):
            console.print_prediction(segmented.count, segmented.total, segmented.blank, Path(options["output"]))
            self._print_next("test", more=[] if has_masks(self.arguments) else MASKS)

    def adapt(self, **options: Any) -> None:
        """Adapt, say what was adapted, and write pages beside the checkpoint."""
        done = self.trainer.adapt(**options)
        if not self.trainer.is_global_zero:
            return
        if done.judgement:
            self._write_verdict(done.judgement, done.path.with_name(f"{done.path.stem}-recommendation"))
        console.print_adaptation(self.model.adaptation, done.path)
        if done.distances:
            Console().print(answer(done.distances))
            self._write_distances(done.distances, done.path.with_name(f"{done.path.stem}-distances"))
        self._print_next("predict", done.path)

    def finetune(self, **options: Any) -> None:
        """Learn from labelled tiles, and say from what, and what it scores."""
        path = self.trainer.finetune(**options)
        console.print_finetuning(self.model.adaptation, path)
        self._print_next("test" if has_masks(self.arguments) else "predict", path)

    def propose(self, **options: Any) -> None:
        """Choose tiles to label, and say where they are."""
        proposal, folder = self.trainer.propose(**options), Path(options["output"])
        console.print_proposal(proposal, folder)
        self._print_next("finetune", more=["--proposed", str(folder)])

    def recommend(self, **options: Any) -> None:
        """Say what to do, and write the page of it."""
        self._write_verdict(self.trainer.recommend(**options), Path(options["output"]))
        self._print_next("adapt", more=["--choose", AUTO])

    def preview(self, **options: Any) -> None:
        """Look at regions, and write the page of it, with the commands that follow for every candidate."""
        preview, folder = self.trainer.preview(**options), Path(options["output"])
        segmenting = {name: self._segmenting(name, chosen) for name, chosen in preview.options.items()}
        judge = self._next_command("recommend") if preview.can_be_judged else None
        Console().print(foreground_sentence(preview), style="bold")
        summary = source_summary_command(self.arguments, self._ckpt_path)
        write_preview(preview, Commands(segmenting, judge, summary), folder)
        Console().print(f"Page: {folder / 'index.html'}")
        self._print_next("recommend" if judge else "adapt")

    def distances(self, **options: Any) -> None:
        """Measure distances, and write the page of it."""
        findings = self.trainer.distances(**options)
        if self.trainer.is_global_zero:
            console.print_distances(findings)
            self._write_distances(findings, Path(options["output"]))
            self._print_next("predict" if findings.adapted else "adapt")

    def export(self, **options: Any) -> None:
        """Export, and say what was written."""
        path = self.trainer.export(**options)
        if self.trainer.is_global_zero:
            console.print_export(options["format"], path)

    def source_summary(self, **options: Any) -> None:
        """Summarise the source, and say what the summary rests on."""
        summary = self.trainer.source_summary(**options)
        if self.trainer.is_global_zero:
            path = Path(options["output"] or options["ckpt_path"])
            console.print_source_summary(summary, self.datamodule.summary_block("source"), path)
            self._print_next("recommend", path)

    def _print_training(self) -> tuple[Path | None, Path | None]:
        """Print where the checkpoints of the best and the last epoch are; the paths of those that there are."""
        kept = [_kept(self.trainer, name) for name in ("best", "last")]
        best, last = (Path(each.best_model_path) if each and each.best_model_path else None for each in kept)
        if best and (score := kept[0].best_model_score) is not None:
            Console().print(f"Best: {best}, IoU {float(score):.3f} on the source's validation block")
        if last:
            Console().print(f"Last: {last}")
        return best, last

    def _report_interruption(self) -> None:
        best, last = self._print_training()
        if last:
            Console().print(f"Resume: {resume_command(self.arguments, last)}")
        if path := best or last:
            self._print_next("adapt", path)
        else:
            Console().print("Interrupted before the end of the first epoch: there is no checkpoint yet.")

    def _print_scores(self, prefix: str) -> None:
        scores = {tag: float(value) for tag, value in self.trainer.callback_metrics.items()}
        of_stage = {tag: value for tag, value in scores.items() if tag.startswith(prefix)}
        bank = self.config.test.bank if self.config.subcommand == "test" else None
        console.print_scores(of_stage, self.model.adaptation["target"] if self.model.adaptation else bank)

    def _print_next(self, name: str, ckpt_path: Path | None = None, more: Sequence[str] = ()) -> None:
        """Print the command that follows; it takes this one's checkpoint unless another is given."""
        Console().print(f"Next: {self._next_command(name, ckpt_path, more)}")

    def _next_command(self, name: str, ckpt_path: Path | None = None, more: Sequence[str] = ()) -> str:
        has_target = self.datamodule.target is not None
        return next_command(
            name, self.arguments, ckpt_path=ckpt_path or self._ckpt_path, has_target=has_target, more=more
        )

    @property
    def _ckpt_path(self) -> Path:
        """The checkpoint that this command reads."""
        return Path(self.config[self.config.subcommand].ckpt_path)

    def _segmenting(self, candidate: str, options: Sequence[str]) -> list[str]:
        """What one would type to segment all of the target under a candidate."""
        source = self._ckpt_path
        output = ["--output", f"predictions-{candidate}"]
        if candidate == NONE and self.model.source_bank is None:
            return [self._next_command("predict", more=output)]
        adapted = source.with_name(f"{source.stem}-{candidate}.ckpt")
        return [
            self._next_command("adapt", more=[*options, "--output", str(adapted)]),
            self._next_command("predict", adapted, output),
        ]

    def _write_distances(self, findings: LatentFindings, folder: Path) -> None:
        verdict = (self.model.adaptation or {}).get("recommendation")
        drawn, proportions = pictures(findings), (self.model.adaptation or {}).get("class_proportions")
        if self.config.subcommand == "adapt" and proportions and proportions["estimated"]:
            drawn["proportions"] = rendered(proportions_figure(proportions))
        write_distances(findings, drawn, folder, verdict["sentence"] if verdict else None)
        Console().print(f"Page: {folder / 'index.html'}")

    def _write_verdict(self, judgement: Judgement, folder: Path) -> None:
        """Print a verdict, and write its page."""
        console.print_verdict(judgement.verdict)
        write_verdict(judgement.verdict, judgement.results, self.datamodule.target.name, folder)
        Console().print(f"Page: {folder / 'index.html'}")


def main(args: ArgsType = None) -> BnadaptCLI:
    """Run one command.

    Args:
        args: command line arguments; those of the process by default.

    Returns:
        The finished command line, with its trainer, model and data module.

    Raises:
        InputError: an input cannot be used; possibly as the cause of a ValueError.
    """
    quiet()
    return BnadaptCLI(
        AdaptableTask,
        DomainPair,
        save_config_callback=RunConfig,
        trainer_class=AdaptationTrainer,
        trainer_defaults={
            "logger": {
                "class_path": "bnadapt.callbacks.tensorboard.RunLogger",
                "init_args": {"save_dir": "lightning_logs", "name": "default", "default_hp_metric": False},
            },
            "callbacks": _callbacks(),
            "log_every_n_steps": 10,
            "enable_model_summary": False,
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


@atexit.register
def end_process_group() -> None:
    """End the process group of a distributed run; Lightning ends those of NCCL alone.

    Those of gloo that are left to the end of the process abort it now and then.
    """
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _kept(trainer: Trainer, filename: str) -> ModelCheckpoint | None:
    """What has kept the checkpoints of a name."""
    kept = (each for each in trainer.callbacks if isinstance(each, ModelCheckpoint))
    return next((each for each in kept if each.filename == filename), None)


def _callbacks() -> list[Any]:
    return [
        ModelCheckpoint(monitor="val/source/iou", mode="max", filename="best", enable_version_counter=False),
        ModelCheckpoint(filename="last", enable_version_counter=False),
        SourceSummaryCallback(),
        SegmentationPictures(),
        TrainingCrops(),
        TensorBoardOverview(),
        TrainingStart(),
        TimeLeft(),
        EvaluationTimeLeft(),
    ]
