"""How far around an area a network looks, measured on the network itself."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

STRIDES = (1, 2, 4, 8, 16, 32, 64)
SIDES = (256, 512, 1024)  # pixels, of the images that are tried; the first one that suffices counts
WIDE = 2048  # pixels, of an image in which nothing farther may show
TOLERANCE = 1e-4  # of the standard deviation of logits; rounding stays far below


@dataclass(frozen=True)
class ReceptiveField:
    """What of an image the logits of an area depend on.

    Attributes:
        margin: pixels that must be seen on every side of the area, where both areas, that one and what is seen, begin
            and end at multiples of the stride.
        stride: pixels by which an image can be shifted so that its logits are shifted too, as far as they do not see
            its border; that of the deepest layer.
    """

    margin: int
    stride: int


@torch.no_grad()
def receptive_field(network: nn.Module, in_channels: int) -> ReceptiveField | None:
    """Measure how far a network looks, in eval mode.

    In a column, or row, that is not a number, whatever depends on it, by whatever weights, is no number either. The
    stride is the least of STRIDES by which what depends on a column is shifted with it.

    Args:
        network: maps images (N, C, H, W) to logits (N, K, H, W). It is copied, and stays as it is.
        in_channels: C.

    Returns:
        None where logits depend on the whole image, as with InstanceNorm or global pooling, on what is more than half
        of the largest of SIDES away, or on where in the image they are.

    Examples:
        >>> receptive_field(nn.Conv2d(1, 2, 5, padding=2), 1)
        ReceptiveField(margin=2, stride=1)
    """
    copied = copy.deepcopy(network).cpu().float().eval()

    def transposed(images: Tensor) -> Tensor:
        return copied(images.mT.contiguous()).mT

    try:
        fields = [_along_columns(run, in_channels) for run in (copied, transposed)]
    except (RuntimeError, ValueError):  # it does not take images of these sizes
        return None
    if None in fields:
        return None
    return ReceptiveField(max(each.margin for each in fields), max(each.stride for each in fields))


def _along_columns(run: Callable[[Tensor], Tensor], in_channels: int) -> ReceptiveField | None:
    for side in SIDES:
        middle = side // 2
        before, at, *behind = _dependent(run, in_channels, side, [middle - 1, middle, *(middle + s for s in STRIDES)])
        if torch.stack([before, at, *behind])[:, [0, -1]].any():
            continue
        shifts = zip(STRIDES, behind, strict=True)
        stride = next((stride for stride, each in shifts if torch.equal(each, at.roll(stride))), None)
        if stride is None or not _shifts_with(run, in_channels, side, stride) or _sees_farther(run, in_channels, at):
            return None
        last_before, first_at = int(before.nonzero()[-1]), int(at.nonzero()[0])
        return ReceptiveField(max(0, last_before - middle + 1, middle - first_at), stride)
    return None


def _dependent(run: Callable[[Tensor], Tensor], in_channels: int, side: int, columns: list[int]) -> Tensor:
    """Which columns of the logits depend on each of these columns of an image: (columns, side) truth values."""
    images = torch.zeros(len(columns), in_channels, STRIDES[-1], side)
    images[torch.arange(len(columns)), ..., columns] = math.nan
    return run(images).isnan().any(2).any(1)


def _sees_farther(run: Callable[[Tensor], Tensor], in_channels: int, dependent: Tensor) -> bool:
    """Whether in a wide image other columns depend on the middle one, too, as of dilated convolutions."""
    (wide,) = _dependent(run, in_channels, WIDE, [WIDE // 2])
    return int(wide.sum()) > int(dependent.sum())


def _shifts_with(run: Callable[[Tensor], Tensor], in_channels: int, side: int, stride: int) -> bool:
    """Whether logits in the middle stay the same when the image is cut by a stride."""
    image = torch.rand(1, in_channels, STRIDES[-1], side + stride, generator=torch.Generator().manual_seed(0))
    middle, width = side // 2, STRIDES[-1]
    whole = run(image)
    cut = run(image[..., stride:])[..., middle : middle + width]
    difference = (cut - whole[..., stride + middle : stride + middle + width]).abs().max()
    return bool(difference <= TOLERANCE * whole.std())
