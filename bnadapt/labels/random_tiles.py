"""Random labelled tiles of a target."""

from collections.abc import Iterator
from itertools import chain, islice
from typing import NamedTuple

import torch
from torch import Tensor

from bnadapt.data import DomainPair
from bnadapt.data.drawn_tiles import Place, place_of
from bnadapt.data.masks import IGNORED
from bnadapt.errors import InputError
from bnadapt.labels.training_tiles import LabelledTiles


class LabelledTile(NamedTuple):
    """A tile to learn from."""

    image: Tensor  # (C, h, w)
    mask: Tensor  # (h, w) class indices, 255 for unlabelled pixels
    place: Place


def random_tiles(data: DomainPair, count: int | None, seed: int = 0) -> LabelledTiles:
    """Random tiles with labelled pixels of the target's train block; more tiles contain fewer.

    The first shows several classes, if one does: whoever labels a single tile takes one with something to label.

    Args:
        data: its target has masks.
        count: number of tiles; all if there are fewer, or if it is None.
        seed: seed of the draw.

    Raises:
        InputError: there are none.
    """
    drawn, first = _in_random_order(data, seed), []
    for tile in drawn:
        if len(tile.mask[tile.mask != IGNORED].unique()) > 1:
            first.insert(0, tile)
            break
        first.append(tile)
    tiles = list(islice(chain(first, drawn), count))
    if not tiles:
        raise InputError(f"{data.target.name}: no tile of its train block has a labelled pixel; label some.")
    return tiles_together(tiles)


def tiles_together(tiles: list[LabelledTile]) -> LabelledTiles:
    """Tiles of one size as tensors."""
    images, masks, places = zip(*tiles, strict=True)
    return LabelledTiles(torch.stack(images), torch.stack(masks), places)


def _in_random_order(data: DomainPair, seed: int) -> Iterator[LabelledTile]:
    chosen = data.labelled_tiles("target", "train", None, seed).dataset
    for index in chosen.indices:
        item, (section, tile) = chosen.dataset[index], chosen.dataset.tiles[index]
        if (item["mask"] != IGNORED).any():
            yield LabelledTile(item["image"], item["mask"], place_of(section, tile.area))
