"""PNG and JPEG files: pixels as a viewer shows them, or the values of a mask."""

from pathlib import Path
from typing import Any

import numpy as np

from bnadapt.data.readers.files import reason
from bnadapt.data.readers.orientation import ORIENTATION, upright
from bnadapt.errors import InputError

BITS, COLOUR_TYPE = 24, 25  # where the header chunk, which every PNG file begins with, has them
FEW_BITS = {2: 85, 4: 17}  # what grey values of so many bits are multiplied by on reading


def read_png(path: Path, as_shown: bool) -> tuple[np.ndarray, str]:
    """The only image of a PNG file; see `read_tiff`."""
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
    return _as_seen(pixels, image)


def read_jpeg(path: Path, as_shown: bool) -> tuple[np.ndarray, str]:
    """The image of a JPEG file; no mask, whose classes JPEG would have mixed."""
    image = _decoded(path, "JPEG")
    if not as_shown:
        raise InputError(
            f"{path}: is a mask in JPEG, which changes values at edges; save masks as PNG or TIFF, from the original."
        )
    return _as_seen(np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB")), image)


def _as_seen(pixels: np.ndarray, image: Any) -> tuple[np.ndarray, str]:
    """Upright, without what tells how transparent a pixel is."""
    pixels = upright(pixels, image.getexif().get(ORIENTATION, 1))
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):  # the last sample says how transparent a pixel is
        pixels = pixels[..., :-1]
    return pixels, "YXS"[: pixels.ndim]


def _header(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(COLOUR_TYPE + 1)


def _decoded(path: Path, kind: str) -> Any:
    from PIL import Image

    try:
        image = Image.open(path, formats=[kind])
        image.load()
    except Exception as error:
        raise InputError(
            f"{path}: cannot be read as an image ({reason(error)}); copy it again from its origin or leave it out."
        ) from error
    if (count := getattr(image, "n_frames", 1)) > 1:
        raise InputError(f"{path}: holds {count} images; save the one that is meant as a file of its own.")
    return image
