"""What is done to images of a target alone, so that they resemble the source."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bnadapt.data.intensity import Scaling
from bnadapt.errors import InputError


@dataclass(frozen=True)
class TargetChange:
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

    def after(self, scaling: Scaling) -> Scaling:
        """A scaling of intensities, followed by the inversion."""
        if self.inverted_about is None:
            return scaling
        return lambda image: np.subtract(self.inverted_about, scaling(image), dtype=np.float32)

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)
