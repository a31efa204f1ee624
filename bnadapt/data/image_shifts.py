"""Image shifts: named transformations of increasing severity that mimic differences between data sets.

A shift maps an image (H, W, C) float32 in 0..1, and its mask, to others; severity 0 changes nothing. albumentations
implements those that it has.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnadapt.errors import InputError

Transformation = Callable[[np.ndarray, np.ndarray | None, float, int], tuple[np.ndarray, np.ndarray | None]]


@dataclass(frozen=True)
class Shift:
    """A transformation of images.

    Attributes:
        transform: image, mask or None, severity and seed -> image and mask.
        unit: unit of the severity.
        severities: five increasing severities, from slight to strong.
        needs_colour: whether it takes three channels.
        averages_sections: whether a section is first averaged with `severity` neighbours on either side.
    """

    transform: Transformation
    unit: str
    severities: tuple[float, ...]
    needs_colour: bool = False
    averages_sections: bool = False


def _by_albumentations(make: Callable[[Any, float], Any]) -> Transformation:
    """A transformation by albumentations, built by `make` from the module and a severity."""

    def transformation(
        image: np.ndarray, mask: np.ndarray | None, severity: float, seed: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        import albumentations

        transform = albumentations.Compose([make(albumentations, severity)])
        transform.set_random_seed(seed)
        if mask is None:
            return transform(image=image)["image"], None
        both = transform(image=image, mask=mask)
        return both["image"], both["mask"].astype(mask.dtype)

    return transformation


def _of_image(transform: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]) -> Transformation:
    """A transformation that leaves the mask unchanged."""
    return lambda image, mask, severity, seed: (transform(image, severity, np.random.default_rng(seed)), mask)


def _smoothed(field: np.ndarray, sigmas: tuple[float, float]) -> np.ndarray:
    """A periodic field (H, W) under a Gaussian filter; by Fourier transform, as filters here are as wide as images."""
    from scipy.fft import irfft2, rfft2
    from scipy.ndimage import fourier_gaussian

    return irfft2(fourier_gaussian(rfft2(field), sigmas, n=field.shape[1]), s=field.shape)


def charging(image: np.ndarray, severity: float, generator: np.random.Generator) -> np.ndarray:
    """Bright patches with streaks along the scan direction, as an insulating sample shows by charging.

    Severity is the largest gain in brightness.
    """
    height, width = image.shape[:2]
    patches = _smoothed(generator.standard_normal((height, width)), (height / 12, height / 12))
    patches = np.clip((patches - np.quantile(patches, 0.7)) / np.ptp(patches) * 2, 0, None)
    streaks = _smoothed(patches, (0.5, width / 8))
    glow = patches + streaks
    return image + severity * (glow / glow.max())[..., np.newaxis]


def curtaining(image: np.ndarray, severity: float, generator: np.random.Generator) -> np.ndarray:
    """Vertical stripes, as in ion-beam curtaining; severity is their standard deviation."""
    height, width = image.shape[:2]
    stripes = _smoothed(generator.standard_normal((height, width)), (height / 4, 0.7))
    return image + severity * (stripes / stripes.std())[..., np.newaxis]


def illumination(image: np.ndarray, severity: float, generator: np.random.Generator) -> np.ndarray:
    """A brightness ramp across the image in a random direction; severity is its height from end to end."""
    angle = generator.uniform(0, 2 * np.pi)
    rows, columns = (np.linspace(-0.5, 0.5, side) for side in image.shape[:2])
    ramp = np.add.outer(np.sin(angle) * rows, np.cos(angle) * columns)
    return image + severity * (ramp / np.ptp(ramp))[..., np.newaxis]


def contrast(image: np.ndarray, severity: float, generator: np.random.Generator) -> np.ndarray:
    """Lower contrast: differences from the image's mean, reduced by a fraction `severity`."""
    return image.mean() + (1 - severity) * (image - image.mean())


def poisson(image: np.ndarray, severity: float, generator: np.random.Generator) -> np.ndarray:
    """Poisson noise at 1 / severity^2 electrons per pixel of full brightness, where severity is its deviation."""
    electrons = severity**-2
    return generator.poisson(image * electrons) / electrons


def crop(
    image: np.ndarray, mask: np.ndarray | None, severity: float, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """The centre of the image, with sides shorter by a fraction `severity`, enlarged to the original size."""
    return _scaled(image, mask, 1 / (1 - severity))


def scale(
    image: np.ndarray, mask: np.ndarray | None, severity: float, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Smaller structures: the image shrunk by a factor of 1 - severity, and mirrored at its borders."""
    return _scaled(image, mask, 1 - severity)


def _scaled(image: np.ndarray, mask: np.ndarray | None, factor: float) -> tuple[np.ndarray, np.ndarray | None]:
    return _by_albumentations(
        lambda module, _: module.Affine(scale=(factor, factor), border_mode=MIRROR, mask_interpolation=0, p=1)
    )(image, mask, 0.0, 0)


MIRROR = 4  # OpenCV's BORDER_REFLECT_101

SHIFTS: dict[str, Shift] = {
    "brightness": Shift(_of_image(lambda image, by, _: image + by), "added", (0.05, 0.1, 0.2, 0.3, 0.4)),
    "darkness": Shift(_of_image(lambda image, by, _: image - by), "taken away", (0.05, 0.1, 0.2, 0.3, 0.4)),
    "contrast": Shift(_of_image(contrast), "share of contrast lost", (0.2, 0.4, 0.6, 0.75, 0.9)),
    "gamma": Shift(_of_image(lambda image, by, _: image ** (1 + by)), "exponent - 1", (0.25, 0.5, 1.0, 2.0, 3.0)),
    "inversion": Shift(
        _of_image(lambda image, by, _: (1 - by) * image + by * (1 - image)), "share", (0.2, 0.4, 0.6, 0.8, 1.0)
    ),
    "hue": Shift(
        _by_albumentations(lambda module, by: module.HueSaturationValue((by, by), (0, 0), (0, 0), p=1)),
        "degrees / 2",
        (10, 20, 40, 60, 90),
        needs_colour=True,
    ),
    "saturation": Shift(
        _by_albumentations(lambda module, by: module.HueSaturationValue((0, 0), (-by, -by), (0, 0), p=1)),
        "of 255, taken away",
        (25, 50, 100, 150, 255),
        needs_colour=True,
    ),
    "blur": Shift(
        _by_albumentations(lambda module, by: module.GaussianBlur(0, (by, by), p=1)),
        "sigma in pixels",
        (0.5, 1.0, 1.5, 2.5, 4.0),
    ),
    "defocus": Shift(
        _by_albumentations(lambda module, by: module.Defocus((int(by), int(by)), (0.1, 0.1), p=1)),
        "radius in pixels",
        (1, 2, 3, 5, 8),
    ),
    "white noise": Shift(
        _of_image(lambda image, by, generator: image + by * generator.standard_normal(image.shape)),
        "standard deviation",
        (0.03, 0.06, 0.12, 0.2, 0.3),
    ),
    "poisson noise": Shift(_of_image(poisson), "standard deviation at full brightness", (0.05, 0.1, 0.2, 0.3, 0.5)),
    "crop": Shift(crop, "share of the side cut away", (0.1, 0.2, 0.35, 0.5, 0.65)),
    "scale": Shift(scale, "share of the size lost", (0.1, 0.2, 0.35, 0.5, 0.65)),
    "rotation": Shift(
        _by_albumentations(lambda module, by: module.Affine(rotate=(by, by), border_mode=MIRROR, p=1)),
        "degrees",
        (5, 15, 30, 45, 90),
    ),
    "shear": Shift(
        _by_albumentations(
            lambda module, by: module.Affine(shear={"x": (by, by), "y": (0, 0)}, border_mode=MIRROR, p=1)
        ),
        "degrees",
        (5, 10, 20, 30, 40),
    ),
    "elastic": Shift(
        _by_albumentations(lambda module, by: module.ElasticTransform(by, 8, border_mode=MIRROR, p=1)),
        "alpha, at sigma 8 pixels",
        (10, 25, 50, 100, 200),
    ),
    "charging": Shift(_of_image(charging), "brightness at most added", (0.1, 0.25, 0.5, 0.75, 1.0)),
    "curtaining": Shift(_of_image(curtaining), "standard deviation", (0.02, 0.05, 0.1, 0.15, 0.2)),
    "illumination": Shift(_of_image(illumination), "ramp from end to end", (0.1, 0.2, 0.4, 0.6, 0.8)),
    "thickness": Shift(
        _of_image(lambda image, by, _: image),
        "neighbouring sections on either side",
        (1, 2, 3, 4, 5),
        averages_sections=True,
    ),
    "jpeg": Shift(
        _by_albumentations(lambda module, by: module.ImageCompression("jpeg", (100 - int(by),) * 2, p=1)),
        "100 - quality",
        (20, 50, 70, 85, 95),
    ),
}


def shifted(
    image: np.ndarray, mask: np.ndarray | None, name: str, severity: float, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """An image (H, W) or (H, W, C) float32, clipped to 0..1 before and after, and its mask (H, W) under a shift.

    Args:
        image: the image.
        mask: class indices, or None.
        name: name of the shift, see `SHIFTS`.
        severity: strength of the shift; 0 changes nothing.
        seed: seed of its randomness.

    Raises:
        InputError: the shift does not exist, or needs another number of channels.
    """
    shift = named_shift(name)
    if shift.needs_colour and image.shape[2:] != (3,):
        raise InputError(f"shift {name}: needs three channels, the image has {image.shape[2:] or 1}; leave it out.")
    clipped = np.clip(image, 0, 1).astype(np.float32)
    if severity == 0:
        return clipped, mask
    deep = clipped if clipped.ndim == 3 else clipped[..., np.newaxis]
    transformed, mask = shift.transform(deep, mask, severity, seed)
    return np.clip(transformed, 0, 1).astype(np.float32).reshape(image.shape), mask


def named_shift(name: str) -> Shift:
    """The shift of that name; refuses unknown names."""
    if name not in SHIFTS:
        raise InputError(f"unknown shift {name!r}; take one of {', '.join(SHIFTS)}.")
    return SHIFTS[name]
