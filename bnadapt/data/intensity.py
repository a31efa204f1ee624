"""Scale the intensities of an image before a network sees it, by a named choice."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from bnadapt.errors import InputError

IntensityName = Literal["dtype", "zscore", "percentile", "histogram"]

PERCENTILES = (0.5, 99.5)
REFERENCE_QUANTILES = 1024


def by_data_type(image: np.ndarray) -> np.ndarray:
    """Divide integers by their type's greatest value; floating point stays. (C, H, W) -> float32."""
    if np.issubdtype(image.dtype, np.integer):
        return (image / np.float32(np.iinfo(image.dtype).max)).astype(np.float32)
    return image.astype(np.float32)


def by_zscore(image: np.ndarray) -> np.ndarray:
    """Mean 0 and deviation 1 of every channel of this image. (C, H, W) -> float32."""
    wide = image.astype(np.float64)
    mean, deviation = wide.mean((1, 2), keepdims=True), wide.std((1, 2), keepdims=True)
    return ((wide - mean) / np.maximum(deviation, 1e-12)).astype(np.float32)


def by_percentiles(image: np.ndarray) -> np.ndarray:
    """The 0.5 and 99.5 percentile of every channel to 0 and 1, clipped. (C, H, W) -> float32."""
    low, high = np.percentile(image, PERCENTILES, axis=(1, 2), keepdims=True)
    return np.clip((image - low) / np.maximum(high - low, 1e-12), 0, 1).astype(np.float32)


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
    """Quantiles of all pixels of the source, data-type scaled: what `histogram` matches to.

    Args:
        images: (C, H, W) each, in the files' type.

    Returns:
        For every channel 1,024 quantiles, ascending.
    """
    pixels = np.concatenate([by_data_type(image).reshape(len(image), -1) for image in images], axis=1)
    return np.quantile(pixels, np.linspace(0, 1, REFERENCE_QUANTILES), axis=1).T.tolist()


def scaling(name: IntensityName, reference: Sequence[Sequence[float]] | None) -> Callable[[np.ndarray], np.ndarray]:
    """The scaling of that name; `histogram` needs the source's reference quantiles."""
    if name == "histogram":
        return lambda image: by_histogram(image, reference)
    return {"dtype": by_data_type, "zscore": by_zscore, "percentile": by_percentiles}[name]
