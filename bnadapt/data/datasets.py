"""torch data sets over prepared sections: random crops to train on, tiles to score, sections to segment."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from bnadapt.data.augmentation import AugmentationName, CropAugmentation
from bnadapt.data.masks import IGNORED
from bnadapt.data.prepare import PreparedSection, check_channels
from bnadapt.data.tiles import Blocks, Tile, tiles_at_once, tiles_of
from bnadapt.errors import InputError

AHEAD = 1  # batches that are read while the network processes another
END = object()


class RandomCrops(Dataset):
    """Random augmented crops: `image` (C, h, w) float32 and, if the sections have masks, `mask` (h, w) int64.

    Item i is a function of seed and i alone, in whatever process. Together with `EpochSampler`, whose indices continue
    from epoch to epoch, a resumed training sees what an uninterrupted one would.

    Args:
        sections: sections, all with masks or all without.
        crop_size: side of a crop in pixels.
        length: crops per epoch.
        seed: seed of all randomness.
        name: name of the domain.
        classes: meaning of the mask values.
        augmentation: see `bnadapt.data.augmentation`.
        weights: share of the crops by the sections' domain; by default in proportion to their pixels.

    Raises:
        InputError: a section is smaller than a crop.
    """

    def __init__(
        self,
        sections: Sequence[PreparedSection],
        crop_size: int,
        length: int,
        seed: int,
        name: str = "source",
        classes: Sequence[str] = (),
        augmentation: AugmentationName = "flips",
        weights: Mapping[str, float] | None = None,
    ) -> None:
        for section in sections:
            if min(section.size) < crop_size:
                raise InputError(
                    f"{section.name}: {section.size[0]} x {section.size[1]} pixels (after resampling) are less than"
                    f" a crop of {crop_size}; set --data.crop_size to {min(section.size)} or less."
                )
        self.sections = sections
        self.length = length
        self.seed = seed
        self.name = name
        self.classes = classes
        self.augment = CropAugmentation(augmentation, crop_size)
        self.shares = _shares(sections, weights or {})

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = np.random.default_rng([self.seed, index])
        section = self.sections[generator.choice(len(self.sections), p=self.shares)]
        window = self._window(section.size, generator)
        image = np.moveaxis(section.image[:, *window], 0, -1)
        mask = None if section.mask is None else section.mask[window]
        image, mask = self.augment(image, mask, int(generator.integers(2**31)))
        item = {"image": torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0)))}
        if mask is not None:
            item["mask"] = torch.from_numpy(np.ascontiguousarray(mask)).long()
        return item

    def _window(self, size: tuple[int, int], generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Rows (h, 1) and columns (w,) of a crop and its margin, mirrored beyond the section's borders."""
        side, margin = self.augment.crop_size, self.augment.margin
        starts = [int(generator.integers(extent - side + 1)) for extent in size]
        rows, columns = (
            np.pad(np.arange(extent), margin, mode="reflect")[start : start + side + 2 * margin]
            for start, extent in zip(starts, size, strict=True)
        )
        return rows[:, np.newaxis], columns


def _shares(sections: Sequence[PreparedSection], weights: Mapping[str, float]) -> np.ndarray:
    """Probability of every section: proportional to its pixels within a domain, and to the domain's weight."""
    areas = np.array([np.prod(section.size) for section in sections], dtype=float)
    names = np.array([section.domain for section in sections])
    for name in weights:
        areas[names == name] *= weights[name] / areas[names == name].sum()
    return areas / areas.sum()


class EpochSampler(DistributedSampler):
    """Indices 0, 1, 2, ... that continue in the next epoch, distributed over all processes.

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

    def __iter__(self) -> Iterator[int]:
        return (self.epoch * len(self.dataset) + index for index in super().__iter__())


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
            others = torch.ones_like(item["mask"], dtype=torch.bool)
            if counts:
                others[self.tiles[index][1].own_inside] = False
            item["mask"][others] = IGNORED
        return item

    def uncut(self, index: int) -> dict[str, Tensor]:
        """The item with its whole mask, for figures."""
        section, tile = self.tiles[min(index, len(self.tiles) - 1)]
        item = {"image": torch.from_numpy(section.image[:, *tile.area].copy())}
        if section.mask is not None:
            item["mask"] = torch.from_numpy(section.mask[tile.area].astype(np.int64))
        return item


class Outline(NamedTuple):
    """A section's metadata, without its image."""

    index: int  # in its domain
    name: str
    size: tuple[int, int]  # height and width of the network's input
    original_size: tuple[int, int]  # height and width in the file
    dtype: str  # of the file's pixels
    is_blank: bool  # whether every pixel is the same


class SectionsToSegment(Dataset):
    """Whole sections as bags of tiles, read on indexing.

    An item has `image` (tiles, C, h, w), without tiles for a blank section, `section`, an Outline, and `at_once`, the
    number of tiles that go through the network together.

    Args:
        sections: function that reads a section, by the section's index in the domain.
        blocks: division of the sections.
        context: name of the domain, for messages.
        batch_size: greatest number of tiles that go through the network at once.
    """

    def __init__(
        self,
        sections: Mapping[int, Callable[[], PreparedSection]],
        blocks: Blocks,
        context: str = "target",
        batch_size: int = 8,
    ) -> None:
        self.sections = sections
        self.numbers = list(sections)
        self.blocks = blocks
        self.context = context
        self.batch_size = batch_size
        self._first: PreparedSection | None = None

    def __len__(self) -> int:
        return len(self.sections)

    def __getitem__(self, index: int) -> dict[str, Any]:
        number = self.numbers[index]
        section = self.sections[number]()
        if self._first is None and not section.is_blank:
            self._first = section.without_pixels()
        check_channels(section, self._first or section, self.context)
        outline = Outline(
            number, section.name, section.size, section.original_size, section.dtype.str, section.is_blank
        )
        if section.is_blank:
            return {"image": torch.zeros(0, *section.image.shape), "section": outline, "at_once": 1}
        padded = self.blocks.padded(section.size)
        height, width = (new - old for new, old in zip(padded, section.size, strict=True))
        image = torch.from_numpy(np.pad(section.image, ((0, 0), (0, height), (0, width)), mode="edge"))
        tiles = self._tiles(outline)
        bag = torch.stack([image[:, *tile.area] for tile in tiles])
        return {"image": bag, "section": outline, "at_once": tiles_at_once(tiles[0], self.batch_size)}

    def put_together(self, section: Outline, maps: Tensor) -> Tensor:
        """Assemble a section's probabilities (K, H, W) from those of its tiles (tiles, K, h, w).

        A blank section is background.
        """
        padded = self.blocks.padded(section.size)
        whole = maps.new_zeros(maps.shape[1], *padded)
        if section.is_blank:
            whole[0] = 1
        else:
            for tile, part in zip(self._tiles(section), maps, strict=True):
                whole[:, *tile.own] = part[:, *tile.own_inside]
        return whole[:, : section.size[0], : section.size[1]]

    def _tiles(self, section: Outline) -> list[Tile]:
        return self.blocks.tiles(self.blocks.padded(section.size))


class ReadingAhead(DataLoader):
    """A DataLoader that reads in a background thread; arguments as in torch."""

    def __iter__(self) -> Iterator[Any]:
        batches = iter(super().__iter__())
        with ThreadPoolExecutor(1, thread_name_prefix="reading") as thread:
            waiting = deque(thread.submit(next, batches, END) for _ in range(AHEAD))
            while (batch := waiting.popleft().result()) is not END:
                waiting.append(thread.submit(next, batches, END))
                yield batch
