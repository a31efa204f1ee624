"""Changes of a target's images that make them resemble the source."""

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
    """Inversion and magnification of images.

    Args:
        inverted_about: sum of an intensity and its inverse, after scaling: 0 for z-scores, 1 for intensities
            from 0 to 1. By default images are not inverted.
        zoom: magnification; predictions are resampled to the original size.

    Raises:
        InputError: the zoom is not above 0, or a number is not finite.
    """

    inverted_about: float | None = None
    zoom: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.zoom < math.inf:
            raise InputError(f"target_change: zoom is {self.zoom}; give a factor above 0.")
        if self.inverted_about is not None and not math.isfinite(self.inverted_about):
            raise InputError(
                f"target_change: inverted_about is {self.inverted_about}; give the sum of an intensity and its inverse."
            )

    def __bool__(self) -> bool:
        return self != InputChange()

    def after(self, scaling: Scaling) -> Scaling:
        """A scaling of intensities followed by the inversion."""
        if self.inverted_about is None:
            return scaling
        return lambda image: np.subtract(self.inverted_about, scaling(image), dtype=np.float32)

    def around(self, forward: Forward) -> Forward:
        """A network's forward on changed images (N, C, h, w); its logits (N, K, h, w) have the original size."""
        return (lambda images: self._run(forward, images)) if self else forward

    def state_dict(self) -> dict[str, Any]:
        """The settings as plain values."""
        return asdict(self)

    def _run(self, forward: Forward, images: Tensor) -> Tensor:
        size = images.shape[-2:]
        inverted = images if self.inverted_about is None else self.inverted_about - images
        if self.zoom == 1:
            return forward(inverted)
        resized = interpolate(inverted, [self._zoomed(side) for side in size], mode="bilinear", antialias=self.zoom < 1)
        return interpolate(forward(resized), size, mode="bilinear")

    def _zoomed(self, side: int) -> int:
        """The zoomed side, rounded to a multiple of the power of two, up to 32, that divides `side`."""
        step = math.gcd(side, POOLED)
        return max(1, round(self.zoom * side / step)) * step
