"""Write the masks and probabilities of `bnadapt predict`."""

import json
import logging
import math
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from bnadapt.actions.segment import foreground, whole_section
from bnadapt.data.masks import as_stored
from bnadapt.data.prepare import report_blank
from bnadapt.data.tiles import Blocks
from bnadapt.data.whole_sections import Outline
from bnadapt.data.writers import SectionWriter, stored_probability
from bnadapt.errors import InputError
from bnadapt.reports.terminal import Console
from bnadapt.volumes.execution import Execution, Executions
from bnadapt.volumes.memory import most_memory
from bnadapt.volumes.unfinished import Unfinished

log = logging.getLogger(__name__)
BLANK, EXECUTION = "blank", "execution"


class PredictionFiles(Callback):
    """Writes one mask and one probability image per section of the target, in its format and size.

    The probability is that of no background; masks of two classes hold 0 and 255, those of more the
    class index. A thread writes while the network segments the next section. An interrupted run is resumed: its
    finished sections are not segmented again.

    Args:
        writer: writes masks and probabilities.
        unfinished: keeps finished sections until the last one is finished.
        names: names of all sections.
        blocks: division of the sections.
        sections: numbers of the sections to segment; all by default.
        overwrite: whether to discard sections of a run of another identity.
        probability: type of the stored probabilities; by default as fine as that of the image.
        precision: precision of the network; by default the fastest one that is exact enough.

    Attributes:
        blank: names of the blank sections, once all are written.
    """

    def __init__(
        self,
        writer: SectionWriter,
        unfinished: Unfinished,
        names: Sequence[str],
        blocks: Blocks,
        sections: Sequence[int] | None = None,
        overwrite: bool = False,
        probability: str | None = None,
        precision: str | None = None,
    ) -> None:
        self.writer = writer
        self.unfinished = unfinished
        self.names = names
        self.blocks = blocks
        self.is_part = sections is not None
        self.sections = range(len(names)) if sections is None else sections
        self.overwrite = overwrite
        self.probability = probability
        self.precision = precision
        self.blank: list[str] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writing")
        self._pending: Future | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Start a run, or resume one.

        Raises:
            InputError: in all processes; see `Unfinished.begin`.
        """
        refusal = None
        if trainer.is_global_zero:
            try:
                self.unfinished.begin(self.overwrite, self.is_part)
            except InputError as error:
                refusal = str(error)
        if refusal := trainer.strategy.broadcast(refusal):
            raise InputError(refusal)
        finished = self.unfinished.finished()
        if finished and trainer.is_global_zero:
            log.warning(
                "%s: resumes a run that has segmented %d of %d sections.",
                self.unfinished.folder,
                len(finished),
                len(self.names),
            )
        missing = [number for number in self.sections if number not in finished]
        shares = np.array_split(missing, trainer.world_size)  # of neighbours, which may lie in common chunks
        trainer.datamodule.segment_by(self.blocks, shares[trainer.global_rank].tolist())
        self.writer.begin(len(self.names), self.unfinished.run)

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, *_: int
    ) -> None:
        """Before the first section, print how sections are divided, and how much memory that takes.

        Before the first one that is not blank, decide how the network is run.
        """
        if pl_module.execution is None and len(batch["image"]):
            self._set_execution(trainer, pl_module, batch)
        if batch_idx == 0 and trainer.is_global_zero:
            self._announce(trainer, pl_module, batch["section"].size)

    def _set_execution(self, trainer: Trainer, task: LightningModule, batch: Any) -> None:
        """Run the network as the resumed run does, or else in the fastest way that is exact enough."""
        pixels = len(self.names) * math.prod(batch["section"].size)
        executions = Executions(task.network, task.hparams.num_classes, batch["image"], self.blocks.stride, pixels)
        decide = executions.fastest if self.precision is None else partial(executions.in_precision, self.precision)
        execution = Execution(**self.unfinished.decided(EXECUTION, lambda: asdict(decide())))
        task.execution = executions.run(execution)
        if trainer.is_global_zero:
            Console().print(f"Execution: {execution}.")

    def _announce(self, trainer: Trainer, task: LightningModule, size: tuple[int, int]) -> None:
        channels, classes = task.hparams.in_channels, task.hparams.num_classes
        most = most_memory(task.network, channels, classes, size, self.blocks, trainer.datamodule.batch_size)
        memory = "" if most is None else f"; at most {most / 1e9:.1f} GB a process"
        Console().print(
            f"Segmenting {len(self.names)} sections, the first of {size[0]} x {size[1]} pixels, in blocks of"
            f" {self.blocks.size} with {self.blocks.margin} around them{memory}."
        )

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Tensor, batch: Any, *_: int
    ) -> None:
        """Assemble and write a section, after the one before it."""
        self._finish_writing()
        self._pending = self._thread.submit(self._write, trainer, batch["section"], outputs)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish_writing()

    def publish(self, context: str) -> None:
        """Finish the files, and move them to their place; for one process, when all are done.

        Args:
            context: name of the domain.

        Raises:
            InputError: all sections are blank.
        """
        finished = self.unfinished.finished()
        self.blank = [self.names[number] for number, note in sorted(finished.items()) if note == BLANK]
        try:
            report_blank(context, self.blank, len(self.names), "predicted as background")
        except InputError:
            self.unfinished.discard()
            raise
        if not self.unfinished.is_complete:
            with self.unfinished.refusing():
                self.writer.close()
                unused = asdict(Execution("none", "none", 0, "every section is blank"))
                record = {**self.unfinished.run, EXECUTION: self.unfinished.decided(EXECUTION, lambda: unused)}
                path = self.unfinished.results / f"{context.replace(os.sep, '_')}_segmentation.json"
                path.write_text(json.dumps(record, indent=2) + "\n")
        self.unfinished.publish()

    def keep_partial(self) -> None:
        """After the run, whatever ended it: keep finished sections, and log how to resume."""
        self._thread.shutdown()
        if 0 < (count := self.unfinished.keep_partial()) < len(self.names):
            log.warning(
                "%s: %d of %d sections are segmented; the same command resumes with the rest.",
                self.unfinished.folder,
                count,
                len(self.names),
            )

    def _finish_writing(self) -> None:
        if self._pending is not None:
            self._pending.result()

    def _write(self, trainer: Trainer, section: Outline, maps: Tensor) -> None:
        probabilities = whole_section(trainer.predict_dataloaders.dataset, section, maps)
        mask = as_stored(probabilities.argmax(0), len(probabilities))
        probability = stored_probability(foreground(probabilities), np.dtype(self.probability or section.dtype))
        with self.unfinished.refusing():
            self.writer.write(section.index, section.name, mask, probability)
        self.unfinished.finish(section.index, BLANK if section.is_blank else "")
