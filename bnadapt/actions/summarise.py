"""Measure what later commands need to know of a source: class moments, and a summary of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bnadapt.adaptation import LABELLED_TILES
from bnadapt.batchnorm import ClassMoments
from bnadapt.data import DomainPair
from bnadapt.files import atomic_write
from bnadapt.gain import SourceSummary, summarise_source
from bnadapt.gain.source_summary import SUMMARY_TILES, images_and_masks
from bnadapt.tasks import AdaptableTask


def class_moments_of(task: AdaptableTask, data: DomainPair) -> ClassMoments:
    """Class moments of labelled tiles of the source's train block; each process measures all of them.

    Raises:
        BatchNormError: they cannot be measured.
    """
    tiles = data.labelled_tiles("source", "train", LABELLED_TILES)
    return task.runner().without_group().class_moments(tiles, task.hparams.num_classes)


def source_summary_of(task: AdaptableTask, data: DomainPair, moments: ClassMoments) -> SourceSummary:
    """Summary of the source on its validation block, or the train block if it has none; each process measures all.

    Raises:
        InputError: no tile has labels, or the network does not return logits.
    """
    tiles = data.labelled_tiles("source", data.summary_block("source"), SUMMARY_TILES)
    return summarise_source(task.runner().without_group(), *images_and_masks(tiles), moments)


def add_source_summary(task: AdaptableTask, data: DomainPair, path: Path, output: Path) -> SourceSummary:
    """Summarise the source with the task's network, and write its checkpoint with that added; all else in it stays.

    Args:
        task: with the network.
        data: its source is summarised.
        path: the checkpoint.
        output: path to write to, which may be the same.

    Raises:
        BatchNormError: class moments cannot be measured.
        InputError: see `source_summary_of`.
    """
    moments = class_moments_of(task, data)
    summary = source_summary_of(task, data, moments)
    if task.runner().shard[0] == 0:
        add_to_checkpoint(path, stored_summary(moments, summary), output)
    return summary


def stored_summary(moments: ClassMoments, summary: SourceSummary | None) -> dict[str, Any]:
    """Entries of a checkpoint about its source."""
    state = {"class_moments": moments.state_dict()}
    return state if summary is None else {**state, "source_summary": summary.state_dict()}


def add_to_checkpoint(path: Path, entries: Mapping[str, Any], output: Path) -> None:
    """Write a checkpoint with further entries to a path, which may be its own."""
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    with atomic_write(output) as partial:
        torch.save({**checkpoint, **entries}, partial)
