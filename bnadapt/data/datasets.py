"""torch data sets over prepared sections: random crops to learn from, tiles to test on, sections to segment."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import count as counted
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler, IterableDataset

from bnadapt.data.masks import IGNORED
from bnadapt.data.prepare import PreparedSection, check_channels
from bnadapt.data.tiles import tiles_of
from bnadapt.errors import InputError

SECTIONS_IN_MEMORY = 32


class RandomCrops(Dataset):
    """Random crops, flipped and turned by multiples of 90 degrees, by albumentations.

    Item i is a function of seed and i alone, whatever process asks for it. Together with
    `EpochSampler`, whose indices go on from epoch to epoch, a resumed training sees what an
    uninterrupted one would.

    Args:
        sections: with masks.
        crop_size: side of a crop in pixels.
        length: crops per epoch.
        seed: of all randomness.

    Raises:
        InputError: a section is smaller than a crop.
    """

    def __init__(self, sections: Sequence[PreparedSection], crop_size: int, length: int, seed: int) -> None:
        for section in sections:
            if min(section.size) < crop_size:
                raise InputError(
                    f"{section.name}: {section.size[0]} x {section.size[1]} pixels (after resampling) are less than"
                    f" a crop of {crop_size}; set --data.crop_size to {min(section.size)} or less."
                )
        self.sections = sections
        self.length = length
        self.seed = seed
        self.augment = _augmentation(crop_size)
        areas = np.array([np.prod(section.size) for section in sections], dtype=float)
        self.shares = areas / areas.sum()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = np.random.default_rng([self.seed, index])
        section = self.sections[generator.choice(len(self.sections), p=self.shares)]
        self.augment.set_random_seed(int(generator.integers(2**31)))
        crop = self.augment(image=np.moveaxis(section.image, 0, -1), mask=section.mask)
        image = crop["image"].reshape(*crop["image"].shape[:2], -1)
        return {
            "image": torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0))),
            "mask": torch.from_numpy(np.ascontiguousarray(crop["mask"])).long(),
        }


def _augmentation(crop_size: int) -> "albumentations.Compose":  # noqa: F821
    import os

    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    return albumentations.Compose([albumentations.RandomCrop(crop_size, crop_size), albumentations.D4(p=1)])


class EpochSampler(DistributedSampler):
    """Indices 0, 1, 2, ... that go on in the next epoch, dealt out to all processes.

    Lightning calls `set_epoch`, also after a resume.
    """

    def __init__(self, dataset: Dataset) -> None:
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        super().__init__(
            dataset,
            num_replicas=torch.distributed.get_world_size() if distributed else 1,
            rank=torch.distributed.get_rank() if distributed else 0,
            shuffle=False,
        )

    def __iter__(self):  # noqa: ANN204
        return (self.epoch * len(self.dataset) + index for index in super().__iter__())


class Tiles(Dataset):
    """All tiles of all sections; with masks, the pixels that are another tile's are marked as ignored.

    So every pixel counts once. An item is `image` (C, h, w) float32 and, if the section has one,
    `mask` (h, w) int64.
    """

    def __init__(self, sections: Sequence[PreparedSection], tile_size: int, overlap: int) -> None:
        self.items = [
            (section, tile) for section in sections for tile in tiles_of(section.size, tile_size, overlap, section.name)
        ]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        item = self.uncut(index)
        if "mask" in item:
            tile = self.items[index][1]
            others = torch.ones_like(item["mask"], dtype=torch.bool)
            others[tile.own_inside] = False
            item["mask"][others] = IGNORED
        return item

    def uncut(self, index: int) -> dict[str, Tensor]:
        """The item with all of its mask, to look at."""
        section, tile = self.items[index]
        item = {"image": torch.from_numpy(section.image[:, *tile.area].copy())}
        if section.mask is not None:
            item["mask"] = torch.from_numpy(section.mask[tile.area].astype(np.int64))
        return item


class DrawnTiles(IterableDataset):
    """Tiles without masks in random order, stratified: one of every section, then a second one of each, and so on.

    A section is read when a tile of it is due, so whoever stops early reads only what was drawn, and a process
    only its share. A few dozen sections are kept in memory. The order is the same in every iteration and process;
    beside its `image` an item has its `number` in it.

    Args:
        sections: in random order; each reads its section.
        place: name of their domain, for messages.
        tile_size: side of a tile.
        overlap: pixels that neighbouring tiles share at least.
        count: tiles to draw; None draws all.
        share: this process takes batch `share[0]` of every `share[1]`, as do all others.
        batch_size: tiles in a batch.
        seed: of the order of tiles within sections.

    Raises:
        InputError: while iterating, if a section cannot be used.
    """

    def __init__(
        self,
        sections: Sequence[Callable[[], PreparedSection]],
        place: str,
        tile_size: int,
        overlap: int,
        count: int | None,
        share: tuple[int, int] = (0, 1),
        batch_size: int = 1,
        seed: int = 0,
    ) -> None:
        self.sections = sections
        self.place = place
        self.tile_size = tile_size
        self.overlap = overlap
        self.count = count
        self.share = share
        self.batch_size = batch_size
        self.seed = seed
        self._first: PreparedSection | None = None

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        own, processes = self.share
        opened = lru_cache(SECTIONS_IN_MEMORY)(self._opened)
        for number, (section, turn) in enumerate(islice(self._draws(opened), self.count)):
            if number // self.batch_size % processes == own:
                tiles = opened(section)
                yield {**tiles[self._order(section, len(tiles))[turn]], "number": number}

    def _draws(self, opened: Callable[[int], "Tiles"]) -> Iterator[tuple[int, int]]:
        """Every section in turn, as long as it has tiles; that it has a first one is known without reading it."""
        left = list(range(len(self.sections)))
        for turn in counted():
            still: list[int] = []
            for section in left:
                if turn == 0 or turn < len(opened(section)):
                    still.append(section)
                    yield section, turn
            if not still:
                return
            left = still

    def _opened(self, section: int) -> "Tiles":
        prepared = self.sections[section]()
        self._first = self._first or prepared
        check_channels(prepared, self._first, self.place)
        return Tiles([prepared], self.tile_size, self.overlap)

    def _order(self, section: int, tiles: int) -> list[int]:
        return np.random.default_rng([self.seed, section]).permutation(tiles).tolist()


class TiledSections(Dataset):
    """Whole sections as bags of tiles: `image` (tiles, C, h, w) and the index of the section."""

    def __init__(self, sections: Sequence[PreparedSection], tile_size: int, overlap: int) -> None:
        self.sections = sections
        self.tiles = [tiles_of(section.size, tile_size, overlap, section.name) for section in sections]

    def __len__(self) -> int:
        return len(self.sections)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        image = torch.from_numpy(self.sections[index].image)
        return {"image": torch.stack([image[:, *tile.area] for tile in self.tiles[index]]), "section": index}

    def stitched(self, index: int, maps: Tensor) -> Tensor:
        """Put maps (tiles, K, h, w) of the section together to (K, H, W), from each tile what is its own."""
        whole = maps.new_zeros(maps.shape[1], *self.sections[index].size)
        for tile, part in zip(self.tiles[index], maps, strict=True):
            whole[:, *tile.own] = part[:, *tile.own_inside]
        return whole
