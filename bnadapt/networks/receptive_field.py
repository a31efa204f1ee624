"""The receptive field of a network, measured on the network itself."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

STRIDES = (1, 2, 4, 8, 16, 32, 64)
SIDES = (256, 512, 1024)  # sides in pixels of the images tried; the first sufficient one counts
ROWS = (16, 64)  # heights of these images: few rows are fast, and enough for networks that accept them
WIDE = 2048  # side in pixels of an image that must not show dependences farther away
TOLERANCE = 1e-4  # relative to the standard deviation of logits; rounding stays far below


@dataclass(frozen=True)
class ReceptiveField:
    """The part of an image on which the logits of an area depend.

    Attributes:
        margin: pixels of context on every side, if area and context start and end at multiples of the stride.
        stride: least shift of an image in pixels that shifts its logits alike, away from its border.
    """

    margin: int
    stride: int


@torch.no_grad()
def receptive_field(network: nn.Module, in_channels: int) -> ReceptiveField | None:
    """Measure the receptive field of a network in eval mode, which is copied and left unchanged.

    NaN is propagated from a column, or row, to the logits. The stride is the least of STRIDES by which the dependent
    logits shift with the column.

    Args:
        network: maps images (N, C, H, W) to logits (N, K, H, W).
        in_channels: C.

    Returns:
        None if logits depend on the whole image, as with InstanceNorm or global pooling, on pixels farther away than
        half of the largest of SIDES, or on their position in the image.

    Examples:
        >>> receptive_field(nn.Conv2d(1, 2, 5, padding=2), 1)
        ReceptiveField(margin=2, stride=1)
    """
    copied = copy.deepcopy(network).cpu().float().eval()

    def transposed(images: Tensor) -> Tensor:
        return copied(images.mT.contiguous()).mT

    for rows in ROWS:
        try:
            fields = [_along_columns(run, (in_channels, rows)) for run in (copied, transposed)]
        except (RuntimeError, ValueError):  # it does not take images of these sizes
            continue
        if None in fields:
            return None
        return ReceptiveField(max(each.margin for each in fields), max(each.stride for each in fields))
    return None


def _along_columns(run: Callable[[Tensor], Tensor], shape: tuple[int, int]) -> ReceptiveField | None:
    """The field along columns, for images of this shape (C, H)."""
    for side in SIDES:
        middle = side // 2
        before, at, *behind = _dependent(run, shape, side, [middle - 1, middle, *(middle + s for s in STRIDES)])
        if torch.stack([before, at, *behind])[:, [0, -1]].any():
            continue
        shifts = zip(STRIDES, behind, strict=True)
        stride = next((stride for stride, each in shifts if torch.equal(each, at.roll(stride))), None)
        if stride is None or not _shifts_with(run, shape, side, stride) or _sees_farther(run, shape, at):
            return None
        last_before, first_at = int(before.nonzero()[-1]), int(at.nonzero()[0])
        return ReceptiveField(max(0, last_before - middle + 1, middle - first_at), stride)
    return None


def _dependent(run: Callable[[Tensor], Tensor], shape: tuple[int, int], side: int, columns: list[int]) -> Tensor:
    """Whether columns of the logits depend on each of these columns of an image: (columns, side)."""
    images = torch.zeros(len(columns), *shape, side)
    images[torch.arange(len(columns)), ..., columns] = math.nan
    return run(images).isnan().any(2).any(1)


def _sees_farther(run: Callable[[Tensor], Tensor], shape: tuple[int, int], dependent: Tensor) -> bool:
    """Whether a wide image shows further dependences on the middle column, as with dilated convolutions."""
    (wide,) = _dependent(run, shape, WIDE, [WIDE // 2])
    return int(wide.sum()) > int(dependent.sum())


def _shifts_with(run: Callable[[Tensor], Tensor], shape: tuple[int, int], side: int, stride: int) -> bool:
    """Whether logits in the middle stay the same when the image is cropped by a stride."""
    image = torch.rand(1, *shape, side + stride, generator=torch.Generator().manual_seed(0))
    middle, width = side // 2, STRIDES[-1]
    whole = run(image)
    cut = run(image[..., stride:])[..., middle : middle + width]
    difference = (cut - whole[..., stride + middle : stride + middle + width]).abs().max()
    return bool(difference <= TOLERANCE * whole.std())
