"""PNG and JPEG files."""

from pathlib import Path
from typing import Any

import numpy as np

from bnadapt.data.formats.base import ImageFormat, reason
from bnadapt.data.formats.shown import ORIENTATION, upright, without_alpha
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
    states_size = False  # resolutions of PNG are those of printers

    def read(self, path: Path, as_shown: bool) -> tuple[np.ndarray, str]:
        image = _decoded(path, "PNG")
        bits, colour_type = _header(path)[BITS], _header(path)[COLOUR_TYPE]
        if bits == 16 and colour_type in (2, 4, 6):  # several samples, which PIL cuts to 8 bits
            import imagecodecs

            pixels = imagecodecs.png_decode(path.read_bytes())
        elif as_shown and image.mode == "P":
            pixels = np.asarray(image.convert("RGB"))
        else:
            pixels = np.asarray(image)
        if as_shown and pixels.dtype == bool:
            pixels = pixels.astype(np.uint8) * 255
        if not as_shown and colour_type == 0 and bits in FEW_BITS:
            pixels = pixels // FEW_BITS[bits]
        return _as_seen(pixels, image, as_shown, path)

    def header(self, path: Path) -> tuple[int, Geometry]:
        return {2: 3, 3: 3, 6: 3}.get(_header(path)[COLOUR_TYPE], 1), UNKNOWN

    def write(self, path: Path, image: np.ndarray, geometry: Geometry = UNKNOWN) -> None:
        import imageio.v3

        imageio.v3.imwrite(path, image)


class Jpeg(Png):
    """Grey values and colours. Masks, whose classes JPEG would corrupt, are refused, and written as PNG."""

    suffixes = (".jpg", ".jpeg")
    title = "JPEG"
    written_as = ".png"

    def read(self, path: Path, as_shown: bool) -> tuple[np.ndarray, str]:
        image = _decoded(path, "JPEG")
        if not as_shown:
            raise InputError(
                f"{path}: is a mask in JPEG, which changes values at edges; save masks as PNG or TIFF, from the"
                " original."
            )
        pixels = np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
        return _as_seen(pixels, image, as_shown, path)

    def header(self, path: Path) -> tuple[int, Geometry]:
        from PIL import Image

        with Image.open(path, formats=["JPEG"]) as image:
            return 1 if image.mode == "L" else 3, UNKNOWN


def _as_seen(pixels: np.ndarray, image: Any, as_shown: bool, path: Path) -> tuple[np.ndarray, str]:
    """Upright, without alpha."""
    pixels = upright(pixels, image.getexif().get(ORIENTATION, 1))
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        pixels = without_alpha(pixels, 2, pixels.shape[2] - 1, as_shown, path)
    return pixels, "YXS"[: pixels.ndim]


def _header(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(COLOUR_TYPE + 1)


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
