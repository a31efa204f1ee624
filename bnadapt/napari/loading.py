"""The commands' Trainer, network and data for the user's choices."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from bnadapt.commands.precision import estimating_precision
from bnadapt.commands.quiet import quiet
from bnadapt.commands.trainer import AdaptationTrainer
from bnadapt.data import Domain, DomainPair, Folder, InputChange, Stack
from bnadapt.errors import InputError
from bnadapt.napari.inputs import Inputs
from bnadapt.napari.watch import Watch
from bnadapt.networks.stored import load_tensors
from bnadapt.tasks import AdaptableTask, known_tasks
from bnadapt.tasks.checkpoints import StoredTask, read_checkpoint


class WatchedTrainer(AdaptationTrainer):
    """The Trainer of the commands, watched and stopped from a window.

    `line` is the equivalent command line without `bnadapt`, for the record of what was done.
    """

    def __init__(self, watch: Watch, line: Sequence[str], precision: str | None) -> None:
        quiet()
        super().__init__(
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            devices=1,
            precision=precision,
            callbacks=[_Watching(watch)],
        )
        self.watch = watch
        self.line = line

    @property
    def command(self) -> Sequence[str]:
        """The equivalent command line, without `bnadapt`."""
        return self.line

    def progress_for(self, what: str) -> Callable[[Iterable], Iterable]:
        """Wraps the parts of some work to show progress."""
        return self.watch.shown(what)


class _Watching(Callback):
    """Reports segmented sections, and stops between blocks."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.hook: Any = None

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.hook = pl_module.network.register_forward_pre_hook(lambda *_: self.watch.check())

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.watch.report("Segmenting", batch_idx + 1, trainer.num_predict_batches[0])

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.hook is not None:
            self.hook.remove()


@dataclass(frozen=True, eq=False)
class Loaded:
    """A network ready to run by the commands' Trainer, and data whose target is the image."""

    trainer: WatchedTrainer
    task: AdaptableTask
    data: DomainPair
    path: str  # of the checkpoint


def load(inputs: Inputs, watch: Watch, line: Sequence[str] = (), checkpoint: str | None = None) -> Loaded:
    """Load the user's choice, to estimate statistics, or another checkpoint, to segment as it is."""
    path = Path(checkpoint or inputs.checkpoint)
    task = task_class(read_checkpoint(path)).load_from_checkpoint(path, _device())
    data = DomainPair(target=target_of(inputs), tile_size=inputs.tile_size, adaptation_tiles=inputs.tiles)
    state = load_tensors(path).get(DomainPair.__qualname__)
    if state is None:
        raise InputError(
            f"{path}: does not say how the images were scaled that its network was trained on; bring it in by bnadapt"
            " import --intensity."
        )
    data.load_state_dict(state)
    precision = None if checkpoint else estimating_precision(_device())
    task.trainer = trainer = WatchedTrainer(watch, line, precision)
    return Loaded(trainer, task.eval(), data, str(path))


def unchanged(loaded: Loaded) -> DomainPair:
    """The data with the target unchanged by earlier adaptations."""
    loaded.data.target_change = InputChange()
    return loaded.data


def target_of(inputs: Inputs) -> Domain:
    """The image as a domain."""
    size = {"pixel_size_nm": inputs.pixel_size_nm, "override_pixel_size": inputs.pixel_size_nm is not None}
    if inputs.is_folder:
        return Folder(inputs.image, **size)
    return Stack(inputs.image, images_key=inputs.key, plane=inputs.plane, index=dict(inputs.index), **size)


def task_class(stored: StoredTask) -> type[AdaptableTask]:
    """The class of a stored task; refuses one that is not bnadapt's."""
    if stored.task not in known_tasks():
        raise InputError(
            f"{stored.path}: is of the task {stored.task}, code that would be imported and run; use it by the command"
            " line, where you name it by --model."
        )
    return known_tasks()[stored.task]


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
