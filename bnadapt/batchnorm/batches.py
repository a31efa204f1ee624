"""Batches for a network, from whatever a person has images in."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import SequentialSampler

from bnadapt.batchnorm.layers import StatisticsError
from bnadapt.batchnorm.volume import VolumeTiles, as_float

Pick = Hashable | Callable[[Any], Tensor]


def batches_of(images: Any, pick: Pick | None, batch_size: int) -> Iterator[Tensor]:
    """Batches (N, C, ...) of floating type.

    Args:
        images: one of

            - a DataLoader, a generator or any other iterable of batches: tensors, tuples or dicts; the
              order is theirs;
            - one tensor (N, C, ...), whose images are drawn in random order;
            - an array on disk or in memory (numpy memory map, HDF5, Zarr): (N, C, H, W) images or a volume
              (Z, H, W), read piece by piece in random order, integers divided by their type's greatest
              value;
            - `VolumeTiles`, for tiles of another size, or of several volumes.
        pick: what of a batch is the images: a key or index, or a callable. By default a tensor itself and
            the first of a tuple.
        batch_size: of the batches that are made here.

    Raises:
        StatisticsError: batch_size is below 1, or a batch is nothing that can be passed through a network.
    """
    if batch_size < 1:
        raise StatisticsError(f"batch_size is {batch_size}; give at least 1.")
    if isinstance(images, Tensor):
        images = _drawn(images, batch_size)
    elif hasattr(images, "shape") and hasattr(images, "dtype"):
        images = VolumeTiles(images) if len(images.shape) == 3 else _Rows(images)
    if isinstance(images, (VolumeTiles, _Rows)):
        images = _stacked(images, batch_size)
    for number, batch in enumerate(images):
        yield _checked(_picked(batch, pick), number)


def has_fixed_order(images: Any) -> bool:
    """Whether batches are known to come in an order that somebody has put them into.

    That are sequences of batches, and DataLoaders of a data set without shuffling. The order of generators and of
    iterable data sets is taken to be random.

    Args:
        images: see `batches_of`.
    """
    return isinstance(images, Sequence) or isinstance(getattr(images, "sampler", None), SequentialSampler)


def _drawn(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Batches of the images of a tensor, in the same random order every time."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    for chosen in order.split(batch_size):
        yield images[chosen.to(images.device)]


class _Rows:
    """The images of an array (N, C, H, W), each read when its turn comes, in random order."""

    def __init__(self, images: Any) -> None:
        if len(images.shape) < 4:
            raise StatisticsError(
                f"An array of shape {tuple(images.shape)} is neither images (N, C, H, W, ...) nor a volume (Z, H, W);"
                " give one of these, or batches."
            )
        self.images = images

    def __iter__(self) -> Iterator[Tensor]:
        for index in np.random.default_rng(0).permutation(self.images.shape[0]):
            yield as_float(np.asarray(self.images[int(index)]))


def _stacked(tiles: Iterable[Tensor], batch_size: int) -> Iterator[Tensor]:
    waiting: list[Tensor] = []
    for tile in tiles:
        waiting.append(tile)
        if len(waiting) == batch_size:
            yield torch.stack(waiting)
            waiting = []
    if waiting:
        yield torch.stack(waiting)


def _picked(batch: Any, pick: Pick | None) -> Any:
    if callable(pick):
        return pick(batch)
    if pick is not None:
        return batch[pick]
    if isinstance(batch, (tuple, list)) and batch:
        return batch[0]
    if isinstance(batch, dict):
        raise StatisticsError(f"A batch is a dict of {', '.join(map(repr, batch))}; say which by `pick`.")
    return batch


def _checked(images: Any, number: int) -> Tensor:
    if not isinstance(images, Tensor):
        raise StatisticsError(
            f"Batch {number} is of type {type(images).__name__}; give tensors (N, C, ...), or say by `pick` how to"
            " get them."
        )
    if not images.is_floating_point():
        raise StatisticsError(
            f"Batch {number} is of type {images.dtype}; scale it as the images that the network was trained on."
        )
    if images.ndim < 2 or images.numel() == 0:
        raise StatisticsError(
            f"Batch {number} has the shape {tuple(images.shape)}; give (N, C, ...) with at least one image, or leave it"
            " out."
        )
    if not torch.isfinite(images).all():
        raise StatisticsError(f"Batch {number} has pixels that are NaN or infinite; replace them or leave it out.")
    return images
