"""All tiles of sections in memory, to score."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bnadapt.data.masks import IGNORED
from bnadapt.data.prepare import PreparedSection
from bnadapt.data.tiles import tiles_of


class Tiles(Dataset):
    """All tiles of all sections: `image` (C, h, w) float32 and, if the section has one, `mask` (h, w) int64.

    Pixels that belong to another tile are ignored in the mask, so that every pixel counts once.

    Args:
        sections: sections, all with masks or all without.
        tile_size: side of a tile.
        overlap: least number of pixels that neighbouring tiles share.
        name: name of the domain.
        classes: meaning of the mask values.
        multiple: round the number of items up to a multiple by repeating the last tile with all pixels ignored, so that
            all processes have equally many.
    """

    def __init__(
        self,
        sections: Sequence[PreparedSection],
        tile_size: int,
        overlap: int,
        name: str = "source",
        classes: Sequence[str] = (),
        multiple: int = 1,
    ) -> None:
        self.tiles = [
            (section, tile) for section in sections for tile in tiles_of(section.size, tile_size, overlap, section.name)
        ]
        self.name = name
        self.classes = classes
        self.surplus = -len(self.tiles) % multiple

    def __len__(self) -> int:
        return len(self.tiles) + self.surplus

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        counts = index < len(self.tiles)
        item = self.uncut(index)
        if "mask" in item:
            outside = torch.ones_like(item["mask"], dtype=torch.bool)
            if counts:
                outside[self.tiles[index][1].core_inside] = False
            item["mask"][outside] = IGNORED
        return item

    def uncut(self, index: int) -> dict[str, Tensor]:
        """The item with its whole mask, for figures."""
        section, tile = self.tiles[min(index, len(self.tiles) - 1)]
        item = {"image": torch.from_numpy(section.image[:, *tile.area].copy())}
        if section.mask is not None:
            item["mask"] = torch.from_numpy(section.mask[tile.area].astype(np.int64))
        return item
