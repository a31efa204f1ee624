"""PNG and JPEG files."""

from pathlib import Path
from typing import Any

import numpy as np

from bnadapt.data.formats.base import ImageFormat, reason
from bnadapt.data.formats.display import ORIENTATION, mask_without_alpha, upright
from bnadapt.data.geometry import UNKNOWN, Geometry
from bnadapt.errors import InputError

BITS, COLOUR_TYPE = 24, 25  # positions in the header chunk at the start of every PNG file
FEW_BITS = {2: 85, 4: 17}  # factors by which grey values of few bits are multiplied on reading


class Png(ImageFormat):
    """Grey values, colours and colour maps, of 1 to 16 bits."""

    suffixes = (".png",)
    title = "PNG"
    integers = (1, 2)
    holds_floats = False
    states_size = False  # PNG states resolutions of printers

    def read(self, path: Path) -> tuple[np.ndarray, str]:
        image = _decoded(path, "PNG")
        pixels = _stored(path, image.convert("RGB") if image.mode == "P" else image)
        return _shown(pixels.astype(np.uint8) * 255 if pixels.dtype == bool else pixels, image)

    def read_mask(self, path: Path) -> tuple[np.ndarray, str]:
        image = _decoded(path, "PNG")
        pixels = _stored(path, image)
        bits, colour_type = _header(path)
        if colour_type == 0 and bits in FEW_BITS:
            pixels = pixels // FEW_BITS[bits]
        pixels = _upright(pixels, image)
        if _has_alpha(pixels):
            pixels = mask_without_alpha(pixels, 2, pixels.shape[2] - 1, path)
        return pixels, "YXS"[: pixels.ndim]

    def header(self, path: Path) -> tuple[int, Geometry]:
        return {2: 3, 3: 3, 6: 3}.get(_header(path)[1], 1), UNKNOWN

    def write(self, path: Path, image: np.ndarray, geometry: Geometry = UNKNOWN) -> None:
        import imageio.v3

        imageio.v3.imwrite(path, image)


class Jpeg(Png):
    """Grey values and colours. JPEG would corrupt the classes of masks, which are refused, and written as PNG."""

    suffixes = (".jpg", ".jpeg")
    title = "JPEG"
    written_as = ".png"

    def read(self, path: Path) -> tuple[np.ndarray, str]:
        image = _decoded(path, "JPEG")
        return _shown(np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB")), image)

    def read_mask(self, path: Path) -> tuple[np.ndarray, str]:
        raise InputError(
            f"{path}: is a mask in JPEG, which changes values at edges; save masks as PNG or TIFF, from the original."
        )

    def header(self, path: Path) -> tuple[int, Geometry]:
        from PIL import Image

        with Image.open(path, formats=["JPEG"]) as image:
            return 1 if image.mode == "L" else 3, UNKNOWN


def _shown(pixels: np.ndarray, image: Any) -> tuple[np.ndarray, str]:
    """Upright, without alpha; and the letters of the axes."""
    pixels = _upright(pixels, image)
    pixels = pixels[..., :-1] if _has_alpha(pixels) else pixels
    return pixels, "YXS"[: pixels.ndim]


def _upright(pixels: np.ndarray, image: Any) -> np.ndarray:
    return upright(pixels, image.getexif().get(ORIENTATION, 1))


def _has_alpha(pixels: np.ndarray) -> bool:
    return pixels.ndim == 3 and pixels.shape[2] in (2, 4)


def _header(path: Path) -> tuple[int, int]:
    """Bits per sample and colour type of a PNG file."""
    with path.open("rb") as file:
        return tuple(file.read(COLOUR_TYPE + 1)[BITS:])


def _stored(path: Path, image: Any) -> np.ndarray:
    """The pixels of a PNG file; PIL would cut several samples of 16 bits to 8."""
    bits, colour_type = _header(path)
    if bits == 16 and colour_type in (2, 4, 6):
        import imagecodecs

        return imagecodecs.png_decode(path.read_bytes())
    return np.asarray(image)


def _decoded(path: Path, kind: str) -> Any:
    from PIL import Image

    try:
        image = Image.open(path, formats=[kind])
        image.load()
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{path}: has more than the {2 * Image.MAX_IMAGE_PIXELS / 1e6:.0f} Mpixel that are read of {kind}; save it"
            " as TIFF, or in parts."
        ) from error
    except Exception as error:
        raise InputError(
            f"{path}: cannot be read as an image ({reason(error)}); copy it again from its origin or leave it out."
        ) from error
    if (count := getattr(image, "n_frames", 1)) > 1:
        raise InputError(f"{path}: holds {count} images; save the one to read as a separate file.")
    return image
