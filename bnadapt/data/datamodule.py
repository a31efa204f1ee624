"""The LightningDataModule that pairs a source with a target."""

from collections import Counter
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Subset

from bnadapt.data.augmentation import AugmentationName
from bnadapt.data.domain import Domain, Section
from bnadapt.data.drawn_tiles import DrawnTiles
from bnadapt.data.input_change import InputChange
from bnadapt.data.intensity import IntensityName
from bnadapt.data.learnt_areas import unlearnt
from bnadapt.data.pooled import Pooled, pooled
from bnadapt.data.prepared_domains import PreparedDomains
from bnadapt.data.random_crops import EpochSampler, RandomCrops
from bnadapt.data.section_tiles import Tiles
from bnadapt.data.tiles import Blocks
from bnadapt.data.whole_sections import ReadingAhead, SectionsToSegment
from bnadapt.errors import InputError

MOST_WORKERS = 512  # processes
MOST_OF_A_SECTION = 8  # tiles drawn together if a section costs as much to read as several


class DomainPair(PreparedDomains):
    """A source to train on and a target to adapt to.

    Training and validation read the source; adaptation reads images of the target, never a mask; `test` reads the test
    blocks of both, and of further test sets; `predict` segments the target. The scaling of intensities and the pixel
    size belong to the trained network: both are stored in its checkpoint and hold in later runs unless overridden.

    Args:
        source: domain with masks to train on.
        target: domain to adapt to, with or without masks.
        test: further test sets by name, besides `source` and `target`.
        sources: several sources instead of `source`, as a list or by name; each contributes equally many crops.
        source_weights: shares of the crops by the sources' names, if not equal.
        intensity: scaling of intensities: `zscore` (per image), `dataset` (by the common range of the domain's images,
            with the same numbers for each), `dtype` (by the data type's range), `percentile` (per image, 0.5 and
            99.5), `histogram` (matched to the source). By default that of the checkpoint, else `zscore`.
        target_change: further change of the target's images, see `InputChange`. By default that of the checkpoint,
            where `adapt --choose` may have stored one.
        pixel_size_nm: pixel size that all images are resampled to. By default that of the
            checkpoint, else the coarsest of source and target. Images of unknown pixel size are not resampled.
        crop_size: side of the crops for training, in pixels.
        crops_per_epoch: number of crops in an epoch.
        augmentation: random augmentation of crops: `flips` (flips and rotations by 90 degrees), `moderate` (also
            other angles, sizes, elastic deformation, gamma, contrast, brightness, illumination, sharpness and noise) or
            `strong` (the same, twice as strong).
        target_crops: whether training also reads batches of the target, without masks: batches are then dicts with
            `source` and `target`. For tasks that train on both.
        tile_size: side of the tiles for adaptation and scoring.
        overlap: pixels that neighbouring tiles share at least; an eighth of a tile by default.
        block_size: side of the blocks that `predict` segments at once.
        margin: pixels of context around a block; by default the radius of the network's receptive field, so that the
            result is that of the whole section. Fewer are faster.
        batch_size: crops, or tiles, per step; blocks to segment have at most a million pixels together.
        adaptation_tiles: tiles of the target that adaptation reads, drawn at random; none means all.
        num_workers: processes that load data.

    Raises:
        InputError: when loaders are created, if the data cannot be used.
    """

    def __init__(
        self,
        source: Domain | None = None,
        target: Domain | None = None,
        test: dict[str, Domain] | None = None,
        sources: dict[str, Domain] | list[Domain] | None = None,
        source_weights: dict[str, float] | None = None,
        intensity: IntensityName | None = None,
        pixel_size_nm: float | None = None,
        target_change: InputChange | None = None,
        crop_size: int = 192,
        crops_per_epoch: int = 400,
        augmentation: AugmentationName = "moderate",
        target_crops: bool = False,
        tile_size: int = 256,
        overlap: int | None = None,
        block_size: int = 1024,
        margin: int | None = None,
        batch_size: int = 8,
        adaptation_tiles: int | None = 64,
        num_workers: int = 0,
    ) -> None:
        for name, number, least, most in (
            ("crop_size", crop_size, 1, None),
            ("crops_per_epoch", crops_per_epoch, 1, None),
            ("tile_size", tile_size, 1, None),
            ("block_size", block_size, 1, None),
            ("batch_size", batch_size, 1, None),
            ("adaptation_tiles", adaptation_tiles, 1, None),
            ("num_workers", num_workers, 0, MOST_WORKERS),
            ("overlap", overlap, 0, tile_size - 1),
            ("margin", margin, 0, None),
        ):
            _check_range(name, number, least, most)
        if source is not None and sources:
            raise InputError("both --data.source and --data.sources are given; leave out one.")
        if source_weights and not sources:
            raise InputError(
                "--data.source_weights belong to several --data.sources; give these, or leave out the weights."
            )
        source = pooled(sources, source_weights) if sources else source
        super().__init__(source, target, test or {}, intensity, pixel_size_nm, target_change)
        self.crop_size = crop_size
        self.crops_per_epoch = crops_per_epoch
        self.augmentation = augmentation
        self.target_crops = target_crops
        self.tile_size = tile_size
        self.overlap = tile_size // 8 if overlap is None else overlap
        self.block_size = block_size
        self.margin = margin
        self.blocks = self.blocks_of_tiles
        self.selected_sections: Collection[int] | None = None
        self.batch_size = batch_size
        self.adaptation_tiles = adaptation_tiles
        self.num_workers = num_workers

    def state_dict(self) -> dict[str, Any]:
        """How images are prepared, and the epoch to continue from."""
        epoch = self.trainer.fit_loop.epoch_progress.current.processed if self.trainer else 0
        return {**super().state_dict(), "epoch": epoch}

    def train_dataloader(self) -> DataLoader | dict[str, DataLoader]:
        """Random crops of the source's train block; with `target_crops` also of the target's images for adaptation."""
        source = self._needed("source")
        crops = self._crops("source", source.block("train"), torch.initial_seed())
        if not self.target_crops:
            return crops
        target = self._needed("target")
        return {"source": crops, "target": self._crops("target", target.adaptation(), torch.initial_seed() + 1)}

    def val_dataloader(self) -> list[DataLoader]:
        """Tiles of the validation block of each source."""
        self._needed("source")
        return [self._scored_tiles(name, domain, "val") for name, domain in self.source_domains().items()]

    def test_dataloader(self) -> list[DataLoader]:
        """Tiles of every test set's test block, in the order of `test_domains`."""
        return [self._scored_tiles(name, domain, "test") for name, domain in self.test_domains().items()]

    @property
    def blocks_of_tiles(self) -> Blocks:
        """Blocks cut into tiles of the size for scoring, for networks with a receptive field of the whole tile."""
        return Blocks(max(1, self.tile_size - self.overlap), self.overlap // 2)

    def segment_by(self, blocks: Blocks, sections: Collection[int]) -> None:
        """Restrict `predict` in this process to these sections of the target, by index, cut into these blocks."""
        self.blocks, self.selected_sections = blocks, sections
        self.allow_zero_length_dataloader_with_multiple_devices = True  # there may be fewer sections than processes

    def predict_dataloader(self) -> DataLoader:
        """Whole sections of the target, each a bag of tiles."""
        sections = self.prediction_dataset()
        sampler = DistributedSampler(
            sections, num_replicas=1, rank=0, shuffle=False
        )  # every process has its own sections
        return ReadingAhead(sections, batch_size=None, sampler=sampler, num_workers=self.num_workers)

    def prediction_dataset(self) -> SectionsToSegment:
        """The sections that `predict` segments: all of the target, read on demand."""
        target = self._needed("target")
        sections = [section.without_mask() for section in target.all_sections()]
        if not sections:
            raise InputError(f"{target.name}: has no images; give some to segment.")
        self._scaling("target", target)  # warns or raises before the work
        readers = {
            index: partial(self._prepare, "target", target, section)
            for index, section in enumerate(sections)
            if self.selected_sections is None or index in self.selected_sections
        }
        return SectionsToSegment(readers, self.blocks, target.name, self.batch_size)

    def unlabelled_tiles(
        self,
        which: str,
        count: int | None,
        shard: tuple[int, int] = (0, 1),
        seed: int = 0,
        change: InputChange | None = None,
    ) -> DrawnTiles:
        """Up to `count` (None: all) random tiles of `source` or `target`, from sections that adaptation may read.

        The same seed draws the same tiles in the same order, whatever the names of the files.

        Args:
            which: `source` or `target`.
            count: greatest number of tiles.
            shard: rank of this process, and number of processes that share the tiles.
            seed: seed of the draw.
            change: change of the target's images, instead of `target_change`.
        """
        domain = self._needed(which)
        sections = _by_content(domain.adaptation())
        order = shuffled([section.domain for section in sections], np.random.default_rng(seed))
        readers = [partial(self._prepare, which, domain, sections[index], change) for index in order]
        deepest = max((section.depth for section in sections), default=1)
        return DrawnTiles(
            readers,
            domain.name,
            self.tile_size,
            self.overlap,
            count,
            shard,
            self.batch_size,
            seed,
            min(deepest, MOST_OF_A_SECTION),
        )

    def labelled_tiles(
        self, which: str, block: str, count: int | None, seed: int = 0, change: InputChange | None = None
    ) -> DataLoader:
        """Up to `count` (None: all) random labelled tiles of a block, `train`, `val` or `test`, of a domain.

        `change` replaces `target_change`.
        """
        self.require_masks(which)
        domain = self._needed(which)
        prepared = self._not_blank(which, domain, domain.block(block), change)
        tiles = Tiles(prepared, self.tile_size, self.overlap, which, domain.classes)
        order = shuffled([section.domain for section, _ in tiles.tiles], np.random.default_rng(seed))
        return self._loader(Subset(tiles, order[:count]))

    def summary_block(self, which: str) -> str:
        """The block to summarise a domain on: validation, or the train block if the split has none."""
        return "val" if self._needed(which).split[1] > 0 else "train"

    def _crops(self, name: str, sections: Sequence[Section], seed: int) -> DataLoader:
        domain = self._needed(name)
        prepared = self._not_blank(name, domain, sections)
        weights = domain.weights if isinstance(domain, Pooled) else None
        crops = RandomCrops(
            prepared, self.crop_size, self.crops_per_epoch, seed, name, domain.classes, self.augmentation, weights
        )
        sampler = EpochSampler(crops)
        sampler.set_epoch(self.restored.get("epoch", 0))  # workers read ahead before Lightning sets it
        # a last batch of one crop has no variance in a BatchNorm layer behind global pooling
        return self._loader(crops, sampler=sampler, drop_last=len(crops) > self.batch_size)

    def _scored_tiles(self, name: str, domain: Domain, block: str) -> DataLoader:
        sections = unlearnt(domain.block(block), self.learnt_areas, domain.name)
        prepared = self._not_blank(name, domain, sections)
        processes = self.trainer.world_size if self.trainer else 1
        return self._loader(Tiles(prepared, self.tile_size, self.overlap, name, domain.classes, processes))

    def _loader(self, dataset: Dataset, **options: Any) -> DataLoader:
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            **options,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
        )


def _by_content(sections: list[Section]) -> list[Section]:
    """Sections in an order independent of their names, if all have a fingerprint of their content."""
    if not all(section.content for section in sections):
        return sections
    return sorted(sections, key=lambda section: (section.content(), section.name))


def shuffled(groups: Sequence[str], generator: np.random.Generator) -> list[int]:
    """Indices in random order, alternating between the groups as far as each has members."""
    order = generator.permutation(len(groups)).tolist()
    counts = Counter()
    places = {}
    for index in order:
        places[index] = counts[groups[index]]
        counts[groups[index]] += 1
    return sorted(order, key=places.get)


def _check_range(name: str, number: int | None, least: int, most: int | None) -> None:
    if number is not None and (number < least or (most is not None and number > most)):
        allowed = f"at least {least}" if most is None else f"{least} to {most}"
        raise InputError(f"{name} is {number}; set --data.{name} to {allowed}.")
