"""Write predicted masks and probabilities in the format of the images they belong to."""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from bnadapt.data.readers import HDF5_ENDINGS


class SectionWriter(ABC):
    """Takes the predictions of a domain's sections, in order, and writes them into a folder."""

    @abstractmethod
    def write(self, name: str, mask: np.ndarray, probability: np.ndarray) -> None:
        """Take one section.

        Args:
            name: the section's name, as the domain gave it.
            mask: (H, W) uint8, as it shall stand in the file.
            probability: (H, W) in the type of the input image, 0 to the type's greatest value
                (floating point: 0 to 1).
        """

    def close(self) -> None:  # noqa: B027  (most writers are done with each section)
        """Write what needs all sections at hand."""


class ImageFiles(SectionWriter):
    """`NAME_mask` and `NAME_probability` beside each other, in the ending of each image's name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, mask: np.ndarray, probability: np.ndarray) -> None:
        """Write both images at once; see `SectionWriter.write`."""
        stem, ending = Path(name).stem, Path(name).suffix.lower()
        if ending == ".png" and np.issubdtype(probability.dtype, np.floating):
            probability = stored_probability(probability, np.dtype(np.uint16))
        for kind, image in (("mask", mask), ("probability", probability)):
            write_image(self.folder / f"{stem}_{kind}{ending}", image)


class StackFile(SectionWriter):
    """`NAME_mask` and `NAME_probability`: two stacks in the format, and under the key, of the input."""

    def __init__(self, folder: Path, path: Path, key: str | None) -> None:
        self.folder = folder
        self.path = path
        self.key = key
        self.masks: list[np.ndarray] = []
        self.probabilities: list[np.ndarray] = []

    def write(self, name: str, mask: np.ndarray, probability: np.ndarray) -> None:
        """Keep the section until all are there; see `SectionWriter.write`."""
        self.masks.append(mask)
        self.probabilities.append(probability)

    def close(self) -> None:
        """Write both stacks."""
        for kind, sections in (("mask", self.masks), ("probability", self.probabilities)):
            path = self.folder / f"{self.path.stem}_{kind}{self.path.suffix}"
            _write_stack(path, np.stack(sections), self.key)


def write_image(path: Path, image: np.ndarray) -> None:
    """Write one image as PNG or TIFF, by the ending of `path`; PNG takes 8 and 16 bit only."""
    if path.suffix in (".tif", ".tiff"):
        import tifffile

        tifffile.imwrite(path, image, photometric="minisblack", compression="zlib")
    else:
        import imageio.v3

        imageio.v3.imwrite(path, image)


def stored_probability(probability: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Scale a probability in 0..1 to the full range of an integer type; float types keep 0..1."""
    if np.issubdtype(dtype, np.integer):
        return np.rint(probability * np.iinfo(dtype).max).astype(dtype)
    return probability.astype(dtype)


def _write_stack(path: Path, stack: np.ndarray, key: str | None) -> None:
    if path.suffix.lower() in HDF5_ENDINGS:
        import h5py

        with h5py.File(path, "w") as store:
            store.create_dataset(key, data=stack, compression="gzip")
    elif path.suffix.lower() in (".tif", ".tiff"):
        import tifffile

        tifffile.imwrite(path, stack, photometric="minisblack", compression="zlib")
    else:
        import zarr

        if key is None:
            zarr.save_array(path, stack)
        else:
            zarr.save_group(path, **{key: stack})
