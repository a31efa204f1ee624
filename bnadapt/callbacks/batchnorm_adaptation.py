"""Adapt the BatchNorm statistics of a task to the target, at the end of training or in `bnadapt adapt`."""

import json
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from bnadapt.adaptation import SCANNED_TILES, AdaptationPass, ClassProportions, Recipe
from bnadapt.batchnorm import (
    FULL_RESOLUTION,
    BatchNormError,
    Convergence,
    Estimate,
    Policy,
    PropagationName,
    ProportionCorrection,
    ProportionScan,
    SourceWeight,
    UntilConverged,
    batchnorm_layers,
)
from bnadapt.callbacks.inference import adaptation_pass, shard
from bnadapt.callbacks.source_summary import class_moments_of
from bnadapt.callbacks.tensorboard import writer_of
from bnadapt.data.drawn_tiles import DrawnTiles
from bnadapt.errors import InputError
from bnadapt.files import atomic_folder
from bnadapt.provenance import provenance
from bnadapt.reports.convergence_figure import convergence_figure
from bnadapt.reports.proportions_figure import scan_figure
from bnadapt.reports.rendering import rendered

log = logging.getLogger(__name__)


class BatchNormAdaptation(Callback):
    """Re-estimates the running statistics of BatchNorm layers on images of the target.

    At the end of `fit` it reads tiles of the target, without masks, and writes the adapted network as a checkpoint of
    its own; best and last checkpoint stay unadapted. `bnadapt adapt` does the same with `adapt`. With several
    processes each passes its share through the network, and all hold the same statistics. All weights, and all buffers
    other than the running statistics, stay bit-identical.

    Afterwards the task holds the source's statistics as `source_bank` and the record as `adaptation`. A network that
    was adapted before keeps its first source. TensorBoard gets the standard errors of the statistics in the worst layer
    against the number of tiles, `statistics/error_of_mean` and `statistics/error_of_log_variance`, those of all layers
    as a picture, `statistics/error_by_layer`, and how class proportions were estimated, `statistics/class_proportions`.

    Args:
        policy: how much of the source's statistics stays, and in which layers; full replacement by default.
        propagation: `one_pass` or `layer_consistent`, see `bnadapt.batchnorm.estimate`.
        until: standard error at which to stop reading; by default all of `adaptation_tiles` are read.
        class_proportions: of the target: `source` if they are the source's, `estimated`, or shares of the classes, such
            as [0.9, 0.1]. Others than the source's need the source's class moments, which `fit` leaves in checkpoints
            and which are else measured on `--data.source`. By default they are estimated where that can be done.
        output: name of the checkpoint that `fit` writes into the folder of its checkpoints.

    Raises:
        InputError: at the start of `fit`, if there is no target.
        NoBatchNormError: at the start of `fit`, if the network has no BatchNorm statistics.

    Examples:
        trainer = Trainer(callbacks=[BatchNormAdaptation()])
        trainer.fit(task, datamodule=DomainPair(source, target))
    """

    def __init__(
        self,
        policy: Policy | None = None,
        propagation: PropagationName = "one_pass",
        until: UntilConverged | None = None,
        class_proportions: ClassProportions | None = None,
        output: str = "adapted.ckpt",
    ) -> None:
        self.recipe = Recipe(policy or Policy(), propagation, until, class_proportions)
        self.output = output

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.recipe.policy.layers != FULL_RESOLUTION:
            self.recipe.policy.chosen(list(batchnorm_layers(pl_module.network)))
        if trainer.datamodule.target is None:
            raise InputError("BatchNormAdaptation: there is no target to adapt to; give --data.target.")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.adapt(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.fast_dev_run:
            return
        folder = getattr(trainer.checkpoint_callback, "dirpath", None) or trainer.default_root_dir
        save_adapted(trainer, pl_module, Path(folder) / self.output)

    def adapt(
        self, trainer: Trainer, task: LightningModule, progress: Callable[[Iterable], Iterable] = iter
    ) -> Estimate:
        """Adapt the task's network to the target of the Trainer's data module, and record how it came about.

        Args:
            trainer: whose data, device, precision and processes are used.
            task: to adapt.
            progress: wraps the batches, to show how far it is.

        Raises:
            InputError: there is no target, or its images cannot be used.
            BatchNormError: the statistics cannot be estimated.
        """
        started = time.perf_counter()
        datamodule = trainer.datamodule
        tiles = datamodule.unlabelled_tiles("target", datamodule.adaptation_tiles, shard(trainer))
        runs = adaptation_pass(trainer, task)
        correction, proportions = self._correction(trainer, task, runs)
        batches = progress(DataLoader(tiles, batch_size=datamodule.batch_size))
        estimate = runs.estimate(batches, self.recipe, correction)
        estimate.bank.apply(task.network)
        task.source_bank, task.target_bank = runs.source_bank, estimate.bank
        task.adaptation = self._record(trainer, tiles, estimate) | {"class_proportions": proportions}
        task.adaptation["seconds"] = round(time.perf_counter() - started, 3)
        log_convergence(trainer, estimate.convergence)
        if proportions and proportions["estimated"]:
            log_scan(trainer, proportions)
        return estimate

    def _correction(
        self, trainer: Trainer, task: LightningModule, runs: AdaptationPass
    ) -> tuple[ProportionCorrection | None, dict[str, Any] | None]:
        """For the target's class proportions, with its record; None where they are the source's."""
        if self.recipe.class_proportions == "source":
            return None, None
        if self.recipe.class_proportions is not None:
            return self._corrected(trainer, task, runs, self.recipe)
        try:
            return self._corrected(trainer, task, runs, replace(self.recipe, class_proportions="estimated"))
        except (BatchNormError, InputError) as error:
            log.warning("Class proportions are taken to be the source's, for they cannot be estimated. %s", error)
            return None, None

    def _corrected(
        self, trainer: Trainer, task: LightningModule, runs: AdaptationPass, recipe: Recipe
    ) -> tuple[ProportionCorrection, dict[str, Any]]:
        if task.class_moments is None:
            if trainer.datamodule.source is None:
                raise InputError(
                    "class_proportions: the checkpoint holds no class moments of its source; give --data.source with"
                    " masks, to measure them, or add them by bnadapt source_summary."
                )
            task.class_moments = class_moments_of(trainer, task)
        some = trainer.datamodule.unlabelled_tiles("target", SCANNED_TILES, shard(trainer))
        batch = DataLoader(some, batch_size=SCANNED_TILES)
        correction, scan = runs.correction(batch, recipe, task.class_moments)
        return correction, proportions_record(correction, scan)

    def _record(self, trainer: Trainer, tiles: DrawnTiles, estimate: Estimate) -> dict[str, Any]:
        datamodule, policy, until = trainer.datamodule, self.recipe.policy, self.recipe.until
        return {
            "target": datamodule.target.name,
            "tiles": estimate.tiles,
            "pixels": estimate.pixels,
            "blank_sections": sorted(tiles.blank_sections),
            "blank_tiles": len(tiles.blank_tiles),
            "intensity": datamodule.intensity,
            "intensity_ranges": datamodule.scalings.state_dict()["ranges"],
            "pixel_size_nm": datamodule.pixel_size_nm,
            "target_change": datamodule.target_change.state_dict(),
            "propagation": self.recipe.propagation,
            "precision": trainer.precision,
            "policy": policy_record(policy),
            "source_weight": policy.weight(estimate.tiles),
            "until": asdict(until) if until else None,
            "converged": estimate.converged,
            "convergence": convergence_record(estimate.convergence),
            "batchnorm_layers": len(estimate.bank.mean),
        }


def policy_record(policy: Policy) -> dict[str, Any]:
    """A policy in plain types, with the name of its rule."""
    fields = asdict(policy) | {"depth": list(policy.depth)}
    if not isinstance(policy.layers, str):
        fields["layers"] = list(policy.layers)
    if isinstance(policy.source_weight, SourceWeight):
        fields["source_weight"] = {"rule": type(policy.source_weight).__name__, **fields["source_weight"]}
    return fields


def proportions_record(correction: ProportionCorrection, scan: ProportionScan | None) -> dict[str, Any]:
    """Class proportions of source and target, and what the network says of others, in plain types."""
    record: dict[str, Any] = {
        "source": correction.moments.proportions.tolist(),
        "target": list(correction.proportions),
        "estimated": scan is not None,
    }
    if scan is not None:
        candidates = [asdict(each) for each in scan.candidates]
        for each in candidates:
            each["uncertainty"] = each["uncertainty"] if math.isfinite(each["uncertainty"]) else None
        record |= {"consistent": scan.consistent, "scan": candidates}
    return record


def convergence_record(convergence: Convergence) -> dict[str, Any]:
    """Curves in plain types; None for the infinite error of a single tile (JSON has no infinity)."""
    curves = asdict(convergence)
    for which in ("mean", "log_variance"):
        for layer, errors in curves[which].items():
            curves[which][layer] = [round(error, 6) if math.isfinite(error) else None for error in errors]
    return curves


def log_convergence(trainer: Trainer, convergence: Convergence) -> None:
    """Standard errors of the worst layer against the number of tiles, and a picture of all layers, in TensorBoard."""
    writer = writer_of(trainer)
    for which in ("mean", "log_variance"):
        for tiles, *errors in zip(convergence.tiles, *getattr(convergence, which).values(), strict=True):
            writer.add_scalar(f"statistics/error_of_{which}", max(errors), tiles)
    writer.add_image("statistics/error_by_layer", rendered(convergence_figure(convergence)), 0, dataformats="HWC")


def log_scan(trainer: Trainer, record: Mapping[str, Any]) -> None:
    """How class proportions were estimated, as a picture in TensorBoard."""
    writer_of(trainer).add_image("statistics/class_proportions", rendered(scan_figure(record)), 0, dataformats="HWC")


def adapted_files(path: Path) -> list[Path]:
    """What `save_adapted` writes: the checkpoint, its bank of statistics, the record of the adaptation."""
    return [path, path.with_suffix(".safetensors"), path.with_suffix(".json")]


def save_adapted(trainer: Trainer, task: LightningModule, path: Path) -> None:
    """Write the adapted network as a checkpoint; beside it its bank, and the record of its adaptation as JSON.

    All three appear together or not at all. All processes must call it; the first one writes.

    Raises:
        InputError: they cannot be written.
    """
    if not trainer.is_global_zero:
        trainer.save_checkpoint(path, weights_only=True)
        return
    names = [each.name for each in adapted_files(path)]
    with atomic_folder(path.parent, names) as partial:
        checkpoint, bank, record = (partial / name for name in names)
        trainer.save_checkpoint(checkpoint, weights_only=True)
        task.target_bank.save(bank)
        told = {**task.adaptation, "provenance": provenance(trainer.ckpt_path)}
        record.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
