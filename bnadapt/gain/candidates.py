"""Ways to treat a target: what its images become, and which statistics they are segmented with."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn.functional import interpolate

from bnadapt.batchnorm import FULL_RESOLUTION, Policy

POOLED = 32
FULL_REPLACEMENT = Policy()
Forward = Callable[[Tensor], Any]


@dataclass(frozen=True)
class InputChange:
    """What is done to images in front of a network; its logits are brought back to their size.

    Attributes:
        inverted: whether bright and dark are exchanged.
        zoom: factor by which images are enlarged.
    """

    inverted: bool = False
    zoom: float = 1.0

    def __bool__(self) -> bool:
        return self != InputChange()

    def around(self, forward: Forward, level: float) -> Forward:
        """The network's forward behind the change.

        Args:
            forward: of images (N, C, h, w), gives logits (N, K, h, w).
            level: sum of an intensity and of its inverted one; the source's and the target's means added, the inverted
                images have the source's mean.
        """
        return (lambda images: self._run(forward, images, level)) if self else forward

    def _run(self, forward: Forward, images: Tensor, level: float) -> Tensor:
        size = images.shape[-2:]
        changed = level - images if self.inverted else images
        if self.zoom == 1:
            return forward(changed)
        resized = interpolate(changed, [self._zoomed(side) for side in size], mode="bilinear", antialias=self.zoom < 1)
        return interpolate(forward(resized), size, mode="bilinear")

    def _zoomed(self, side: int) -> int:
        """Divisible by the power of two, up to 32, that the side is divisible by, for networks that halve it."""
        step = math.gcd(side, POOLED)
        return max(1, round(self.zoom * side / step)) * step


@dataclass(frozen=True)
class Candidate:
    """A way to treat a target.

    Attributes:
        title: for people, as an instruction.
        change: of its images.
        policy: how much of the source's statistics stays, and in which layers; with a weight of 1 all of them.
        odds: of the foreground that statistics are corrected for, as a multiple of the estimated ones; None takes the
            source's class proportions.
    """

    title: str
    change: InputChange = InputChange()
    policy: Policy = FULL_REPLACEMENT
    odds: float | None = None


NONE, ADAPTED, CORRECTED, INVERTED = "none", "adapted", "corrected", "inverted"
CANDIDATES: Mapping[str, Candidate] = {
    NONE: Candidate("do not adapt", policy=Policy(1.0)),
    ADAPTED: Candidate("adapt"),
    "mixed": Candidate("adapt by half", policy=Policy(0.5)),
    "mixed-less": Candidate("adapt by a quarter", policy=Policy(0.75)),
    "full-resolution": Candidate("adapt the levels of full resolution alone", policy=Policy(layers=FULL_RESOLUTION)),
    CORRECTED: Candidate("adapt for the estimated class proportions", odds=1.0),
    "corrected-less": Candidate("adapt for half of the estimated odds of foreground", odds=0.5),
    "corrected-more": Candidate("adapt for twice the estimated odds of foreground", odds=2.0),
    INVERTED: Candidate("invert the images and adapt", InputChange(inverted=True)),
    "inverted-corrected": Candidate(
        "invert the images and adapt for the estimated class proportions", InputChange(inverted=True), odds=1.0
    ),
    "finer": Candidate("enlarge the images and adapt", InputChange(zoom=1.5)),
    "coarser": Candidate("shrink the images and adapt", InputChange(zoom=1 / 1.5)),
}


def with_odds(proportions: Sequence[float], factor: float) -> list[float]:
    """Class proportions whose odds of foreground are multiplied; classes above 0 keep their ratios.

    Examples:
        >>> with_odds([0.5, 0.5], 3.0)
        [0.25, 0.75]
    """
    background, *others = proportions
    weights = [background, *(factor * each for each in others)]
    return [each / sum(weights) for each in weights]
