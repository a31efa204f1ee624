"""Named scalings of a network's input intensities."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from bnadapt.errors import InputError

IntensityName = Literal["dataset", "dtype", "zscore", "percentile", "histogram"]
Scaling = Callable[[np.ndarray], np.ndarray]

PERCENTILES = (0.5, 99.5)
REFERENCE_QUANTILES = 1024
ALIKE = 0.25  # share of a range's width by which its ends may differ from another's


@dataclass(frozen=True)
class IntensityRange:
    """The range of intensities of a domain, in units of its data type's range.

    Attributes:
        low: 0.5th percentile of the pixels of many tiles, by channel.
        high: 99.5th percentile, by channel.
    """

    low: Sequence[float]
    high: Sequence[float]

    @classmethod
    def of(cls, images: Sequence[np.ndarray]) -> "IntensityRange":
        """The range of images (C, h, w), data-type scaled; minimum to maximum if the percentiles are equal."""
        pixels = np.concatenate([image.reshape(len(image), -1) for image in images], axis=1).astype(np.float64)
        low, high = percentiles(pixels)
        low, high = (
            np.where(low < high, inner, outer) for inner, outer in ((low, pixels.min(1)), (high, pixels.max(1)))
        )
        return cls(low.tolist(), high.tolist())

    def state_dict(self) -> dict[str, list[float]]:
        """The range as plain types."""
        return asdict(self)

    def like(self, other: "IntensityRange") -> bool:
        """Whether both ranges have equally many channels and similar ends."""
        if len(self.low) != len(other.low):
            return False
        ends, other_ends = (np.stack([each.low, each.high]) for each in (self, other))
        return bool((np.abs(ends - other_ends) <= ALIKE * (other_ends[1] - other_ends[0])).all())

    def __str__(self) -> str:
        ends = (f"{low:.4g} to {high:.4g}" for low, high in zip(self.low, self.high, strict=True))
        return ", ".join(ends)


def by_data_type(image: np.ndarray) -> np.ndarray:
    """Divide integers by their type's greatest value; floating point stays. (C, H, W) -> float32 or float64."""
    if image.dtype.kind in "iu":
        image = image / np.float32(np.iinfo(image.dtype).max)
    return image.astype(np.promote_types(image.dtype, np.float32).newbyteorder("="), copy=False)


def by_data_set(image: np.ndarray, occupied: IntensityRange) -> np.ndarray:
    """Map the range of the data set to -1..1, the same way in every image, unclipped. (C, H, W) -> float32."""
    if len(image) != len(occupied.low):
        raise InputError(f"an image has {len(image)} channels, the others {len(occupied.low)}; convert it.")
    low, high = (np.asarray(ends)[:, None, None] for ends in (occupied.low, occupied.high))
    return (2 * _share(image, low, high, 1.0) - 1).astype(np.float32)


def by_zscore(image: np.ndarray) -> np.ndarray:
    """Scale every channel of the image to mean 0 and standard deviation 1. (C, H, W) -> float32."""
    wide = image / _largest(image)
    is_flat = wide.max((1, 2), keepdims=True) == wide.min((1, 2), keepdims=True)
    wide -= np.where(is_flat, wide[:, :1, :1], wide.mean((1, 2), keepdims=True))
    return (wide / np.where(is_flat, 1, wide.std((1, 2), keepdims=True))).astype(np.float32)


def by_percentiles(image: np.ndarray) -> np.ndarray:
    """Map the 0.5 and 99.5 percentile of every channel to 0 and 1, clipped. (C, H, W) -> float32."""
    low, high = (end[:, None, None] for end in percentiles(image.reshape(len(image), -1)))
    return np.clip(_share(image, low, high, np.finfo(np.float64).tiny), 0, 1).astype(np.float32)


def percentiles(pixels: np.ndarray) -> np.ndarray:
    """The 0.5 and 99.5 percentile of every channel. (C, n) -> (2, C) float64."""
    largest = _largest(pixels)
    return np.percentile(pixels / largest, PERCENTILES, axis=1) * largest[..., 0]


def _share(image: np.ndarray, low: np.ndarray, high: np.ndarray, least: float) -> np.ndarray:
    """Relative position of pixels (C, H, W) between the ends (C, 1, 1) of a range, float64, safe at any magnitude.

    `least` is the least width of a range, relative to the larger magnitude of its ends.
    """
    unit = _largest(np.concatenate([low, high], axis=2))
    width = np.where(high > low, high / unit - low / unit, least)
    with np.errstate(over="ignore"):
        return (image / unit - low / unit) / width


def _largest(pixels: np.ndarray) -> np.ndarray:
    """The largest magnitude of every channel, 1 if all are 0, in float64: quotients by it can be squared."""
    axes = tuple(range(1, pixels.ndim))
    largest = np.maximum(pixels.max(axes, keepdims=True), -pixels.min(axes, keepdims=True)).astype(np.float64)
    return np.where(largest > 0, largest, 1)


def by_histogram(image: np.ndarray, reference: Sequence[Sequence[float]]) -> np.ndarray:
    """Match every channel's histogram to the reference quantiles. (C, H, W) -> float32."""
    from skimage.exposure import match_histograms

    if len(image) != len(reference):
        raise InputError(
            f"histogram: an image has {len(image)} channels, the source {len(reference)}; convert it, or take another"
            " --data.intensity."
        )

    matched = [
        match_histograms(channel, np.asarray(quantiles)[np.newaxis])
        for channel, quantiles in zip(image, reference, strict=True)
    ]
    return np.stack(matched).astype(np.float32)


def reference_quantiles(images: Sequence[np.ndarray]) -> list[list[float]]:
    """1,024 ascending quantiles per channel of all pixels (data-type scaled) of images (C, H, W): for `histogram`."""
    pixels = np.concatenate([by_data_type(image).reshape(len(image), -1) for image in images], axis=1)
    return np.quantile(pixels, np.linspace(0, 1, REFERENCE_QUANTILES), axis=1).T.tolist()
