"""Example folders to try the commands on: `python -m bnadapt.data.example_folders example`."""

import sys
from pathlib import Path

import imageio.v3
import numpy as np
import tifffile

from bnadapt.data.synthetic import Synthetic
from bnadapt.errors import InputError

SOURCE, TARGET = 12, 16  # images
SIDE = 256  # pixels
TWELVE_BITS = 2**12 - 1


def main(folder: Path) -> None:
    """Write images in typical microscope formats, and masks; refuses a folder that exists.

    `source/images` and `source/masks` are 8-bit PNG files. `target/volume.tif` is a 16-bit stack that uses 12 bits,
    darker and with noise of a finer grain, as from another detector; `target/masks.tif` are its masks.
    """
    if folder.exists():
        raise InputError(f"{folder}: exists already; name a new folder.")
    common = {"size": SIDE, "object_size": 30}
    source = Synthetic(mean=(0.7, 0.3), std=(0.15, 0.15), correlation=2, images=SOURCE, seed=1, **common)
    target = Synthetic(mean=(0.5, 0.2), std=(0.15, 0.15), images=TARGET, seed=2, **common)
    images, masks = folder / "source" / "images", folder / "source" / "masks"
    for each in (images, masks):
        each.mkdir(parents=True)
    for number, section in enumerate(source.labelled()):
        imageio.v3.imwrite(images / f"{number:02}.png", _stored(section.read_image(), 255, np.uint8))
        imageio.v3.imwrite(masks / f"{number:02}.png", _mask(section.read_mask()))
    (folder / "target").mkdir()
    sections = target.labelled()
    stacks = {
        "volume.tif": [_stored(section.read_image(), TWELVE_BITS, np.uint16) for section in sections],
        "masks.tif": [_mask(section.read_mask()) for section in sections],
    }
    for name, stack in stacks.items():
        tifffile.imwrite(folder / "target" / name, np.stack(stack), imagej=True, metadata={"axes": "ZYX"})


def _stored(image: np.ndarray, greatest: int, dtype: type) -> np.ndarray:
    return np.rint(image.clip(0, 1) * greatest).astype(dtype)


def _mask(classes: np.ndarray) -> np.ndarray:
    return (255 * classes).astype(np.uint8)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "example"))
