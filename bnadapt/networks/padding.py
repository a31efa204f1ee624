"""Padding of images for networks that halve their input several times."""

import torch
from torch import Tensor
from torch.nn import functional


def pad_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column of images (N, C, H, W) until both sides are multiples of `multiple`.

    Crop the network's output back to H, W.
    """
    height, width = images.shape[-2:]
    added = (-height % multiple, -width % multiple)
    if not any(added):
        return images
    return functional.pad(images, (0, added[1], 0, added[0]), mode="replicate")


def crop_to(maps: Tensor, size: torch.Size) -> Tensor:
    """The top left `size` = (H, W) of maps (N, K, H', W'): the inverse of `pad_to_multiple`."""
    return maps[..., : size[0], : size[1]]
