"""Random augmentation of training crops, by albumentations: geometry, intensity, noise and sharpness."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from bnadapt.errors import InputError

if TYPE_CHECKING:
    import albumentations

AugmentationName = Literal["flips", "moderate", "strong"]

HALF_SPAN = 4.0  # standard deviations around the mean that pixel transforms see as 0 to 1
LEAST_CROP = 12  # pixels a side, below which elastic deformation and blur do not fit into a crop
REFLECT = 4  # OpenCV's BORDER_REFLECT_101


@dataclass(frozen=True)
class Strength:
    """Parameters of an augmentation, beyond rotations by 90 degrees and flips, which always apply.

    Attributes:
        zoom: greatest factor of size, either way.
        elastic: standard deviation of local displacements, in pixels.
        gamma: greatest exponent; the least is its inverse.
        contrast: greatest factor of contrast, either way.
        brightness: greatest shift, in standard deviations of the crop.
        illumination: greatest shift at either end of a brightness ramp, in standard deviations.
        noise: greatest standard deviation of white noise, in those of the crop.
        blur: range of sigma of a Gaussian filter, in pixels.
    """

    zoom: float
    elastic: float
    gamma: float
    contrast: float
    brightness: float
    illumination: float
    noise: float
    blur: tuple[float, float] = (0.4, 1.2)


STRENGTHS: dict[str, Strength | None] = {
    "flips": None,
    "moderate": Strength(1.26, 1.5, 1.4, 1.26, 0.25, 0.2, 0.25),
    "strong": Strength(1.6, 3.0, 2.0, 1.6, 0.5, 0.4, 0.5, (0.4, 2.0)),
}


class CropAugmentation:
    """Changes an image and its mask at random, as a function of the seed alone.

    Pixel transforms of albumentations clip floating point to 0 to 1, so four standard deviations on either side of the
    crop's mean are mapped there and back, and what lies beyond is clipped. They change the shape of the distribution;
    its mean and standard deviation are then changed by `brightness` and `contrast` alone. `margin` is the number of
    pixels around a crop that rotated and shrunk crops include.

    Raises:
        InputError: the crops are too small.
    """

    def __init__(self, name: AugmentationName, crop_size: int) -> None:
        strength = STRENGTHS[name]
        if strength and crop_size < LEAST_CROP:
            raise InputError(
                f"crops of {crop_size} pixels a side are too small for the augmentation {name}; give crops or tiles of"
                f" at least {LEAST_CROP} pixels (--data.crop_size, --data.tile_size), or the augmentation flips."
            )
        self.crop_size = crop_size
        self.margin = crop_size // 4 if strength else 0
        self.geometry = _geometry(strength, crop_size)
        self.intensity = _intensity(strength) if strength else None
        self.strength = strength

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Change an image (h, w, C) float32 and its mask (h, w) uint8 or None, of `crop_size` + 2 `margin` pixels.

        Both come out with `crop_size` pixels a side; the mask keeps its values.
        """
        self.geometry.set_random_seed(seed)
        cut = self.geometry(image=image, **({} if mask is None else {"mask": mask}))
        image = cut["image"].reshape(self.crop_size, self.crop_size, -1)
        return self._with_other_intensities(image, seed), cut.get("mask")

    def _with_other_intensities(self, image: np.ndarray, seed: int) -> np.ndarray:
        if self.strength is None:
            return image
        self.intensity.set_random_seed(seed)
        generator = np.random.default_rng(seed)
        contrast = self.strength.contrast ** generator.uniform(-1, 1)
        shift = self.strength.brightness * generator.uniform(-1, 1)
        mean, std = image.mean((0, 1)), image.std((0, 1))
        unit = np.clip(0.5 + standardised(image) / (2 * HALF_SPAN), 0, 1)
        transformed = self.intensity(image=unit)["image"].reshape(image.shape)
        return (mean + std * (contrast * standardised(transformed) + shift)).astype(np.float32)


def standardised(image: np.ndarray) -> np.ndarray:
    """Every channel of (h, w, C) scaled to mean 0 and standard deviation 1; constant channels are 0."""
    deviations = image - image.mean((0, 1))
    return deviations / np.maximum(deviations.std((0, 1)), 1e-6)


def _geometry(strength: Strength | None, crop_size: int) -> "albumentations.Compose":
    module = _albumentations()
    changes = [module.D4(p=1)]
    if strength:
        zoom = (1 / strength.zoom, strength.zoom)
        sigma = crop_size / 12
        alpha = strength.elastic * 2 * np.sqrt(np.pi) * sigma * np.sqrt(3)  # for uniform noise under a Gaussian filter
        changes += [
            module.Affine(
                scale=zoom, balanced_scale=True, keep_ratio=True, rotate=(-45, 45), border_mode=REFLECT, p=0.7
            ),
            module.ElasticTransform(alpha=alpha, sigma=sigma, border_mode=REFLECT, p=0.3),
        ]
    return module.Compose([*changes, module.CenterCrop(crop_size, crop_size)])


def _intensity(strength: Strength) -> "albumentations.Compose":
    module = _albumentations()
    low, high = round(100 / strength.gamma), round(100 * strength.gamma)
    ramp = strength.illumination / HALF_SPAN
    sharpness = [module.GaussianBlur(0, strength.blur, p=1), module.UnsharpMask(p=1)]
    return module.Compose(
        [
            module.RandomGamma((low, high), p=0.5),
            module.Illumination(intensity_range=(min(0.01, ramp), ramp), p=0.5),
            module.OneOf(sharpness, p=0.25),
            module.GaussNoise((0, strength.noise / (2 * HALF_SPAN)), p=0.5),
        ]
    )


def _albumentations():  # noqa: ANN202
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    return albumentations
