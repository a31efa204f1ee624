"""Synthetic images: shapes filled with noise of one mean, on a background of another."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Literal

import numpy as np

from bnadapt.data.domain import Domain, Section
from bnadapt.errors import InputError

Shapes = Literal["blobs", "ellipses", "cells"]
CACHED_IMAGES = 64


class Synthetic(Domain):
    """Images generated from a seed: a random mask, and noise with the mean and standard deviation of each class.

    Args:
        shapes: `blobs` (thresholded smooth noise), `ellipses`, or `cells` (membranes between cells).
        foreground: fraction of foreground pixels, in every image.
        mean: mean of foreground and background.
        std: standard deviation of the noise in foreground and background.
        correlation: standard deviation in pixels of the Gaussian that the noise is smoothed with;
            0 leaves it white. The noise keeps its `std`.
        object_size: size of blobs, ellipses and cells in pixels.
        size: side of an image, or height and width, in pixels.
        images: number of images.
        seed: image i is a function of seed and i alone.
        split: parts of the images for training, validation and test.
        label: name of the domain in tables and tags.

    Raises:
        InputError: a fraction outside 0..1, a size below 1 or a negative standard deviation.
    """

    def __init__(
        self,
        shapes: Shapes = "blobs",
        foreground: float = 0.3,
        mean: tuple[float, float] = (0.7, 0.3),
        std: tuple[float, float] = (0.1, 0.1),
        correlation: float = 0.0,
        object_size: float = 24.0,
        size: int | tuple[int, int] = 256,
        images: int = 40,
        seed: int = 0,
        split: Sequence[float] = (0.6, 0.2, 0.2),
        label: str = "synthetic",
    ) -> None:
        super().__init__(split, gap=0)
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        _check(
            (0 < foreground < 1, f"foreground is {foreground}; give a fraction between 0 and 1"),
            (all(0 <= each < np.inf for each in std), f"std is {list(std)}; give standard deviations of at least 0"),
            (min(*self.size, images) >= 1, f"size is {size}, images is {images}; give at least 1"),
            (object_size > 0 and correlation >= 0, "object_size must be above 0, correlation not below 0"),
        )
        self.shapes = shapes
        self.foreground = foreground
        self.mean = tuple(mean)
        self.std = tuple(std)
        self.correlation = correlation
        self.object_size = object_size
        self.images = images
        self.seed = seed
        self.name = label

    def labelled(self) -> list[Section]:
        """All images; each has its mask."""
        return [
            Section(f"{self.name}-{index:04d}.png", partial(self.image, index), partial(self._mask, index))
            for index in range(self.images)
        ]

    def image(self, index: int) -> np.ndarray:
        """Image number `index`, (H, W) float32."""
        noise = _noise(self.seed, index, self.size, self.correlation)
        mask = self._mask(index)
        mean, std = np.take(self.mean, 1 - mask), np.take(self.std, 1 - mask)
        return (mean + std * noise).astype(np.float32)

    def _mask(self, index: int) -> np.ndarray:
        """Mask number `index`, (H, W) uint8 of 0 and 1, with the requested foreground fraction."""
        height = _relief(self.shapes, self.seed, index, self.size, self.object_size)
        return (height > np.quantile(height, 1 - self.foreground)).astype(np.uint8)


# domains of one seed share masks and noise, whatever their means, so many of them cost as much as one


@lru_cache(CACHED_IMAGES)
def _noise(seed: int, index: int, size: tuple[int, int], correlation: float) -> np.ndarray:
    """Noise of standard deviation 1, smoothed to its correlation length."""
    noise = np.random.default_rng([seed, index, 1]).standard_normal(size)
    return standardised(smoothed(noise, correlation)) if correlation else noise


@lru_cache(CACHED_IMAGES)
def _relief(shapes: Shapes, seed: int, index: int, size: tuple[int, int], object_size: float) -> np.ndarray:
    """A height map; its upper part is the foreground."""
    return RELIEFS[shapes](np.random.default_rng([seed, index, 0]), size, object_size)


def smoothed(image: np.ndarray, sigma: float) -> np.ndarray:
    """Periodic Gaussian smoothing, so that borders look like the centre."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(image, sigma, mode="wrap")


def standardised(image: np.ndarray) -> np.ndarray:
    """The field scaled to mean 0 and standard deviation 1."""
    return (image - image.mean()) / image.std()


def blobs(generator: np.random.Generator, size: tuple[int, int], object_size: float) -> np.ndarray:
    """A smooth random field; its upper part is blobs of about `object_size`."""
    return smoothed(generator.standard_normal(size), object_size / 4)


def ellipses(generator: np.random.Generator, size: tuple[int, int], object_size: float) -> np.ndarray:
    """The maximum of elliptic cones at random positions; its upper part is ellipses."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    height = np.full(size, -np.inf)
    for _ in range(max(4, round(size[0] * size[1] / object_size**2))):
        centre = generator.uniform((0, 0), size)
        angle = generator.uniform(0, np.pi)
        axes = object_size * generator.uniform(0.35, 0.75, 2)
        down, right = rows - centre[0], columns - centre[1]
        along = (right * np.cos(angle) + down * np.sin(angle)) / axes[0]
        across = (down * np.cos(angle) - right * np.sin(angle)) / axes[1]
        height = np.maximum(height, -(along**2 + across**2))
    return height


def cells(generator: np.random.Generator, size: tuple[int, int], object_size: float) -> np.ndarray:
    """Proximity to the borders of random Voronoi cells; its upper part is membranes."""
    from scipy.spatial import cKDTree

    count = max(4, round(size[0] * size[1] / object_size**2))
    centres = generator.uniform(-object_size, np.add(size, object_size), (count, 2))
    grid = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=-1).astype(float)
    bend = [smoothed(generator.standard_normal(size), object_size / 2) for _ in range(2)]
    grid += 0.15 * object_size * np.stack([standardised(each) for each in bend], axis=-1)
    nearest = cKDTree(centres).query(grid.reshape(-1, 2), k=2)[0]
    return (nearest[:, 0] - nearest[:, 1]).reshape(size)


RELIEFS: dict[str, Callable[[np.random.Generator, tuple[int, int], float], np.ndarray]] = {
    "blobs": blobs,
    "ellipses": ellipses,
    "cells": cells,
}


def _check(*rules: tuple[bool, str]) -> None:
    for holds, sentence in rules:
        if not holds:
            raise InputError(f"synthetic images: {sentence}.")
