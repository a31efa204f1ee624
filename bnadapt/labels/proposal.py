"""Tiles to label: where candidates disagree, spread over the volume, no two alike."""

from collections.abc import Sequence

import torch
from torch import Tensor

from bnadapt.gain.candidates import ADAPTED, NONE

COMPARED = (NONE, ADAPTED, "mixed")  # candidates whose predictions are compared
ALIKE = 0.9  # correlation from which on two tiles show the same


def proposed_tiles(images: Tensor, disagreement: Tensor, order: Sequence[int], count: int) -> list[int]:
    """Indices of tiles to label.

    The tiles are divided, in their order in the volume, into as many groups as are to be labelled. From each group the
    tile is taken on which candidates disagree most, among those unlike the tiles taken before.

    Args:
        images: (n, C, h, w).
        disagreement: (n,) of candidates on every tile.
        order: indices of the tiles in the order in which they lie in the volume.
        count: number to propose; there may be fewer that differ.
    """
    patterns = images.double().flatten(1)
    patterns = torch.nn.functional.normalize(patterns - patterns.mean(1, keepdim=True))
    chosen: list[int] = []
    for group in torch.tensor(list(order)).tensor_split(min(count, len(order))):
        best = sorted(group.tolist(), key=lambda index: -float(disagreement[index]))
        new = (each for each in best if not chosen or float((patterns[chosen] @ patterns[each]).amax()) < ALIKE)
        chosen += [first for first in [next(new, None)] if first is not None]
    return chosen
