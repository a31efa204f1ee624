"""What is done to images of a target alone, so that they resemble the source."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn.functional import interpolate

from bnadapt.data.intensity import Scaling
from bnadapt.errors import InputError

POOLED = 32
Forward = Callable[[Tensor], Any]


@dataclass(frozen=True)
class InputChange:
    """Images with bright and dark exchanged, or enlarged.

    Args:
        inverted_about: sum of an intensity and of its inverted one, after scaling: 0 for z-scores, 1 for intensities
            from 0 to 1. By default images are not inverted.
        zoom: factor by which they are enlarged; predictions are brought back to their size.

    Raises:
        InputError: the factor is not above 0.
    """

    inverted_about: float | None = None
    zoom: float = 1.0

    def __post_init__(self) -> None:
        if not self.zoom > 0:
            raise InputError(f"target_change: zoom is {self.zoom}; give a factor above 0.")

    def __bool__(self) -> bool:
        return self != InputChange()

    def after(self, scaling: Scaling) -> Scaling:
        """A scaling of intensities, followed by the inversion."""
        if self.inverted_about is None:
            return scaling
        return lambda image: np.subtract(self.inverted_about, scaling(image), dtype=np.float32)

    def around(self, forward: Forward) -> Forward:
        """A network's forward on changed images (N, C, h, w); its logits (N, K, h, w) have the images' size."""
        return (lambda images: self._run(forward, images)) if self else forward

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def _run(self, forward: Forward, images: Tensor) -> Tensor:
        size = images.shape[-2:]
        changed = images if self.inverted_about is None else self.inverted_about - images
        if self.zoom == 1:
            return forward(changed)
        resized = interpolate(changed, [self._zoomed(side) for side in size], mode="bilinear", antialias=self.zoom < 1)
        return interpolate(forward(resized), size, mode="bilinear")

    def _zoomed(self, side: int) -> int:
        """Divisible by the power of two, up to 32, that the side is divisible by, for networks that halve it."""
        step = math.gcd(side, POOLED)
        return max(1, round(self.zoom * side / step)) * step
