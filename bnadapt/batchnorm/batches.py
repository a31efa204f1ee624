"""Batches for a network, from whatever holds the images."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import SequentialSampler

from bnadapt.batchnorm.layers import StatisticsError
from bnadapt.batchnorm.volume import VolumeTiles, as_float, real_numbers

Pick = Hashable | Callable[[Any], Tensor]
IMAGE, MASK = "image", "mask"  # keys of a batch that is a mapping


def batches_of(images: Any, pick: Pick | None = None, batch_size: int = 8) -> Iterator[Tensor]:
    """Batches (N, C, ...) of floating type. Defines what images may be, for the whole package.

    Args:
        images: one of

            - a DataLoader, generator or other iterable of batches, in their order. A batch is a tensor or array
              (N, C, ...), a tuple or list that starts with one, or a mapping with one under `image`;
            - one tensor (N, C, ...), read in random order;
            - an array on disk or in memory (NumPy memory map, HDF5, Zarr) of images (N, C, H, W) or of a volume
              (Z, H, W), read piece by piece in random order; integers are divided by their type's greatest value;
            - `VolumeTiles`, for tiles of another size or of several volumes.
        pick: key, index or callable that gets the images of a batch, where the rule above does not.
        batch_size: size of batches built from tensors, arrays and volumes.

    Raises:
        StatisticsError: batch_size is below 1, or a batch cannot be passed through a network.
    """
    if batch_size < 1:
        raise StatisticsError(f"batch_size is {batch_size}; give at least 1.")
    if isinstance(images, Tensor):
        images = _shuffled(images, batch_size)
    elif hasattr(images, "shape") and hasattr(images, "dtype"):
        images = _stacked(VolumeTiles(images) if len(images.shape) == 3 else _rows(images), batch_size)
    elif isinstance(images, VolumeTiles):
        images = _stacked(images, batch_size)
    for number, batch in _numbered(images):
        yield _checked(_picked(batch, pick), number)


def labelled_batches_of(batches: Iterable) -> Iterator[tuple[Tensor, Tensor]]:
    """Images (N, C, ...) and int64 masks (N, ...) of class indices.

    Args:
        batches: tuples that start with images and masks, or mappings with `image` and `mask`. Masks may be (N, 1, ...);
            images of one channel may have the shape of their masks.

    Raises:
        StatisticsError: a batch has no masks, their number differs from that of its images, or they hold other than
            whole numbers.
    """
    for number, batch in _numbered(batches):
        masks = _as_tensor(batch.get(MASK) if isinstance(batch, Mapping) else _second(batch))
        if not isinstance(masks, Tensor):
            raise StatisticsError(
                f"Batch {number} has no masks; give (images, masks), or a mapping with {IMAGE!r} and {MASK!r}."
            )
        images = _checked(_picked(batch, None), number)
        if masks.ndim == images.ndim and masks.shape[1] == 1:
            masks = masks.squeeze(1)
        if masks.shape == images.shape:
            images = images.unsqueeze(1)
        if len(masks) != len(images) or masks.ndim != images.ndim - 1:
            raise StatisticsError(
                f"Batch {number} has images of shape {tuple(images.shape)} and masks of shape {tuple(masks.shape)};"
                " give masks (N, ...) for images (N, C, ...)."
            )
        classes = masks.long()
        if masks.is_floating_point() and not torch.equal(classes.to(masks), masks):
            raise StatisticsError(f"Batch {number} has masks of values that are not whole numbers; give class indices.")
        yield images, classes


def has_fixed_order(images: Any) -> bool:
    """Whether batches come in a fixed order, as from sequences and DataLoaders without shuffling.

    Generators and iterable data sets are assumed to be in random order.
    """
    return isinstance(images, Sequence) or isinstance(getattr(images, "sampler", None), SequentialSampler)


def _numbered(batches: Any) -> Iterator[tuple[int, Any]]:
    try:
        return enumerate(batches)
    except TypeError as error:
        raise StatisticsError(
            f"Images are of type {type(batches).__name__}; give tensors or arrays (N, C, H, W)."
        ) from error


def _shuffled(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Batches of a tensor's images, in the same random order every time."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    for indices in order.split(batch_size):
        yield images[indices.to(images.device)]


def _rows(images: Any) -> Iterator[Tensor]:
    """The images of an array (N, C, H, W) in random order, each read when needed."""
    if len(images.shape) < 4:
        raise StatisticsError(
            f"An array of shape {tuple(images.shape)} is neither images (N, C, H, W, ...) nor a volume (Z, H, W);"
            " give one of these, or batches."
        )
    for index in np.random.default_rng(0).permutation(images.shape[0]):
        yield as_float(images[int(index)])


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
    if isinstance(batch, Mapping):
        if IMAGE not in batch:
            names = ", ".join(map(repr, batch))
            raise StatisticsError(
                f"A batch is a mapping of {names}; call its images {IMAGE!r}, or say which by `pick`."
            )
        return batch[IMAGE]
    return batch


def _second(batch: Any) -> Any:
    return batch[1] if isinstance(batch, (tuple, list)) and len(batch) > 1 else None


def _as_tensor(values: Any) -> Any:
    """A tensor of an array; anything else unchanged."""
    return torch.from_numpy(real_numbers(values)) if isinstance(values, np.ndarray) else values


def _checked(images: Any, number: int) -> Tensor:
    images = _as_tensor(images)
    if not isinstance(images, Tensor):
        raise StatisticsError(
            f"Batch {number} is of type {type(images).__name__}; give tensors (N, C, ...), or say by `pick` how to"
            " get them."
        )
    if not images.is_floating_point():
        raise StatisticsError(f"Batch {number} is of type {images.dtype}; scale it like the network's training images.")
    if images.ndim < 2 or images.numel() == 0:
        raise StatisticsError(
            f"Batch {number} has the shape {tuple(images.shape)}; give (N, C, ...) with at least one image, or leave it"
            " out."
        )
    if not torch.isfinite(images).all():
        raise StatisticsError(f"Batch {number} has pixels that are NaN or infinite; replace them or leave it out.")
    return images
