"""The progress bar, and the time at which training starts."""

import math
import time
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.trainer.states import TrainerFn

from bnadapt.reports.terminal import Console
from bnadapt.reports.time_left import LINES, SECONDS, LinesOnTimeLeft, duration


class RemainingTime:
    """Estimates how long a training still takes, from its pace since this object was created, validation included.

    Attributes:
        steps: steps of the whole training.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.steps = trainer.estimated_stepping_batches
        self._trainer, self._started = trainer, time.monotonic()
        self._first = self.done

    @property
    def done(self) -> int:
        """Finished steps, including those before a training was resumed."""
        return (self._trainer.fit_loop.total_batch_idx + 1) // self._trainer.accumulate_grad_batches

    @property
    def elapsed(self) -> float:
        """Seconds."""
        return time.monotonic() - self._started

    def text(self, elapsed: float) -> str | None:
        """Text such as `about 6 min left`; None if unknown.

        Args:
            elapsed: seconds.
        """
        if self.done == self._first or not math.isfinite(self.steps):
            return None
        return f"{duration(elapsed / (self.done - self._first) * (self.steps - self.done))} left"


class ProgressBar(RichProgressBar):
    """Lightning's progress bar, which counts epochs from 1, derives their number from the steps, and hides the version.

    It shows how long the whole training still takes, as of the beginning of the epoch, and megabytes of images per
    second while sections are segmented. In a log it shows nothing.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        console = Console()
        if not (console.is_terminal or console.is_jupyter):
            self.disable()

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, pl_module)
        return {name: value for name, value in metrics.items() if name != "v_num"}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._remaining = RemainingTime(trainer)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_predict_start(trainer, pl_module)
        self._started, self._bytes = time.monotonic(), 0

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *numbers: int
    ) -> None:
        super().on_predict_batch_end(trainer, pl_module, outputs, batch, *numbers)
        if self.is_disabled or self.predict_progress_bar_id is None:
            return
        section = batch["section"]
        self._bytes += math.prod(section.original_size) * np.dtype(section.dtype).itemsize
        rate = self._bytes / 1e6 / max(time.monotonic() - self._started, 1e-9)
        self.progress.update(self.predict_progress_bar_id, description=f"Segmenting, {rate:.3g} MB/s")

    def _get_train_description(self, current_epoch: int) -> str:
        epochs = self.trainer.max_epochs
        if epochs == -1 and self.trainer.max_steps > 0:
            epochs = math.ceil(self.trainer.max_steps / self.trainer.num_training_batches)
        remaining = self._remaining.text(self._remaining.elapsed)
        of_all = f"/{epochs}" if epochs and epochs > 0 else ""
        return f"Epoch {current_epoch + 1}{of_all}{f', {remaining}' if remaining else ''}"


class TrainingStart(Callback):
    """Prints a line on what is trained on what, for how long, and where the logs are."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        folder = trainer.log_dir if trainer.loggers else None  # asks all processes
        if not trainer.is_global_zero:
            return
        count = sum(each.numel() for each in pl_module.network.parameters())
        steps, in_epoch = trainer.estimated_stepping_batches, trainer.num_training_batches
        Console().print(
            f"Training {type(pl_module.network).__name__} ({count / 1e6:.2f} M parameters) on"
            f" {trainer.datamodule.source.name}: {steps:g} steps"
            f"{f' ({in_epoch:g} an epoch)' if steps > in_epoch else ''}{f'; logs in {folder}' if folder else ''}."
        )


class TimeLeft(Callback):
    """Prints lines on how far a training is and how long it still takes, where no progress bar does.

    The first line comes after 20 seconds, others after each tenth of the training but no sooner than 20 seconds later.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        bar = trainer.progress_bar_callback
        self._is_shown = trainer.is_global_zero and not (bar and bar.is_enabled and Console().is_terminal)
        self._remaining, self._last_line, self._part = RemainingTime(trainer), 0.0, -1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        done, steps, elapsed = self._remaining.done, self._remaining.steps, self._remaining.elapsed
        part = LINES * done // steps
        if not self._is_shown or elapsed - self._last_line < SECONDS or part == self._part or done >= steps:
            return
        if remaining := self._remaining.text(elapsed):
            self._last_line, self._part = elapsed, part
            iou = trainer.callback_metrics.get("val/source/iou")
            score = "" if iou is None else f"; IoU {iou:.2f} on the source's validation block"
            Console().print(f"Step {done} of {steps}, {remaining}{score}.")


class EvaluationTimeLeft(Callback):
    """Prints how long `predict`, `test` or `validate` takes, measured on the first batch, and in logs the time left.

    Further lines come after each tenth of the batches but no sooner than 20 seconds after the last.
    """

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._lines = LinesOnTimeLeft("Segmenting", "images", sum(trainer.num_predict_batches))

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._lines = LinesOnTimeLeft("Scoring", "batches", sum(trainer.num_test_batches))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._lines = LinesOnTimeLeft("Scoring", "batches", sum(trainer.num_val_batches))

    def on_predict_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.is_global_zero:
            self._lines.advance()

    on_test_batch_end = on_predict_batch_end

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.state.fn == TrainerFn.VALIDATING:  # a training prints its own lines
            self.on_predict_batch_end(trainer)
