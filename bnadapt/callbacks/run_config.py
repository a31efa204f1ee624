"""The options of a run, stored beside its logs."""

import shutil
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback


class RunConfig(SaveConfigCallback):
    """Stores the options of a run as `config.yaml` in the folder of its logs.

    A training claims its folder at once, so that no simultaneous run takes it, and removes it if the training is
    refused before its first step. Other commands have a folder only if they have logged something.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.claimed: Path | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit" and trainer.loggers:
            folder = Path(trainer.log_dir)
            self.claimed = None if folder.exists() else folder
            super().setup(trainer, pl_module, stage)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        self.claimed = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if self.claimed and trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.finalize("failed")  # before the folder is removed
            shutil.rmtree(self.claimed, ignore_errors=True)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if trainer.loggers and Path(trainer.log_dir).exists():
            super().setup(trainer, pl_module, stage)
