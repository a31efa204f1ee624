"""The LightningDataModule that pairs a source with a target."""

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Subset

from bnadapt.data.augmentation import AugmentationName
from bnadapt.data.datasets import EpochSampler, RandomCrops, ReadingAhead, SectionsToSegment, Tiles
from bnadapt.data.domain import Domain, Section
from bnadapt.data.drawn_tiles import DrawnTiles
from bnadapt.data.input_change import InputChange
from bnadapt.data.intensity import IntensityName, Scaling
from bnadapt.data.pixel_size import check_size, resampling_sentence
from bnadapt.data.pooled import Pooled, pooled
from bnadapt.data.prepare import PreparedSection, check_channels, prepare
from bnadapt.data.scaling import Scalings, check_stored_state
from bnadapt.data.tiles import Blocks
from bnadapt.errors import InputError

log = logging.getLogger(__name__)
MOST_WORKERS = 512  # processes
MOST_OF_A_SECTION = 8  # tiles drawn together if a section costs as much to read as several


class DomainPair(LightningDataModule):
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
        augmentation: random changes of crops: `flips` (flips and rotations by 90 degrees), `moderate` (also
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
        super().__init__()
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
        check_size(pixel_size_nm, "--data.pixel_size_nm")
        if source is not None and sources:
            raise InputError("there are --data.source and --data.sources; leave out one of them.")
        self.source = pooled(sources, source_weights) if sources else source
        _check_names(["source", "target", *(test or {}), *((sources and self.source.domains) or ())])
        self.target = target
        self.further_tests = test or {}
        self.requested = {"intensity": intensity, "pixel_size_nm": pixel_size_nm}
        self.requested_change = target_change
        self.target_change = target_change or InputChange()
        self.restored: dict[str, Any] = {}
        self._scalings: Scalings | None = None
        self._known_sizes: set[str] = set()
        self.crop_size = crop_size
        self.crops_per_epoch = crops_per_epoch
        self.augmentation = augmentation
        self.target_crops = target_crops
        self.tile_size = tile_size
        self.overlap = tile_size // 8 if overlap is None else overlap
        self.block_size = block_size
        self.margin = margin
        self.blocks = self.blocks_of_tiles
        self.chosen_sections: Collection[int] | None = None
        self.batch_size = batch_size
        self.adaptation_tiles = adaptation_tiles
        self.num_workers = num_workers

    def state_dict(self) -> dict[str, Any]:
        """Scaling with its numbers, pixel size, and the epoch to continue from, for later runs."""
        return {
            "intensity": self.intensity,
            "pixel_size_nm": self.pixel_size_nm,
            "target_change": self.target_change.state_dict(),
            **self.scalings.state_dict(),
            "epoch": self.trainer.fit_loop.epoch_progress.current.processed if self.trainer else 0,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore scaling and pixel size of a checkpoint; settings of this run take precedence.

        Raises:
            InputError: the state does not define the scaling of images.
        """
        check_stored_state(state_dict)
        for key, requested in self.requested.items():
            if requested is not None and state_dict[key] is not None and requested != state_dict[key]:
                log.warning("The network was trained with %s %s; this run sets %s.", key, state_dict[key], requested)
        self.restored, self._scalings = state_dict, None
        self.target_change = self.requested_change or InputChange(**state_dict.get("target_change", {}))

    @property
    def intensity(self) -> IntensityName:
        """The name of the scaling in force."""
        return self.requested["intensity"] or self.restored.get("intensity") or "zscore"

    @property
    def pixel_size_nm(self) -> float | None:
        """The pixel size in force: given, restored, or the coarsest of source and target."""
        if chosen := self.requested["pixel_size_nm"] or self.restored.get("pixel_size_nm"):
            return chosen
        if self.restored:
            return None
        sizes = [_pixel_size(domain) for domain in (self.source, self.target) if domain]
        return max(filter(None, sizes), default=None)

    @property
    def scalings(self) -> Scalings:
        """The scalings of all domains."""
        if self._scalings is None:
            self._scalings = Scalings(self.intensity, self.pixel_size_nm, self.source, self.restored)
        return self._scalings

    def train_dataloader(self) -> DataLoader | dict[str, DataLoader]:
        """Random crops of the source's train block; with `target_crops` also of the target's images for adaptation."""
        source = self._needed("source")
        crops = self._crops("source", source.block("train"), torch.initial_seed())
        if not self.target_crops:
            return crops
        target = self._needed("target")
        return {"source": crops, "target": self._crops("target", target.adaptation(), torch.initial_seed() + 1)}

    def source_domains(self) -> dict[str, Domain]:
        """The sources by name; a single one as `source`."""
        if isinstance(self.source, Pooled):
            return self.source.domains
        return {"source": self.source} if self.source else {}

    def val_dataloader(self) -> list[DataLoader]:
        """Tiles of the validation block of each source."""
        self._needed("source")
        return [self._scored_tiles(name, domain, "val") for name, domain in self.source_domains().items()]

    def test_domains(self) -> dict[str, Domain]:
        """The named test sets: each source, the target if it has masks, and the further ones.

        Raises:
            InputError: there are no test sets, or two differ in their number of classes.
        """
        target = {"target": self.target} if self.target and self.target.labelled() else {}
        domains = {**self.source_domains(), **target, **self.further_tests}
        if not domains:
            raise InputError("test: there is no labelled data; give --data.source, --data.target or --data.test.")
        first, *others = domains
        for name in others:
            if len(domains[name].classes) != len(domains[first].classes):
                raise InputError(
                    f"{name} has the classes {list(domains[name].classes)}, {first} {list(domains[first].classes)};"
                    " name as many for each."
                )
        return domains

    def test_dataloader(self) -> list[DataLoader]:
        """Tiles of every test set's test block, in the order of `test_domains`."""
        return [self._scored_tiles(name, domain, "test") for name, domain in self.test_domains().items()]

    @property
    def blocks_of_tiles(self) -> Blocks:
        """Blocks cut into tiles of the size for scoring, for networks whose receptive field is the whole tile."""
        return Blocks(max(1, self.tile_size - self.overlap), self.overlap // 2)

    def segment_by(self, blocks: Blocks, sections: Collection[int]) -> None:
        """Restrict `predict` in this process to these sections of the target, by index, cut into these blocks."""
        self.blocks, self.chosen_sections = blocks, sections
        self.allow_zero_length_dataloader_with_multiple_devices = True  # there may be fewer sections than processes

    def predict_dataloader(self) -> DataLoader:
        """Whole sections of the target, each a bag of tiles."""
        sections = self.prediction_dataset()
        sampler = DistributedSampler(sections, num_replicas=1, rank=0, shuffle=False)  # processes have their sections
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
            if self.chosen_sections is None or index in self.chosen_sections
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
        domain = self._needed(which)
        prepared = self._with_something_to_see(which, domain, domain.block(block), change)
        tiles = Tiles(prepared, self.tile_size, self.overlap, which, domain.classes)
        order = shuffled([section.domain for section, _ in tiles.tiles], np.random.default_rng(seed))
        return self._loader(Subset(tiles, order[:count]))

    def prepared(self, which: str, section: Section) -> PreparedSection:
        """A section of `source` or `target` as the network sees it."""
        return self._prepare(which, self._needed(which), section)

    def summary_block(self, which: str) -> str:
        """The block to summarise a domain on: validation, or the train block if the split has none."""
        return "val" if self._needed(which).split[1] > 0 else "train"

    def _needed(self, which: str) -> Domain:
        domain = getattr(self, which)
        if domain is None:
            raise InputError(f"there is no {which}; give one, such as --data.{which} Folder --data.{which}.images DIR.")
        return domain

    def _crops(self, name: str, sections: Sequence[Section], seed: int) -> DataLoader:
        domain = self._needed(name)
        prepared = self._with_something_to_see(name, domain, sections)
        weights = domain.weights if isinstance(domain, Pooled) else None
        crops = RandomCrops(
            prepared, self.crop_size, self.crops_per_epoch, seed, name, domain.classes, self.augmentation, weights
        )
        sampler = EpochSampler(crops)
        sampler.set_epoch(self.restored.get("epoch", 0))  # workers read ahead before Lightning sets it
        # a last batch of one crop has no variance in a BatchNorm layer behind global pooling
        return self._loader(crops, sampler=sampler, drop_last=len(crops) > self.batch_size)

    def _scored_tiles(self, name: str, domain: Domain, block: str) -> DataLoader:
        prepared = self._with_something_to_see(name, domain, domain.block(block))
        processes = self.trainer.world_size if self.trainer else 1
        return self._loader(Tiles(prepared, self.tile_size, self.overlap, name, domain.classes, processes))

    def _with_something_to_see(
        self, name: str, domain: Domain, sections: Sequence[Section], change: InputChange | None = None
    ) -> list[PreparedSection]:
        """The prepared sections that are not blank; blank ones are reported."""
        prepared = [self._prepare(name, domain, section, change) for section in sections]
        for section in prepared:
            check_channels(section, prepared[0], domain.name)
        blank = [section for section in prepared if section.is_blank]
        report_blank(domain.name, [section.name for section in blank], len(prepared), "left out")
        return [section for section in prepared if not section.is_blank]

    def _prepare(
        self, name: str, domain: Domain, section: Section, change: InputChange | None = None
    ) -> PreparedSection:
        key = name
        if isinstance(domain, Pooled):
            key, domain = section.domain, domain.domains[section.domain]
        scaling = self._scaling(key, domain)
        if name != "target":
            return prepare(section, domain.name, self.pixel_size_nm, scaling)
        change = self.target_change if change is None else change
        return prepare(section, domain.name, self.pixel_size_nm, change.after(scaling), change.zoom)

    def _scaling(self, key: str, domain: Domain) -> Scaling:
        """The scaling of a domain; logs, once, how far its images are resampled."""
        if key not in self._known_sizes:
            self._known_sizes.add(key)
            sizes = (section.pixel_size_nm for section in domain.all_sections())
            if sentence := resampling_sentence(sizes, self.pixel_size_nm):
                log.warning("%s: %s", domain.name, sentence)
        return self.scalings.of(key, domain)

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


def _check_names(names: Sequence[str]) -> None:
    """Refuse names of sets that would make tags of scores ambiguous."""
    if reserved := [name for name in names if "/" in name or names.count(name) > 1]:
        raise InputError(
            f"set {reserved[0]!r}: give each source and test set a unique name, without / and not source or target."
        )


def _check_range(name: str, number: int | None, least: int, most: int | None) -> None:
    if number is not None and (number < least or (most is not None and number > most)):
        allowed = f"at least {least}" if most is None else f"{least} to {most}"
        raise InputError(f"{name} is {number}; set --data.{name} to {allowed}.")


def report_blank(context: str, blank: Sequence[str], count: int, consequence: str) -> None:
    """Warn about blank images of a domain, with a consequence such as `left out`; refuse if all `count` are blank."""
    if blank and len(blank) == count:
        raise InputError(
            f"{context}: in {'the only image' if count == 1 else f'each of the {count} images'}, such as"
            f" {blank[0]}, every pixel is the same; give images with something to see."
        )
    if blank:
        log.warning(
            "%s: %d of %d images %s blank (every pixel the same), such as %s; %s.",
            context,
            len(blank),
            count,
            "is" if len(blank) == 1 else "are",
            blank[0],
            consequence,
        )


def _pixel_size(domain: Domain) -> float | None:
    """The coarsest pixel size of a domain's sections; None if one is not known."""
    if isinstance(domain, Pooled):
        return max(filter(None, map(_pixel_size, domain.domains.values())), default=None)
    sizes = [section.pixel_size_nm for section in domain.labelled() or domain.unlabelled()]
    return max(sizes) if sizes and all(sizes) else None
