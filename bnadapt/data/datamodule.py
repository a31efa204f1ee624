"""The LightningDataModule that pairs a source with a target."""

import logging
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from bnadapt.data.datasets import DrawnTiles, EpochSampler, RandomCrops, TiledSections, Tiles
from bnadapt.data.domain import Domain, Section
from bnadapt.data.intensity import IntensityName, reference_quantiles, scaling
from bnadapt.data.prepare import PreparedSection, check_channels, prepare, read_channels
from bnadapt.errors import InputError
from bnadapt.stage import is_adapting, is_measuring

log = logging.getLogger(__name__)


class DomainPair(LightningDataModule):
    """A source to learn from and a target to adapt to.

    Training and validation read the source; adaptation reads images of the target, never a mask;
    `test` reads the test blocks of both, and of further test sets; `predict` segments the target.
    How intensities are scaled, and at which pixel size, belongs to the trained network: both are
    stored in its checkpoint and hold in later runs unless these say otherwise.

    Args:
        source: domain with masks to train on.
        target: domain to adapt to, with or without masks.
        test: further test sets by name, besides `source` and `target`.
        intensity: scaling of intensities: `dtype` (by the data type's range), `zscore` (per image),
            `percentile` (per image, 0.5 and 99.5), `histogram` (matched to the source). By default
            that of the checkpoint, else `dtype`.
        pixel_size_nm: pixel size that all images are resampled to. By default that of the
            checkpoint, else the coarsest of source and target. Images whose own is not known stay as they are.
        crop_size: side of the crops for training, in pixels.
        crops_per_epoch: how many of them.
        tile_size: side of the tiles for everything else.
        overlap: pixels that neighbouring tiles share at least; an eighth of a tile by default.
        batch_size: crops, or tiles, per step.
        adaptation_tiles: tiles of the target that adaptation reads, drawn at random; none means all.
        num_workers: processes that load data.

    Raises:
        InputError: when loaders are asked for, if the data cannot be used.
    """

    def __init__(
        self,
        source: Domain | None = None,
        target: Domain | None = None,
        test: dict[str, Domain] | None = None,
        intensity: IntensityName | None = None,
        pixel_size_nm: float | None = None,
        crop_size: int = 192,
        crops_per_epoch: int = 400,
        tile_size: int = 256,
        overlap: int | None = None,
        batch_size: int = 8,
        adaptation_tiles: int | None = 64,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        _check_counts(
            crop_size=crop_size,
            crops_per_epoch=crops_per_epoch,
            tile_size=tile_size,
            batch_size=batch_size,
            adaptation_tiles=adaptation_tiles,
        )
        if strange := [name for name in test or {} if name in ("source", "target") or "/" in name]:
            raise InputError(f"test set {strange[0]!r}: give it a name without / that is not source or target.")
        self.source = source
        self.target = target
        self.further_tests = test or {}
        self.asked = {"intensity": intensity, "pixel_size_nm": pixel_size_nm}
        self.remembered: dict[str, Any] = {}
        self.crop_size = crop_size
        self.crops_per_epoch = crops_per_epoch
        self.tile_size = tile_size
        self.overlap = tile_size // 8 if overlap is None else overlap
        self.batch_size = batch_size
        self.adaptation_tiles = adaptation_tiles
        self.num_workers = num_workers

    def state_dict(self) -> dict[str, Any]:
        """What the network must see again: scaling, its reference, pixel size; and the epoch to go on with."""
        return {
            "intensity": self.intensity,
            "pixel_size_nm": self.pixel_size_nm,
            "reference": self.reference,
            "epoch": self.trainer.fit_loop.epoch_progress.current.processed if self.trainer else 0,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what the checkpoint's network has seen; what this run asks for goes before."""
        for key, asked in self.asked.items():
            if asked is not None and state_dict[key] is not None and asked != state_dict[key]:
                log.warning("The network was trained with %s %s; this run asks for %s.", key, state_dict[key], asked)
        self.remembered = state_dict
        self.__dict__.pop("reference", None)
        self.__dict__.pop("to_predict", None)

    @property
    def intensity(self) -> IntensityName:
        """The scaling in force."""
        return self.asked["intensity"] or self.remembered.get("intensity") or "dtype"

    @property
    def pixel_size_nm(self) -> float | None:
        """The pixel size in force: asked for, remembered, or the coarsest of source and target."""
        if chosen := self.asked["pixel_size_nm"] or self.remembered.get("pixel_size_nm"):
            return chosen
        if self.remembered:
            return None
        sizes = [_pixel_size(domain) for domain in (self.source, self.target) if domain]
        return max(filter(None, sizes), default=None)

    @cached_property
    def reference(self) -> list[list[float]] | None:
        """Quantiles of the source's train block, for `histogram`."""
        if self.intensity != "histogram":
            return None
        if remembered := self.remembered.get("reference"):
            return remembered
        source = self._needed("source")
        return reference_quantiles([read_channels(each, source.name) for each in source.block("train")])

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, of the source, else of the first test set.

        Raises:
            InputError: two test sets differ in their number of classes.
        """
        domains = self.test_domains()
        for name, domain in domains.items():
            if len(domain.classes) != len(next(iter(domains.values())).classes):
                first = next(iter(domains))
                raise InputError(
                    f"{name} has the classes {list(domain.classes)}, {first} {list(domains[first].classes)}; name as"
                    " many for each."
                )
        return next(iter(domains.values())).classes

    def train_dataloader(self) -> DataLoader:
        """Random crops of the source's train block."""
        source = self._needed("source")
        crops = RandomCrops(
            self._load(source, source.block("train")),
            self.crop_size,
            self.crops_per_epoch,
            torch.initial_seed(),
        )
        sampler = EpochSampler(crops)
        sampler.set_epoch(self.remembered.get("epoch", 0))  # workers read ahead before Lightning sets it
        # a last batch of one crop has no variance in a BatchNorm layer behind global pooling
        return self._loader(crops, sampler=sampler, drop_last=len(crops) > self.batch_size)

    def val_dataloader(self) -> DataLoader:
        """Tiles of the source's validation block."""
        source = self._needed("source")
        return self._loader(self._tiles(self._load(source, source.block("val"))))

    def test_domains(self) -> dict[str, Domain]:
        """The named test sets: source, target if it has masks, and the further ones."""
        target = {"target": self.target} if self.target and self.target.labelled() else {}
        source = {"source": self.source} if self.source else {}
        domains = {**source, **target, **self.further_tests}
        if not domains:
            raise InputError("test: there is no labelled data; give --data.source, --data.target or --data.test.")
        return domains

    def test_dataloader(self) -> list[DataLoader]:
        """Tiles of every test set's test block, in the order of `test_domains`."""
        return [
            self._loader(self._tiles(self._load(domain, domain.block("test"))))
            for domain in self.test_domains().values()
        ]

    def predict_dataloader(self) -> DataLoader:
        """Whole sections of the target, each a bag of tiles; while adapting, `adaptation_dataloader`.

        `distances` reads its tiles itself; one of the target opens the loop.
        """
        if is_adapting(self.trainer):
            return self.adaptation_dataloader()
        if is_measuring(self.trainer):
            return DataLoader(self.unlabelled_tiles("target", 1), batch_size=1)
        return DataLoader(self.to_predict, batch_size=None, num_workers=self.num_workers)

    @cached_property
    def to_predict(self) -> TiledSections:
        """The sections that `predict` segments: all of the target."""
        target = self._needed("target")
        sections = [Section(e.name, e.read_image, None, e.pixel_size_nm) for e in target.to_predict()]
        if not sections:
            raise InputError(f"{target.name}: has no images; give some to segment.")
        return TiledSections(self._load(target, sections), self.tile_size, self.overlap)

    def adaptation_dataloader(self) -> DataLoader:
        """Tiles of the target without masks, drawn at random; every process gets its share of the batches."""
        share = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        tiles = self.unlabelled_tiles("target", self.adaptation_tiles, share)
        return DataLoader(tiles, batch_size=self.batch_size)

    def unlabelled_tiles(
        self, which: str, count: int | None, share: tuple[int, int] = (0, 1), seed: int = 0
    ) -> DrawnTiles:
        """`count` tiles of `source` or `target`, drawn at random from what adaptation may read.

        They are the same, in the same order, in every call with the same seed.
        """
        domain = self._needed(which)
        sections = domain.adaptation()
        order = np.random.default_rng(seed).permutation(len(sections))
        readers = [partial(self._prepared, domain, sections[index]) for index in order]
        return DrawnTiles(readers, domain.name, self.tile_size, self.overlap, count, share, self.batch_size, seed)

    def _needed(self, which: str) -> Domain:
        domain = getattr(self, which)
        if domain is None:
            raise InputError(f"there is no {which}; give one, such as --data.{which} Folder --data.{which}.images DIR.")
        return domain

    def _tiles(self, sections: Sequence[PreparedSection]) -> Tiles:
        return Tiles(sections, self.tile_size, self.overlap)

    def _load(self, domain: Domain, sections: Sequence[Section]) -> list[PreparedSection]:
        prepared = [self._prepared(domain, section) for section in sections]
        for section in prepared:
            check_channels(section, prepared[0], domain.name)
        return prepared

    def _prepared(self, domain: Domain, section: Section) -> PreparedSection:
        return prepare(section, domain.name, self.pixel_size_nm, scaling(self.intensity, self.reference))

    def _loader(self, dataset: Dataset, **options: Any) -> DataLoader:
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            **options,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
        )


def _check_counts(**counts: int | None) -> None:
    for name, count in counts.items():
        if count is not None and count < 1:
            raise InputError(f"{name} is {count}; set --data.{name} to at least 1.")


def _pixel_size(domain: Domain) -> float | None:
    """The coarsest pixel size of a domain's sections; None if one is not known."""
    sizes = [section.pixel_size_nm for section in domain.labelled() or domain.unlabelled()]
    return max(sizes) if sizes and all(sizes) else None
