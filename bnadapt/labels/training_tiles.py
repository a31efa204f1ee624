"""Tiles to learn from, and random crops of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bnadapt.batchnorm.batches import batches_of
from bnadapt.data.drawn_tiles import Place
from bnadapt.data.masks import IGNORED
from bnadapt.data.prepare import PreparedSection
from bnadapt.errors import InputError

SMALLEST = 16  # side of a tile in pixels


@dataclass(frozen=True)
class LabelledTiles:
    """Tiles of a target with masks.

    Attributes:
        images: (n, C, h, w) float32, as the network takes them.
        masks: (n, h, w) int64 class indices, 255 for unlabelled pixels.
        places: position of each in a section, if they are known.
    """

    images: Tensor
    masks: Tensor
    places: Sequence[Place] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def classes(self) -> list[int]:
        """Classes that occur."""
        return self.masks[self.masks != IGNORED].unique().tolist()

    def sections(self) -> list[PreparedSection]:
        """The tiles as sections to crop."""
        return [
            PreparedSection(f"labelled tile {number}", image.numpy(), mask, mask.shape, np.dtype(np.float32))
            for number, (image, mask) in enumerate(zip(self.images, self.masks.numpy().astype(np.uint8), strict=True))
        ]

    def check(self) -> None:
        """Refuse tiles that cannot be learnt from."""
        if self.images[:, 0].shape != self.masks.shape:
            raise InputError(
                f"The labelled tiles have images of {tuple(self.images.shape)} and masks of"
                f" {tuple(self.masks.shape)}; give a mask (h, w) of each image (C, h, w)."
            )
        if not self.classes:
            raise InputError("The labelled tiles have no labelled pixel; draw some.")
        if len(self.classes) == 1:
            raise InputError(
                f"All labelled pixels are of class {self.classes[0]}, so they say nothing of the others; label a tile"
                " that shows another class, too."
            )

    def check_beside(self, tiles: Tensor) -> None:
        """Refuse tiles that are too small, or have other channels than the target's unlabelled ones (n, C, h, w)."""
        for each in (self.images, tiles):
            if min(each.shape[2:]) < SMALLEST:
                raise InputError(
                    f"There are tiles of {each.shape[2]} x {each.shape[3]} pixels to learn from; give {SMALLEST} x"
                    f" {SMALLEST} at least."
                )
        if self.images.shape[1] != tiles.shape[1]:
            raise InputError(
                f"The labelled tiles have {self.images.shape[1]} channels, the target's images {tiles.shape[1]}; give"
                " as many for both."
            )

    def subset(self, indices: Iterable[int]) -> "LabelledTiles":
        """Some of the tiles."""
        selected = list(indices)
        places = [self.places[index] for index in selected] if self.places else ()
        return LabelledTiles(self.images[selected], self.masks[selected], places)

    def distinct(self) -> "LabelledTiles":
        """The tiles without those that show the same pixels as an earlier one."""
        digests = [sha256(image.numpy().tobytes()).digest() for image in self.images]
        first = {digest: index for index, digest in reversed(list(enumerate(digests)))}
        return self.subset(sorted(first.values()))


def stacked_tiles(images: Any, batch_size: int) -> Tensor:
    """Tiles (n, C, h, w), held in memory, of images of any kind that `bnadapt.batchnorm.estimate` takes.

    Raises:
        InputError: there are none, or they differ in size.
    """
    batches = list(batches_of(images, None, batch_size))
    sizes = sorted({tuple(batch.shape[1:]) for batch in batches})
    if len(sizes) != 1:
        found = f"shapes {sizes[0]} and {sizes[1]}" if sizes else "no tile"
        raise InputError(f"The target's images have {found}; give tiles (N, C, H, W) of one size.")
    return torch.cat(batches)


def random_crops(generator: np.random.Generator, side: int, count: int, *tiles: Tensor) -> list[Tensor]:
    """Crops (count, ..., side, side) of different tiles (n, ..., h, w) at one random place, the same in all tensors."""
    indices = generator.permutation(len(tiles[0]))[:count]
    top, left = (int(generator.integers(extent - side + 1)) for extent in tiles[0].shape[-2:])
    return [each[indices][..., top : top + side, left : left + side] for each in tiles]
