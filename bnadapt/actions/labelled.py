"""Labelled tiles of a target to learn from: of its train block, or drawn on by hand."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from bnadapt.data import DomainPair, Section
from bnadapt.data.drawn_tiles import place_of
from bnadapt.data.learnt_areas import LearntArea, covered
from bnadapt.data.masks import IGNORED
from bnadapt.data.prepare import PreparedSection
from bnadapt.data.tiles import tiles_of
from bnadapt.errors import InputError
from bnadapt.labels import LabelledTiles
from bnadapt.labels.drawing import TileToDraw, drawn_masks
from bnadapt.labels.random_tiles import LabelledTile, random_tiles, tiles_together

log = logging.getLogger(__name__)


def labelled_of_train_block(data: DomainPair, count: int) -> LabelledTiles:
    """Labelled tiles of the target's train block, drawn at random; what lies in other blocks is left to scores.

    Args:
        data: its target has masks.
        count: number of tiles; all if there are fewer.

    Raises:
        InputError: there are none, or none that can be learnt from.
    """
    labelled = random_tiles(data, count)
    if len(labelled) < count:
        log.warning(
            "%s: %d labelled tiles were requested, but its train block has %d; these are used.",
            data.target.name,
            count,
            len(labelled),
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
    return checked(labelled, data.target.name)


def labelled_by_hand(data: DomainPair, folder: Path, num_classes: int) -> LabelledTiles:
    """The tiles of `propose` that were drawn on, as the network sees them in the target.

    A tile larger than those of the data is cut into several. Each pixel is labelled in one tile alone, even if two
    that overlap were drawn on.

    Args:
        data: has the target that they were proposed for.
        folder: folder that `propose` wrote.
        num_classes: number of classes of the network.

    Raises:
        InputError: nothing was drawn, masks cannot be used, or the target is another one.
    """
    tiles = [tile for drawn in _drawn_sections(data, folder, num_classes) for tile in _cut(data, *drawn)]
    if not tiles:
        raise InputError(
            f"{folder}: nothing is drawn on its masks; draw on some, or copy predictions and correct them."
        )
    return checked(tiles_together(tiles), data.target.name)


def checked(labelled: LabelledTiles, name: str) -> LabelledTiles:
    """Labelled tiles that can be learnt from, each once; logs which are left out, and which show no foreground.

    Args:
        labelled: the tiles.
        name: name of their domain.

    Raises:
        InputError: nothing can be learnt from them.
    """
    distinct = labelled.distinct()
    distinct.check()
    if surplus := len(labelled) - len(distinct):
        log.warning(
            "%s: %d of %d labelled tiles show the same pixels as others; they are left out.",
            name,
            surplus,
            len(labelled),
        )
    if empty := sum(not ((mask > 0) & (mask != IGNORED)).any() for mask in distinct.masks):
        log.warning("%s: %d of %d labelled tiles show no foreground; they are used, too.", name, empty, len(distinct))
    return distinct


def learnt_areas(data: DomainPair, labelled: LabelledTiles) -> list[LearntArea]:
    """The areas of the target that labelled tiles cover; logs how many the network has learnt from before."""
    sections = {section.name: section for section in data.target.adaptation()}
    areas, again = [], 0
    for name in dict.fromkeys(place.section for place in labelled.places):
        image = sections[name].read_image()
        of_section = [LearntArea.at(place, image) for place in labelled.places if place.section == name]
        before = covered(image, data.learnt_areas)
        again += sum(bool(before[area.window].any()) for area in of_section)
        areas += of_section
    if again:
        log.warning(
            "%s: the network has learnt from %d of the %d labelled tiles before, so its score before learning is too"
            " good.",
            data.target.name,
            again,
            len(areas),
        )
    return areas


def _drawn_sections(data: DomainPair, folder: Path, num_classes: int) -> Iterator[tuple[Section, TileToDraw]]:
    """Tiles that were drawn on, each with its section, whose mask is what was drawn on this tile first."""
    readable = {section.name: section for section in data.target.adaptation()}
    unreadable = {section.name for section in data.target.all_sections()} - readable.keys()
    taken: dict[tuple[str, tuple[int, int]], np.ndarray] = {}
    for tile, drawn in drawn_masks(folder, num_classes):
        if tile.section in unreadable:
            log.warning("%s: is left out, because it lies in the test or validation block of the target.", tile.file)
            continue
        if tile.section not in readable:
            raise InputError(
                f"{folder}/{tile.file}: lies in {tile.section}, which {data.target.name} does not have; give the target"
                " that it was proposed for."
            )
        others = taken.setdefault((tile.section, tile.section_size), np.zeros(tile.section_size, bool))
        mask = np.where(others[tile.area], np.uint8(IGNORED), drawn)
        others[tile.area] |= mask != IGNORED
        yield replace(readable[tile.section], read_mask=partial(tile.whole, mask)), tile


def _cut(data: DomainPair, drawn: Section, tile: TileToDraw) -> Iterator[LabelledTile]:
    """Tiles of the data's size that cover one that was drawn on, as far as something is drawn on them."""
    section, side = data.prepared("target", drawn), data.tile_size
    parts = [
        _resampled(first, length, new, old, side)
        for first, length, new, old in zip(
            (tile.top, tile.left), tile.size, section.size, section.original_size, strict=True
        )
    ]
    starts, size = zip(*parts, strict=True)
    for each in tiles_of(size, side, data.overlap, section.name):
        area, core = (_shifted(part, starts) for part in (each.area, each.core))
        yield from _labelled_in(section, area, core)


def _labelled_in(
    section: PreparedSection, area: tuple[slice, slice], core: tuple[slice, slice]
) -> Iterator[LabelledTile]:
    """The tile of an area, labelled in its core, if something is labelled there."""
    mask = np.full(section.size, IGNORED, np.int64)
    mask[core] = section.mask[core]
    if (mask != IGNORED).any():
        image = torch.from_numpy(section.image[:, *area].copy())
        yield LabelledTile(image, torch.from_numpy(mask[area].copy()), place_of(section, area))


def _shifted(area: tuple[slice, slice], starts: tuple[int, int]) -> tuple[slice, slice]:
    return tuple(slice(part.start + start, part.stop + start) for part, start in zip(area, starts, strict=True))


def _resampled(first: int, length: int, new: int, old: int, side: int) -> tuple[int, int]:
    """Start and length, a tile's side at least, of an interval of a side that is resampled from `old` to `new` pixels.

    A tile that was cut at the same size, and rounded to pixels of the file, stays one tile.
    """
    is_one = (length - 1) * new <= side * old
    resampled = min(side, new) if is_one else round(length * new / old)
    return min(round(first * new / old), new - resampled), resampled
