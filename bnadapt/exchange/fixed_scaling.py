"""Scaling of a target's intensities by fixed numbers, independent of tiling."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bnadapt.data.intensity import IntensityName, IntensityRange
from bnadapt.errors import InputError


@dataclass(frozen=True)
class FixedScaling:
    """Linear map from pixels to a network's input: `gain * value + offset` by channel, between `low` and `high`."""

    gain: Sequence[float]
    offset: Sequence[float]
    low: float = -np.inf
    high: float = np.inf

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """(..., C, H, W) -> float32."""
        gain, offset = (np.asarray(each, np.float64)[:, None, None] for each in (self.gain, self.offset))
        return np.clip(gain * pixels + offset, self.low, self.high).astype(np.float32)

    @property
    def is_clipped(self) -> bool:
        """Whether results have bounds."""
        return bool(np.isfinite([self.low, self.high]).any())

    @property
    def is_identity(self) -> bool:
        """Whether the map is the identity."""
        return set(self.gain) == {1.0} and set(self.offset) == {0.0} and not self.is_clipped

    def inverted(self, about: float) -> "FixedScaling":
        """`about` minus the result."""
        gain, offset = [-each for each in self.gain], [about - each for each in self.offset]
        return FixedScaling(gain, offset, about - self.high, about - self.low)

    def of_values(self, unit: float) -> "FixedScaling":
        """The map for values scaled by a factor."""
        return replace(self, gain=[each / unit for each in self.gain])


def fixed(name: IntensityName, images: Sequence[np.ndarray], occupied: IntensityRange | None) -> FixedScaling:
    """A named scaling with fixed numbers of data-type scaled images (C, h, w); per-image numbers are averaged.

    `occupied` is the range of the domain, for `dataset`. Refuses `histogram`, which is not linear.
    """
    if name not in LINEAR:
        raise InputError(
            f"export: a model is scaled by fixed numbers, and --data.intensity {name} by a separate curve for every"
            " image; train with another scaling, such as zscore."
        )
    return LINEAR[name](images, occupied)


def _by_data_type(images: Sequence[np.ndarray], occupied: IntensityRange | None) -> FixedScaling:
    channels = len(images[0])
    return FixedScaling([1.0] * channels, [0.0] * channels)


def _by_data_set(images: Sequence[np.ndarray], occupied: IntensityRange) -> FixedScaling:
    low, high = np.asarray(occupied.low), np.asarray(occupied.high)
    width = _nonzero(high - low)
    return FixedScaling((2 / width).tolist(), (-2 * low / width - 1).tolist())


def _by_zscore(images: Sequence[np.ndarray], occupied: IntensityRange | None) -> FixedScaling:
    """Scaling by the mean of the images' means, and the root of the mean of their variances."""
    wide = [image.astype(np.float64) for image in images]
    mean = np.mean([image.mean((1, 2)) for image in wide], axis=0)
    spread = np.max([np.ptp(image, (1, 2)) for image in wide], axis=0)
    unit = _nonzero(spread)  # in which variances are neither too small nor too large for float64
    std = unit * np.sqrt(np.mean([(image / unit[:, None, None]).var((1, 2)) for image in wide], axis=0))
    std = np.where(spread > 0, std, 1)
    return FixedScaling((1 / std).tolist(), (-mean / std).tolist())


def _by_percentiles(images: Sequence[np.ndarray], occupied: IntensityRange | None) -> FixedScaling:
    """Scaling by the means of the images' percentiles."""
    ranges = [IntensityRange.of([image]) for image in images]
    low, high = (np.mean([getattr(one, end) for one in ranges], axis=0) for end in ("low", "high"))
    width = _nonzero(high - low)
    return FixedScaling((1 / width).tolist(), (-low / width).tolist(), 0.0, 1.0)


def _nonzero(widths: np.ndarray) -> np.ndarray:
    return np.where(widths > 0, widths, 1)


LINEAR: dict[IntensityName, Callable[..., FixedScaling]] = {
    "dtype": _by_data_type,
    "dataset": _by_data_set,
    "zscore": _by_zscore,
    "percentile": _by_percentiles,
}
