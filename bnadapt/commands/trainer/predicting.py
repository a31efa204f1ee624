"""Commands that run an unchanged network: `test` and `predict`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningDataModule, LightningModule

from bnadapt.actions.checks import require_domains
from bnadapt.callbacks import PredictionFiles
from bnadapt.commands.trainer.base import CommandTrainer, applied
from bnadapt.data import Domain, DomainPair
from bnadapt.data.formats import OME_ZARR
from bnadapt.errors import InputError
from bnadapt.tasks import AdaptableTask
from bnadapt.volumes.blocks import blocks_for
from bnadapt.volumes.identity import identity_of
from bnadapt.volumes.unfinished import Unfinished
from bnadapt.volumes.workers import segmented_by_workers

ProbabilityType = Literal["uint8", "uint16", "float16", "float32"]
VolumeFormatName = Literal["ome.zarr"]
QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}  # Trainers of workers


@dataclass(frozen=True)
class Segmented:
    """Result of `predict`.

    Attributes:
        count: number of segmented images.
        total: number of images of the target.
        blank: number of blank images among the segmented ones.
    """

    count: int
    total: int
    blank: int


class PredictingCommands(CommandTrainer):
    """The commands `test` and `predict`."""

    def test(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        verbose: bool = False,
        datamodule: LightningDataModule | None = None,
        ckpt_path: str | None = None,
        bank: str | None = None,
    ) -> list[Mapping[str, float]]:
        """Score the network on the test blocks of source, target and all further test sets.

        Args:
            model: the task.
            dataloaders: not used; the data module has the test sets.
            verbose: whether Lightning prints its own table of scores.
            datamodule: its test sets are scored.
            ckpt_path: checkpoint of the trained or adapted network.
            bank: BatchNorm statistics to use, as `adapt` writes them beside the checkpoint.
        """
        with self._with([*applied(bank), *self.callbacks]):
            return super().test(model, datamodule=datamodule, ckpt_path=ckpt_path, verbose=verbose)

    def predict(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        ckpt_path: str | None = None,
        output: str = "predictions",
        overwrite: bool = False,
        bank: str | None = None,
        probabilities: ProbabilityType | None = None,
        format: VolumeFormatName | None = None,
        sections: list[int] | None = None,
        scheduler: str | None = None,
    ) -> Segmented | None:
        """Segment all images of the target: one mask and one probability image each.

        Args:
            model: the task.
            dataloaders: not used; the data module has the images.
            datamodule: its target is segmented.
            ckpt_path: checkpoint of the trained or adapted network.
            output: folder for the images, which appear there together when all are segmented. The same command resumes
                an interrupted run; until then its results wait in a hidden folder inside this one.
            overwrite: whether to replace files of the same names.
            bank: BatchNorm statistics to use, as `adapt` writes them beside the checkpoint.
            probabilities: data type of the stored probabilities; the largest value of an integer type stands for 1. By
                default as fine as that of the images. PNG cannot store floating point, nor MRC uint8; they get uint16.
            format: format of the written volumes, such as ome.zarr; by default that of the images.
            sections: numbers, from 0, of the sections that this run segments, for jobs that share the work; afterwards
                the same command without this option segments the rest and writes the files.
            scheduler: address of a dask scheduler, such as tcp://host:8786; its workers do the work, and must find all
                files under the same paths.
        """
        require_domains(datamodule, "predict", "target")
        total = len(datamodule.target.all_sections())
        names = _names(datamodule.target, Path(output), self._limit("predict", total), sections)
        options = {"ckpt_path": ckpt_path, "bank": bank, "output": output, "overwrite": overwrite}
        options |= {"probabilities": probabilities, "format": format}
        files = _prediction_files(model, datamodule, names, sections, self.requested_precision, **options)
        try:
            if scheduler is not None:
                files.unfinished.begin(overwrite)
                settings = {"precision": self.requested_precision, "limit_predict_batches": self.limit_predict_batches}
                trainer = partial(type(self), devices=1, **QUIET, **settings)
                missing = files.unfinished.missing()
                segmented_by_workers(scheduler, trainer, model, datamodule, options, missing)
            with self._with([*applied(bank), *self.callbacks, files]), self._without_limit():
                super().predict(model, datamodule=datamodule, ckpt_path=ckpt_path, return_predictions=False)
            self.strategy.barrier("segmented")
            if not self.is_global_zero or sections is not None or files.unfinished.missing():
                return None
            files.publish(datamodule.target.name)
            return Segmented(len(names), total, len(files.blank))
        finally:
            model.execution = None
            if self.is_global_zero:
                files.keep_partial()


def _names(target: Domain, folder: Path, limit: int | None, sections: list[int] | None) -> list[str]:
    """Names of the sections to segment, up to the limit; refuses an output folder that is read, and wrong numbers."""
    if target.reads(folder):
        raise InputError(f"{folder}: is read as an input; give another --output.")
    names = [section.name for section in target.all_sections()][:limit]
    if wrong := [number for number in sections or () if not 0 <= number < len(names)]:
        raise InputError(
            f"predict: section {wrong[0]} does not exist; --sections are numbers from 0 to {len(names) - 1}."
        )
    return names


def _prediction_files(
    task: AdaptableTask,
    data: DomainPair,
    names: list[str],
    sections: list[int] | None,
    precision: str | None,
    output: str,
    overwrite: bool,
    probabilities: ProbabilityType | None,
    format: VolumeFormatName | None,
    **statistics: str | None,
) -> PredictionFiles:
    """Writer of the sections of these names, which resumes an earlier run with the same options."""
    folder, written_as = Path(output), OME_ZARR if format else None
    blocks = blocks_for(task, data)
    identity = identity_of(task, data, blocks, precision or "fastest that is exact enough", **statistics)
    identity |= {"probabilities": probabilities or "as fine as the images", "format": format or ""}
    outputs = data.target.writer(folder, written_as).paths(names)
    unfinished = Unfinished(folder, identity, len(names), outputs)
    unfinished.check_outputs(overwrite)
    writer = data.target.writer(unfinished.results, written_as)
    return PredictionFiles(writer, unfinished, names, blocks, sections, overwrite, probabilities, precision)
