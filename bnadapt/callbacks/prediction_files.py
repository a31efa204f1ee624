"""Write what `bnadapt predict` segments."""

from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from bnadapt.data.masks import as_stored
from bnadapt.data.prepare import resampled
from bnadapt.data.writers import stored_probability


class PredictionFiles(Callback):
    """Writes one mask and one probability image per section of the target, in its format and size.

    The probability is that of no background; masks of two classes hold 0 and 255, those of more the
    class index.

    Args:
        folder: where to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.writer = trainer.datamodule.target.writer(self.folder)

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Tensor, batch: Any, batch_idx: int
    ) -> None:
        sections = trainer.datamodule.to_predict
        section = sections.sections[batch["section"]]
        probabilities = sections.stitched(batch["section"], outputs.cpu()).numpy()
        if section.size != section.original_size:
            probabilities = resampled(probabilities, section.original_size)
        mask = as_stored(probabilities.argmax(0), len(probabilities))
        foreground = np.clip(1 - probabilities[0], 0, 1)
        self.writer.write(section.name, mask, stored_probability(foreground, section.dtype))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.writer.close()
