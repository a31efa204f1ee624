"""Labelled tiles of a target to learn from: of its train block, or drawn on by hand."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from bnadapt.data import DomainPair
from bnadapt.data.masks import IGNORED
from bnadapt.data.prepare import PreparedSection
from bnadapt.errors import InputError
from bnadapt.labels import LabelledTiles
from bnadapt.labels.drawing import TileToDraw, drawn_masks

log = logging.getLogger(__name__)


def labelled_of_train_block(data: DomainPair, count: int) -> LabelledTiles:
    """Labelled tiles of the target's train block, drawn at random; what lies in other blocks is left to scores.

    Args:
        data: its target has masks.
        count: number of tiles; all if there are fewer.

    Raises:
        InputError: there are none.
    """
    tiles = list(islice(_with_labels(data), count))
    if not tiles:
        raise InputError(f"{data.target.name}: no tile of its train block has a labelled pixel; label some.")
    if len(tiles) < count:
        log.warning(
            "%s: %d labelled tiles were requested, but its train block has %d; these are used.",
            data.target.name,
            count,
            len(tiles),
        )
    total = len(data.target.labelled())
    if left_out := total - len(data.target.block("train")):
        log.warning(
            "%s: %d of %d labelled images are kept for test and validation; --data.target.split [1, 0, 0] learns from"
            " all.",
            data.target.name,
            left_out,
            total,
        )
    return _stacked(data, tiles)


def labelled_by_hand(data: DomainPair, folder: Path, num_classes: int) -> LabelledTiles:
    """The tiles of `propose` that were drawn on, as the network sees them in the target.

    Args:
        data: has the target that they were proposed for.
        folder: folder that `propose` wrote.
        num_classes: number of classes of the network.

    Raises:
        InputError: nothing was drawn, masks cannot be used, or the target is another one.
    """
    readable = {section.name: section for section in data.target.adaptation()}
    unreadable = {section.name for section in data.target.all_sections()} - readable.keys()
    tiles = []
    for tile, mask in drawn_masks(folder, num_classes):
        if tile.section in unreadable:
            log.warning("%s: is left out, because it lies in the test or validation block of the target.", tile.file)
            continue
        if tile.section not in readable:
            raise InputError(
                f"{folder}/{tile.file}: lies in {tile.section}, which {data.target.name} does not have; give the target"
                " that it was proposed for."
            )
        section = replace(readable[tile.section], read_mask=partial(tile.whole, mask))
        tiles.append(_cut(data.prepared("target", section), tile, data.tile_size))
    if not tiles:
        raise InputError(
            f"{folder}: nothing is drawn on its masks; draw on some, or copy predictions and correct them."
        )
    return _stacked(data, tiles)


def _with_labels(data: DomainPair) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and masks of tiles with a labelled pixel, in random order."""
    for batch in data.labelled_tiles("target", "train", None):
        for image, mask in zip(batch["image"], batch["mask"], strict=True):
            if (mask != IGNORED).any():
                yield image, mask


def _cut(section: PreparedSection, tile: TileToDraw, side: int) -> tuple[Tensor, Tensor]:
    """Image and mask of a tile, a square of the tiles' side that begins where the tile does."""
    starts = (
        min(round(first * new / old), new - side)
        for first, new, old in zip((tile.top, tile.left), section.size, section.original_size, strict=True)
    )
    area = tuple(slice(start, start + side) for start in starts)
    return torch.from_numpy(section.image[:, *area].copy()), torch.from_numpy(section.mask[area].copy()).long()


def _stacked(data: DomainPair, tiles: list[tuple[Tensor, Tensor]]) -> LabelledTiles:
    images, masks = (torch.stack(each) for each in zip(*tiles, strict=True))
    if empty := sum(not ((mask > 0) & (mask != IGNORED)).any() for mask in masks):
        log.warning(
            "%s: %d of %d labelled tiles show no foreground; they are used, too.",
            data.target.name,
            empty,
            len(masks),
        )
    return LabelledTiles(images, masks)
