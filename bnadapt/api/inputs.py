"""The arguments of the verbs: networks and images.

A **network** is a `torch.nn.Module` with BatchNorm layers, a task of bnadapt, or the path of a checkpoint, which is
loaded to the GPU if there is one. It is left unchanged.

**Images** are one of

- *pixels as the network sees them*, scaled as in its training: a tensor or array (N, C, H, W), or (N, H, W) of one
  channel; or a batch, or any iterable of batches, such as a DataLoader. A batch is a tensor or array, a tuple that
  starts with one, or a mapping with one under `image`;
- *pixels as files hold them*: the path of a folder of images, or of a volume (TIFF, HDF5, Zarr, NumPy, MRC); a domain
  of `bnadapt.data`; or, for a checkpoint, an array of integers. They are scaled and resampled as the checkpoint says;
  for a network without one, integers are divided by their type's greatest value.

Where masks are needed, a batch is (images, masks) or has `image` and `mask`, and a domain has masks; masks are
(N, H, W) class indices, with 255 for unlabelled pixels.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from bnadapt.adaptation import LABELLED_TILES, Batches, NetworkRunner, beginning
from bnadapt.batchnorm import Bank, ClassMoments
from bnadapt.batchnorm.batches import batches_of, labelled_batches_of
from bnadapt.batchnorm.volume import real_numbers
from bnadapt.data import Domain, DomainPair, Folder, InputChange, Section, Stack
from bnadapt.data.formats import VolumeFormat, format_of
from bnadapt.data.masks import IGNORED
from bnadapt.errors import InputError
from bnadapt.gain import SourceSummary
from bnadapt.gain.source_summary import SUMMARY_TILES
from bnadapt.labels import LabelledTiles
from bnadapt.labels.random_tiles import random_tiles
from bnadapt.networks import with_background
from bnadapt.networks.stored import load_tensors
from bnadapt.tasks import AdaptableTask

BATCH, TILE = 8, 256  # tiles per batch, and their side in pixels, read from files
Network = nn.Module | str | Path


class LabelledImages(NamedTuple):
    """Batches of a source with `image` and `mask`: to measure class moments on, and to summarise the source on.

    Of a domain these are the train and the validation block.
    """

    training: Batches
    held_out: Batches


@dataclass(frozen=True, eq=False)
class SourceModel:
    """A network, and what is known about its source.

    Attributes:
        network: the network without its task.
        forward: runs it on a batch.
        source_bank: the source's statistics if the network holds others; None if it holds the source's.
        class_moments: class moments of the source, if known.
        source_summary: summary of the source, if known.
        scaling: scaling of its images, as in the data module's state; None if unknown.
    """

    network: nn.Module
    forward: Callable[[Tensor], Any]
    source_bank: Bank | None = None
    class_moments: ClassMoments | None = None
    source_summary: SourceSummary | None = None
    scaling: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, network: Network) -> "SourceModel":
        """Take a network as given to a verb.

        Raises:
            InputError: it is not a network, or the checkpoint cannot be used.
        """
        if isinstance(network, (str, Path)):
            path = Path(network)
            task = AdaptableTask.load_from_checkpoint(path, "cuda" if torch.cuda.is_available() else "cpu")
            return cls._of_task(task, load_tensors(path).get(DomainPair.__qualname__))
        if isinstance(network, AdaptableTask):
            return cls._of_task(network)
        if not isinstance(network, nn.Module):
            raise InputError(
                f"network: is of type {type(network).__name__}; give a torch.nn.Module, or the path of a checkpoint."
            )
        return cls(network, lambda images: with_background(network(images), num_classes=2))

    @classmethod
    def _of_task(cls, task: AdaptableTask, scaling: Mapping[str, Any] | None = None) -> "SourceModel":
        return cls(
            task.network,
            lambda images: task.logits({"image": images.to(task.device)}),
            task.source_bank,
            task.class_moments,
            task.source_summary,
            scaling,
        )

    @property
    def bank(self) -> Bank:
        """The source's statistics.

        Raises:
            NoBatchNormError: the network has none.
        """
        return self.source_bank or Bank.of(self.network)

    def runner(self, layers: list[str] | None = None) -> NetworkRunner:
        """A runner that starts from the source's statistics."""
        return NetworkRunner(self.network, self.forward, self.bank, layers=layers)

    def batches(
        self, images: Any, which: str = "target", count: int | None = None, change: InputChange | None = None
    ) -> Batches:
        """Batches of images; see this module.

        Args:
            images: images of any kind.
            which: `source` or `target`.
            count: number of tiles to draw from files; everything else is read to the end.
            change: change of a target's images in files; by default as the checkpoint says.
        """
        if (domain := self._domain(images)) is not None:
            tiles = self._data(which, domain).unlabelled_tiles(which, count, change=change)
            return DataLoader(tiles, batch_size=BATCH)
        return ({"image": self._as_taken(batch)} for batch in _tensors(images))

    def labelled(self, images: Any) -> LabelledImages:
        """Labelled images of the source, see this module."""
        if (domain := self._domain(images)) is not None:
            data = self._data("source", domain)
            held_out = data.summary_block("source")
            return LabelledImages(
                data.labelled_tiles("source", "train", LABELLED_TILES),
                data.labelled_tiles("source", held_out, SUMMARY_TILES),
            )
        batches = [images] if _is_pair(images) else _listed(images)
        pairs = ({"image": self._as_taken(image), "mask": mask} for image, mask in labelled_batches_of(batches))
        training = list(beginning(pairs, LABELLED_TILES))
        return LabelledImages(training, list(beginning(training, SUMMARY_TILES)))

    def labelled_tiles(self, images: Any) -> LabelledTiles:
        """Labelled images of the target to learn from, see this module; of a domain those of the train block.

        Raises:
            InputError: there are none, they differ in size, or masks hold 0 and 255 alone.
        """
        if (domain := self._domain(images)) is not None:
            return random_tiles(self._data("target", domain), None)
        batches = [images] if _is_pair(images) else _listed(images)
        pairs = [{"image": self._as_taken(image), "mask": mask} for image, mask in labelled_batches_of(batches)]
        tiles = LabelledTiles(stacked(pairs, sys.maxsize, "labelled"), torch.cat([each["mask"] for each in pairs]))
        if tiles.masks.unique().tolist() == [0, IGNORED]:
            raise InputError(
                f"labelled: the masks hold 0 and {IGNORED} alone, and {IGNORED} stands for unlabelled pixels; give 1"
                " where there is foreground, such as masks == 255."
            )
        return tiles

    def _as_taken(self, images: Tensor) -> Tensor:
        """Images in the precision of the network's weights."""
        weights = (each for each in self.network.parameters() if each.is_floating_point())
        return images.to(next(weights, images).dtype)

    def _domain(self, images: Any) -> Domain | None:
        """The domain of the images, if they are pixels as files hold them."""
        if isinstance(images, Domain):
            return images
        if isinstance(images, (str, Path)):
            return domain_at(Path(images))
        return ArrayDomain(images) if self.scaling is not None and _is_integer(images) else None

    def _data(self, which: str, domain: Domain) -> DomainPair:
        """The data module of one domain, which scales as the checkpoint says."""
        data = DomainPair(**{which: domain}, intensity=None if self.scaling else "dtype", batch_size=BATCH)
        if self.scaling is not None:
            data.load_state_dict(dict(self.scaling))
        side = _shortest_side(domain.all_sections()[0], data.pixel_size_nm)
        data.tile_size = min(TILE, side // 16 * 16 or side)
        data.overlap = data.tile_size // 8
        return data


class ArrayDomain(Domain):
    """An array of integers (N, H, W) or (N, C, H, W) as a domain without masks; refuses other shapes."""

    name = "images"

    def __init__(self, images: Any) -> None:
        super().__init__()
        if len(images.shape) not in (3, 4):
            raise InputError(f"images: have the shape {tuple(images.shape)}; give (N, H, W) or (N, C, H, W).")
        self.images = images

    def labelled(self) -> list[Section]:
        """None."""
        return []

    def unlabelled(self) -> list[Section]:
        """All images."""
        return [Section(f"image {index}", partial(self._read, index)) for index in range(len(self.images))]

    def _read(self, index: int) -> np.ndarray:
        image = real_numbers(self.images[index])
        return image if image.ndim == 2 else np.moveaxis(image, 0, -1)


def domain_at(path: Path) -> Domain:
    """The images of a folder, or the sections of a volume.

    Raises:
        InputError: the path does not exist, or cannot be read.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; check the path.")
    is_volume = path.is_file() or isinstance(format_of(path), VolumeFormat)
    return Stack(str(path)) if is_volume else Folder(str(path))


def split(batches: Batches, count: int) -> tuple[list[Mapping[str, Tensor]], Batches]:
    """The first tiles of batches that can be iterated once, and all of them."""
    iterator, head = iter(batches), []
    while sum(len(batch["image"]) for batch in head) < count and (batch := next(iterator, None)) is not None:
        head.append(batch)
    return list(beginning(head, count)), chain(head, iterator)


def stacked(batches: Batches, count: int, name: str) -> Tensor:
    """The first `count` tiles (n, C, h, w) of batches.

    Raises:
        InputError: there are none, or they differ in size; the message starts with `name`.
    """
    parts = [batch["image"] for batch in beginning(batches, count)]
    sizes = sorted({tuple(part.shape[1:]) for part in parts})
    if len(sizes) != 1:
        content = f"images of the shapes {' and '.join(map(str, sizes[:2]))}" if sizes else "no images"
        raise InputError(f"{name} has {content}; give tiles (N, C, H, W) of one size.")
    return torch.cat(parts)


def _tensors(images: Any) -> Iterator[Tensor]:
    return map(_with_channel, batches_of(_with_channel(images) if isinstance(images, Tensor) else _listed(images)))


def _with_channel(images: Tensor) -> Tensor:
    """(N, C, H, W), also from (N, H, W)."""
    return images.unsqueeze(1) if images.ndim == 3 else images


def _listed(images: Any) -> Any:
    """Batches; a single mapping or pair of images and masks becomes a list of one batch."""
    is_labelled = _is_pair(images) and _is_integer(images[1])  # two tensors of images are two batches
    return [images] if is_labelled or isinstance(images, Mapping) else images


def _is_pair(images: Any) -> bool:
    """Whether this is a tuple that starts with two tensors or arrays."""
    return isinstance(images, tuple) and len(images) > 1 and all(hasattr(each, "shape") for each in images[:2])


def _is_integer(images: Any) -> bool:
    """Whether this is a tensor or array of integers or truth values."""
    if isinstance(images, Tensor):
        return not images.is_floating_point()
    return hasattr(images, "shape") and np.dtype(getattr(images, "dtype", np.float32)).kind in "biu"


def _shortest_side(section: Section, pixel_size_nm: float | None) -> int:
    """In pixels, after resampling."""
    side = min(section.read_image().shape[:2])
    is_resampled = section.pixel_size_nm and pixel_size_nm
    return int(side * section.pixel_size_nm / pixel_size_nm) if is_resampled else side
