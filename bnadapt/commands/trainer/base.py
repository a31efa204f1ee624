"""The base of the Trainer's commands: work runs in place of Lightning's predict loop."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from torch.utils.data import IterableDataset

from bnadapt.actions.adapt import Progress
from bnadapt.callbacks import AppliedBank
from bnadapt.commands.passes import seconds_of_tile
from bnadapt.errors import InputError
from bnadapt.reports.terminal import Console
from bnadapt.reports.time_left import LinesOnTimeLeft, duration

Result = TypeVar("Result")


class CommandTrainer(Trainer):
    """A Lightning Trainer that runs any work with checkpoint, device, precision and processes set up as to predict.

    Args:
        **settings: see `lightning.pytorch.Trainer`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.requested_precision = settings.get("precision") or (self.precision if settings.get("plugins") else None)

    @property
    def command(self) -> Sequence[str]:
        """Arguments of `bnadapt`, for the record of what was done."""
        return sys.argv[1:]

    def progress_for(self, title: str) -> Progress:
        """Wrapper around the parts of some work, such as `Adapting`, that shows progress: a bar, or lines in a file."""
        if not self.is_global_zero:
            return iter
        if Console().is_terminal and self.progress_bar_callback is not None:
            from rich.progress import track

            return lambda parts: track(parts, description=title, transient=True)

        def in_lines(parts: Iterable) -> Iterator:
            try:
                lines = LinesOnTimeLeft(title, "steps", len(parts), announces=False)
            except TypeError:  # tiles are drawn until there are enough
                yield from parts
                return
            for part in parts:
                yield part
                lines.advance()

        return in_lines

    def announced(self, progress: Progress, passes: int) -> Progress:
        """Progress that begins with an estimate of the time of so many passes of a tile."""

        def begun(parts: Iterable) -> Iterable:
            self.announce(passes)
            return progress(parts)

        return begun

    def announce(self, passes: int) -> None:
        """Print an estimate of the time of so many passes of a tile."""
        if passes and self.is_global_zero:
            seconds = passes * seconds_of_tile(self.lightning_module, self.datamodule.tile_size) / self.world_size
            Console().print(f"This takes {duration(seconds)} at most: up to {passes} passes of a tile.")

    def _run_ready(
        self,
        work: Callable[[], Result],
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None,
        passes: int = 0,
    ) -> Result:
        """Run work in place of Lightning's predict loop; `passes` of tiles are for estimating its time."""
        self.datamodule, datamodule.trainer = datamodule, self
        ready = _WhenReady(work, passes)
        callbacks = [each for each in self.callbacks if not isinstance(each, ProgressBar)]
        with self._with([*callbacks, ready]), self._without_limit(), self._saying_that_nothing_is_written():
            super().predict(model, dataloaders=_NoBatches(), ckpt_path=ckpt_path, return_predictions=False)
        return ready.result

    @contextmanager
    def _with(self, callbacks: list[Callback]) -> Iterator[None]:
        """Replace the Trainer's callbacks within the block."""
        configured, self.callbacks = self.callbacks, callbacks
        try:
            yield
        finally:
            self.callbacks = configured

    def _configured(self, kind: type[Callback], default: Any = None) -> Any:
        """The callback of a kind, or the default if the Trainer has none."""
        return next((each for each in self.callbacks if isinstance(each, kind)), default)

    def _limit(self, command: str, count: int | None = None) -> int | None:
        """Largest number of batches, or of `count` images, that a command reads."""
        limit = self.limit_predict_batches
        if limit == 0:
            raise InputError(f"{command}: --trainer.limit_predict_batches 0 leaves nothing to read; leave it out.")
        if isinstance(limit, int):
            return limit
        return None if count is None else max(1, int(limit * count))

    @contextmanager
    def _without_limit(self) -> Iterator[None]:
        """Suspend Lightning's own limit, which counts other things, within the block."""
        limit, self.limit_predict_batches = self.limit_predict_batches, 1.0
        try:
            yield
        finally:
            self.limit_predict_batches = limit

    @contextmanager
    def _saying_that_nothing_is_written(self) -> Iterator[None]:
        """After Ctrl-C within the block, print that nothing was written."""
        try:
            yield
        except SystemExit as ended:
            if isinstance(ended.__context__, KeyboardInterrupt) and self.is_global_zero:
                Console().print("Interrupted: nothing was written.")
            raise

    def _check_one_process(self, command: str) -> None:
        if self.world_size > 1:
            raise InputError(
                f"{command}: runs in one process, but {self.world_size} were requested; set --trainer.devices 1."
            )


def applied(bank: str | None) -> list[Callback]:
    """The callback that applies a bank of statistics, if one is given."""
    return [] if bank is None else [AppliedBank(bank)]


def checkpoint_path(output: str | None, ckpt_path: str | None, suffix: str) -> Path:
    """The checkpoint to write: `output`, or the name of the one that is read with a suffix, such as `adapted`.

    Raises:
        InputError: neither is given, or it is not the name of a checkpoint.
    """
    if output is None and ckpt_path is None:
        raise InputError("--ckpt_path, which names the output by default, is missing; give --output.")
    path = Path(output) if output else Path(ckpt_path).with_name(f"{Path(ckpt_path).stem}-{suffix}.ckpt")
    if path.suffix != ".ckpt" or path.is_dir():
        raise InputError(f"{path}: is not the name of a checkpoint; give an --output that ends in .ckpt.")
    return path


class _NoBatches(IterableDataset):
    """Empty data, with which Lightning's predict loop ends at once."""

    def __iter__(self) -> Iterator[None]:
        return iter(())


class _WhenReady(Callback):
    """Runs work once the checkpoint is restored and the task is on its device; prints an estimate of its time."""

    def __init__(self, work: Callable[[], Any], passes: int) -> None:
        self.work = work
        self.passes = passes
        self.result: Any = None

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do the work."""
        trainer.announce(self.passes)
        self.result = self.work()
