"""Write what `bnadapt predict` segments."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from bnadapt.data.datamodule import report_blank
from bnadapt.data.masks import as_stored
from bnadapt.data.prepare import resampled
from bnadapt.data.writers import SectionWriter, stored_probability


class PredictionFiles(BasePredictionWriter):
    """Writes one mask and one probability image per section of the target, in its format and size.

    The probability is that of no background; masks of two classes hold 0 and 255, those of more the
    class index.

    Args:
        writer: takes them.

    Attributes:
        written: how many sections it has taken.
        blank: names of those with nothing to see.
    """

    def __init__(self, writer: SectionWriter) -> None:
        super().__init__("batch")
        self.writer = writer
        self.written = 0
        self.blank: list[str] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.writer.begin(sum(trainer.num_predict_batches))

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Tensor,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Put a section together from its tiles, and write it."""
        section = batch["section"]
        probabilities = trainer.datamodule.to_predict.stitched(section, prediction.cpu()).numpy()
        if section.size != section.original_size:
            probabilities = resampled(probabilities, section.original_size)
        mask = as_stored(probabilities.argmax(0), len(probabilities))
        foreground = np.clip(1 - probabilities[0], 0, 1)
        self.writer.write(section.name, mask, stored_probability(foreground, np.dtype(section.dtype)))
        self.written += 1
        if section.is_blank:
            self.blank.append(section.name)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish the files.

        Raises:
            InputError: there was nothing to see in any section.
        """
        self.writer.close()
        report_blank(trainer.datamodule.target.name, self.blank, self.written, "predicted as background")
