"""Adapt a task's network to a target, and write it as a checkpoint."""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from bnadapt import __version__
from bnadapt.actions.summarise import class_moments_of
from bnadapt.adaptation import SCANNED_TILES, AdaptedStatistics, NetworkRunner, Recipe
from bnadapt.batchnorm import Bank, ClassMoments
from bnadapt.data import DomainPair
from bnadapt.data.drawn_tiles import DrawnTiles
from bnadapt.errors import InputError
from bnadapt.files import atomic_folder, sha256_of
from bnadapt.gain import SourceSummary
from bnadapt.gain.alarms import specks_in
from bnadapt.gain.observation import logits_under
from bnadapt.tasks import AdaptableTask
from bnadapt.text import shell_line

log = logging.getLogger(__name__)
Progress = Callable[[Iterable], Iterable]
CHANGING_WEIGHTS = frozenset(("self_training", "finetuning", "earlier"))
"""Entries in the record of an adaptation that are there if the network has learnt from the target."""


@dataclass(frozen=True)
class Adaptation:
    """Statistics of a target for a task's network, which changes only on `apply`.

    Attributes:
        statistics: adapted, and how they came about.
        source_bank: the source's statistics.
        moments: class moments of the source, if they are known.
        record: record of the adaptation, in plain types.
    """

    statistics: AdaptedStatistics
    source_bank: Bank
    moments: ClassMoments | None
    record: Mapping[str, Any]

    def apply(self, task: AdaptableTask) -> None:
        """Set the adapted statistics in the task's network, and the record in the task."""
        self.statistics.bank.apply(task.network)
        task.source_bank, task.target_bank = self.source_bank, self.statistics.bank
        task.class_moments, task.adaptation = self.moments, with_earlier(self.record, task.adaptation)


def with_earlier(record: Mapping[str, Any], earlier: Mapping[str, Any] | None) -> dict[str, Any]:
    """A record, and under `earlier` that of the learning that a network's weights still carry, if it has learnt."""
    has_learnt = not CHANGING_WEIGHTS.isdisjoint(earlier or ())
    return {**record, "earlier": earlier} if has_learnt else dict(record)


def adapt_to_target(task: AdaptableTask, data: DomainPair, recipe: Recipe, progress: Progress = iter) -> Adaptation:
    """Estimate the BatchNorm statistics of the target of a data module.

    Args:
        task: the trained network.
        data: its target is read, without masks.
        recipe: how statistics are estimated.
        progress: wraps the batches, to show progress or to stop earlier.

    Raises:
        InputError: the target is missing, or its images cannot be used.
        BatchNormError: the statistics cannot be estimated.
    """
    started = time.perf_counter()
    if task.source_bank is None and task.adaptation:
        log.warning(
            "The network has learnt from %s since its training, so its own statistics stand in for the source's.",
            task.adaptation["target"],
        )
    runner = task.runner()
    tiles = data.unlabelled_tiles("target", data.adaptation_tiles, runner.shard)
    batches = progress(DataLoader(tiles, batch_size=data.batch_size))
    scanned = data.unlabelled_tiles("target", SCANNED_TILES, runner.shard)
    moments = _moments_for(recipe, task, data)
    statistics = runner.adapt(batches, recipe, DataLoader(scanned, batch_size=SCANNED_TILES), moments)
    record = _record(statistics, recipe, data, tiles, str(task.trainer.precision))
    record["alarms"] = _alarms(runner.without_group(), statistics.bank, data, task.source_summary)
    record["seconds"] = round(time.perf_counter() - started, 3)
    return Adaptation(statistics, runner.source_bank, moments, record)


def _alarms(runner: NetworkRunner, bank: Bank, data: DomainPair, source: SourceSummary | None) -> list[str]:
    """What a person should check before relying on the adapted network; empty if the source is unknown."""
    if source is None:
        return []
    tiles = DataLoader(data.unlabelled_tiles("target", SCANNED_TILES), batch_size=SCANNED_TILES)
    images = torch.cat([batch["image"] for batch in tiles])
    alarm = specks_in(logits_under(runner, images, bank).argmax(1), source)
    return [alarm] if alarm else []


def adapted_files(path: Path) -> list[Path]:
    """Files that `save_adapted` writes: the checkpoint, its bank of statistics, the record of the adaptation."""
    return [path, path.with_suffix(".safetensors"), path.with_suffix(".json")]


def save_adapted(trainer: Trainer, task: AdaptableTask, path: Path, command: Sequence[str] | None = None) -> None:
    """Write the adapted network as a checkpoint; beside it its bank, and the record of its adaptation as JSON.

    All three appear together or not at all. All processes must call it; the first one writes.

    Args:
        trainer: Trainer of the task, which knows the checkpoint that it started from.
        task: with the adapted network.
        path: path of the checkpoint.
        command: arguments of `bnadapt`, for the record; by default those of the process.

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
        if task.target_bank is not None:  # a network without BatchNorm has none
            task.target_bank.save(bank)
        about = {**task.adaptation, "provenance": _provenance(trainer.ckpt_path, command)}
        record.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _provenance(ckpt_path: str | Path | None, command: Sequence[str] | None) -> dict[str, Any]:
    """Version, date, command line, and the checkpoint that a run began with, with its SHA-256."""
    return {
        "bnadapt": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shell_line(["bnadapt", *(sys.argv[1:] if command is None else command)]),
        "checkpoint": None if ckpt_path is None else {"path": str(ckpt_path), "sha256": sha256_of(ckpt_path)},
    }


def _moments_for(recipe: Recipe, task: AdaptableTask, data: DomainPair) -> ClassMoments | None:
    """Class moments of the source, measured if the recipe needs them and they are unknown.

    Raises:
        InputError: the recipe needs them, but the data lack a source to measure them on.
    """
    if task.class_moments is not None or recipe.class_proportions == "source":
        return task.class_moments
    if data.source is None:
        raise InputError(
            "class_proportions: the checkpoint holds no class moments of its source; give --data.source with masks, to"
            " measure them, or add them by bnadapt source_summary."
        )
    return class_moments_of(task, data)


def _record(
    statistics: AdaptedStatistics, recipe: Recipe, data: DomainPair, tiles: DrawnTiles, precision: str
) -> dict[str, Any]:
    return {
        "target": data.target.name,
        "blank_sections": sorted(tiles.blank_sections),
        "blank_tiles": len(tiles.blank_tiles),
        "intensity": data.intensity,
        "intensity_ranges": data.scalings.state_dict()["ranges"],
        "pixel_size_nm": data.pixel_size_nm,
        "target_change": data.target_change.state_dict(),
        "precision": precision,
        **statistics.record(recipe),
    }
