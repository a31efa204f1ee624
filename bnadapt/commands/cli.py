"""The command line: runs Lightning's and bnadapt's commands, prints their results and writes pages."""

import atexit
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import ArgsType
from torch import distributed

import bnadapt.data  # noqa: F401  (so that domains are known by their short names)
from bnadapt.actions.recommend import Judgement
from bnadapt.actions.self_train import SELF_TRAINING_OPTIONS
from bnadapt.callbacks import SegmentationPictures, SourceSummaryCallback, TensorBoardOverview, TrainingCrops
from bnadapt.callbacks.progress import EvaluationTimeLeft, TimeLeft, TrainingStart
from bnadapt.callbacks.run_config import RunConfig
from bnadapt.commands import console
from bnadapt.commands.command_cli import CommandCLI
from bnadapt.commands.next_command import (
    MASKS,
    after_recommendation,
    has_masks,
    next_command,
    resume_command,
    source_summary_command,
)
from bnadapt.commands.parser import CommandParser
from bnadapt.commands.quiet import quiet
from bnadapt.commands.trainer import AdaptationTrainer
from bnadapt.data import DomainPair
from bnadapt.gain.candidates import NONE
from bnadapt.labels.self_training import SELF_TRAINED
from bnadapt.reports.adaptation_figures import proportions_figure
from bnadapt.reports.distance_figures import pictures
from bnadapt.reports.distance_page import write_distances
from bnadapt.reports.latent_findings import LatentFindings, answer
from bnadapt.reports.page import rendered
from bnadapt.reports.preview_page import Commands, foreground_sentence, write_preview
from bnadapt.reports.terminal import Console
from bnadapt.reports.verdict_page import write_verdict
from bnadapt.tasks import AdaptableTask


class BnadaptCLI(CommandCLI):
    """Runs a command, prints its result and the next command, and writes pages."""

    def fit(self, **options: Any) -> None:
        """Train; after Ctrl-C, print the checkpoints so far and how to resume."""
        try:
            self.trainer.fit(**options)
        except SystemExit as ended:
            if isinstance(ended.__context__, KeyboardInterrupt) and self.trainer.is_global_zero:
                self._report_interruption()
            raise

    def after_fit(self) -> None:
        """Print the checkpoints of the trained network and its score."""
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
            is_adapted = self.model.is_adapted or self.config.test.bank
            self._print_next("predict" if is_adapted else "adapt")

    def predict(self, **options: Any) -> None:
        """Segment, and print how many images were segmented."""
        if segmented := self.trainer.predict(**options):
            of_all = f" of {segmented.total}" if segmented.count < segmented.total else ""
            verb = "was" if segmented.blank == 1 else "were"
            of_these = f" ({segmented.blank} {verb} blank, predicted as background)" if segmented.blank else ""
            folder = Path(options["output"])
            Console().print(
                f"Segmented {segmented.count}{of_all} images{of_these}: masks and probabilities are in {folder}"
            )
            if not has_masks(self.arguments) and self.datamodule.target.split[2] > 0:
                self._print_next("test", more=MASKS)
            elif self.datamodule.target_has_test_block():
                self._print_next("test")

    def adapt(self, **options: Any) -> None:
        """Adapt, print what was adapted, and write pages beside the checkpoint."""
        result = self.trainer.adapt(**options)
        if not self.trainer.is_global_zero:
            return
        if result.judgement:
            folder = result.path.with_name(f"{result.path.stem}-recommendation")
            self._write_verdict(result.judgement, folder, {"Next": self._next_command("predict", result.path)})
        console.print_adaptation(self.model.adaptation, result.path)
        if result.distances:
            Console().print(answer(result.distances))
            self._write_distances(result.distances, result.path.with_name(f"{result.path.stem}-distances"))
        self._print_next("predict", result.path)

    def finetune(self, **options: Any) -> None:
        """Learn from labelled tiles, and print the scores."""
        path = self.trainer.finetune(**options)
        console.print_finetuning(self.model.adaptation, path)
        self._print_next("test" if self.datamodule.target_has_test_block() else "predict", path)

    def propose(self, **options: Any) -> None:
        """Choose tiles to label, and print where they are."""
        proposal, folder = self.trainer.propose(**options), Path(options["output"])
        console.print_proposal(proposal, folder)
        self._print_next("finetune", more=["--proposed", str(folder)])

    def recommend(self, **options: Any) -> None:
        """Recommend, and write the page."""
        judgement = self.trainer.recommend(**options)
        commands = {}
        if step := after_recommendation(judgement.verdict):
            commands = {step.said: self._next_command(step.name, more=step.options)}
        self._write_verdict(judgement, Path(options["output"]), commands)
        for said, line in commands.items():
            Console().print(f"{said}: {line}")

    def preview(self, **options: Any) -> None:
        """Show regions on a page, with the next commands for every candidate."""
        preview, folder = self.trainer.preview(**options), Path(options["output"])
        segmenting = {name: self._segmenting(name, more) for name, more in preview.options.items()}
        judge = self._next_command("recommend") if preview.can_be_judged else None
        learning = self._segmenting(SELF_TRAINED, SELF_TRAINING_OPTIONS)
        Console().print(foreground_sentence(preview), style="bold")
        summary = source_summary_command(self.arguments, self._ckpt_path)
        write_preview(preview, Commands(segmenting, learning, judge, summary), folder)
        Console().print(f"Page: {folder / 'index.html'}")
        self._print_next("recommend" if judge else "adapt")

    def distances(self, **options: Any) -> None:
        """Measure distances, and write the page."""
        findings = self.trainer.distances(**options)
        if self.trainer.is_global_zero:
            console.print_distances(findings)
            self._write_distances(findings, Path(options["output"]))
            self._print_next("predict" if findings.adapted else "adapt")

    def export(self, **options: Any) -> None:
        """Export, and print the file."""
        path = self.trainer.export(**options)
        if self.trainer.is_global_zero:
            console.print_export(options["format"], path)

    def source_summary(self, **options: Any) -> None:
        """Summarise the source, and print the summary."""
        summary = self.trainer.source_summary(**options)
        if self.trainer.is_global_zero:
            path = Path(options["output"] or options["ckpt_path"])
            console.print_source_summary(summary, self.datamodule.summary_block("source"), path)
            self._print_next("recommend", path)

    def _print_training(self) -> tuple[Path | None, Path | None]:
        """Print and return the checkpoints of the best and the last epoch, as far as they exist."""
        by_name = {each.filename: each for each in self.trainer.callbacks if isinstance(each, ModelCheckpoint)}
        best, last = (
            Path(by_name[name].best_model_path) if name in by_name and by_name[name].best_model_path else None
            for name in ("best", "last")
        )
        if best and (score := by_name["best"].best_model_score) is not None:
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
            Console().print("Interrupted during the first epoch, before any checkpoint was written.")

    def _print_scores(self, prefix: str) -> None:
        scores = {tag: float(value) for tag, value in self.trainer.callback_metrics.items()}
        stage_scores = {tag: value for tag, value in scores.items() if tag.startswith(prefix)}
        bank = self.config.test.bank if self.config.subcommand == "test" else None
        console.print_scores(stage_scores, self.model.adaptation["target"] if self.model.adaptation else bank)

    def _print_next(self, name: str, ckpt_path: Path | None = None, more: Sequence[str] = ()) -> None:
        """Print the next command, with this one's checkpoint unless another is given."""
        Console().print(f"Next: {self._next_command(name, ckpt_path, more)}")

    def _next_command(self, name: str, ckpt_path: Path | None = None, more: Sequence[str] = ()) -> str:
        has_target = self.datamodule.target is not None
        arguments = [self.arguments[0], *self.resumed, *self.arguments[1:]]
        return next_command(name, arguments, ckpt_path=ckpt_path or self._ckpt_path, has_target=has_target, more=more)

    @property
    def _ckpt_path(self) -> Path:
        """The checkpoint that this command reads."""
        return Path(self.config[self.config.subcommand].ckpt_path)

    def _segmenting(self, candidate: str, options: Sequence[str]) -> list[str]:
        """The commands that segment all of the target under a candidate."""
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
        figures, proportions = pictures(findings), (self.model.adaptation or {}).get("class_proportions")
        if self.config.subcommand == "adapt" and proportions and proportions["estimated"]:
            figures["proportions"] = rendered(proportions_figure(proportions))
        write_distances(findings, figures, folder, verdict["sentence"] if verdict else None)
        Console().print(f"Page: {folder / 'index.html'}")

    def _write_verdict(self, judgement: Judgement, folder: Path, commands: Mapping[str, str]) -> None:
        """Print a verdict, and write its page."""
        Console().print(judgement.verdict.sentence(), style="bold")
        for alarm in judgement.verdict.alarms:
            Console().print(f"{alarm.name}: {alarm.sentence}")
        write_verdict(judgement.verdict, judgement.results, self.datamodule.target.name, folder, commands)
        Console().print(f"Page: {folder / 'index.html'}")


def main(args: ArgsType = None) -> BnadaptCLI:
    """Run one command, by default that of the process; returns the command line with its trainer, model and data."""
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
            "callbacks": [
                ModelCheckpoint(monitor="val/source/iou", mode="max", filename="best", enable_version_counter=False),
                ModelCheckpoint(filename="last", enable_version_counter=False),
                SourceSummaryCallback(),
                SegmentationPictures(),
                TrainingCrops(),
                TensorBoardOverview(),
                TrainingStart(),
                TimeLeft(),
                EvaluationTimeLeft(),
            ],
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

    Groups of gloo that still exist when the process ends abort it now and then.
    """
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
