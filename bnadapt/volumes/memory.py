"""An upper bound of the memory that a segmentation needs, computed in advance."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from bnadapt.data.readers.sections import MOST_SLAB
from bnadapt.data.tiles import Blocks, tiles_at_once

PROBED = 128  # side in pixels of the image on which activations are counted
BEING_READ = 48  # bytes per pixel of a section being read: as stored, float32, and float64 for scaling
HELD = 3  # sections: in the network, read ahead, and on their way
WRITTEN = 2  # sections: in the network, and in the writing thread
STITCHED = 24  # bytes per pixel of a section being assembled, besides those of its classes
LIBRARIES = 2**28  # bytes held by allocators and libraries
PROCESS = 10**9  # bytes of a process with all modules, if the system does not report them


def most_memory(
    network: nn.Module, channels: int, classes: int, size: Sequence[int], blocks: Blocks, batch_size: int
) -> int | None:
    """Upper bound in bytes of the memory for segmenting sections of a size, including the whole process.

    None if the network does not accept the small image on which its activations are counted.

    Args:
        network: network in eval mode; all activations count as held at once, which is an overestimate.
        channels: C of the images.
        classes: K.
        size: (H, W) of a section.
        blocks: division of the section.
        batch_size: greatest number of tiles that go through the network at once.
    """
    tiles = blocks.tiles(blocks.padded(size))
    tile = tiles[0].pixels
    bag, section = len(tiles) * tile, size[0] * size[1]
    try:
        activations = _activations(network, channels)
    except (RuntimeError, ValueError):
        return None
    reading = MOST_SLAB + channels * (BEING_READ * section + 4 * HELD * bag)
    writing = WRITTEN * 4 * classes * bag + section * (4 * classes + STITCHED)
    running = min(len(tiles), tiles_at_once(tiles[0], batch_size)) * tile * activations
    return round(_resident() + LIBRARIES + reading + writing + running)


@torch.no_grad()
def _activations(network: nn.Module, channels: int) -> float:
    """Bytes per pixel of the image for all activations, the last one in float32."""
    total = 0

    def count(layer: nn.Module, inputs: object, output: object) -> None:
        nonlocal total
        total += output.numel() * output.element_size() if isinstance(output, Tensor) else 0

    hooks = [each.register_forward_hook(count) for each in network.modules() if not list(each.children())]
    try:
        like = next(network.parameters(), torch.zeros(0))
        network(like.new_zeros(1, channels, PROBED, PROBED))
    finally:
        for hook in hooks:
            hook.remove()
    return total / PROBED**2


def _resident() -> int:
    """Bytes that this process holds."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if status.exists() else PROCESS
