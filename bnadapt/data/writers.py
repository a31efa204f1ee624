"""Write predicted masks and probabilities in the format of the images they belong to."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock

from bnadapt.data.ome_zarr_writer import OmeZarrWriter, Reduction, majority, mean
from bnadapt.data.planes import ACROSS, Plane
from bnadapt.data.readers.stacks import MRC_EXTENSIONS, open_masks
from bnadapt.data.readers.tiff import TIFF_EXTENSIONS
from bnadapt.data.stack_writers import StackWriter, open_for_writing, open_zarr_for_writing
from bnadapt.data.voxel import UNKNOWN, Voxel

KINDS = ("mask", "probability")
REDUCTIONS = (majority, mean)
LOCK = ".lock"  # of those who make a store


class SectionWriter(ABC):
    """Takes the predictions of a domain's sections, and writes them into a folder.

    They come in any order, and may come from several processes, of which each has a writer of its own. What is in the
    folder already of an earlier process stays. When all have come, one process closes its writer.
    """

    def begin(self, count: int, provenance: Mapping[str, str] | None = None) -> None:  # noqa: B027  (most need not know)
        """Say how many sections there will be, and what they come from."""

    @abstractmethod
    def write(self, index: int, name: str, mask: np.ndarray, probability: np.ndarray) -> None:
        """Take one section.

        Args:
            index: of the section in the domain.
            name: the section's name, as the domain gave it.
            mask: (H, W) uint8, as it shall stand in the file.
            probability: (H, W), as `stored_probability` gives it.

        Raises:
            OSError: it cannot be written.
        """

    @abstractmethod
    def paths(self, names: Sequence[str]) -> list[Path]:
        """The files that sections of these names are written to."""

    def close(self) -> None:  # noqa: B027  (most writers are done with each section)
        """Write what needs all sections together."""


class ImageFiles(SectionWriter):
    """`NAME_mask` and `NAME_probability` beside each other, with the extension of each image's name; PNG for JPEG."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, index: int, name: str, mask: np.ndarray, probability: np.ndarray) -> None:
        """Write both images at once; see `SectionWriter.write`."""
        paths = self.paths([name])
        if paths[0].suffix == ".png" and np.issubdtype(probability.dtype, np.floating):
            probability = stored_probability(probability, np.dtype(np.uint16))
        for path, image in zip(paths, (mask, probability), strict=True):
            write_image(path, image)

    def paths(self, names: Sequence[str]) -> list[Path]:
        """Two for every name."""
        return [self.folder / f"{_stem(name)}_{kind}{_exact(name)}" for name in names for kind in KINDS]


class StackFile(SectionWriter):
    """`NAME_mask` and `NAME_probability`: two stacks in the format, and under the key, of the input.

    Zarr takes sections in any order, and a process that is killed breaks none of them. For other formats, and in other
    planes than xy, they wait in a hidden Zarr store, of which the files are written section by section at the end.

    Args:
        folder: to write into.
        path: of the input.
        key: of the input's array.
        voxel: its sides, which the outputs state where their format has a place for them.
        is_ome_zarr: whether the input is an OME-Zarr image, and so are the outputs then.
        plane: in which the sections lie that are written; stacks have the axes of the input.
    """

    def __init__(
        self,
        folder: Path,
        path: Path,
        key: str | None,
        voxel: Voxel = UNKNOWN,
        is_ome_zarr: bool = False,
        plane: Plane = "xy",
    ) -> None:
        self.folder = folder
        self.path = path
        self.key = key
        self.voxel = voxel
        self.is_ome_zarr = is_ome_zarr
        self.plane = plane
        self.count = 0
        self.provenance: Mapping[str, str] = {}
        self._stacks: list[StackWriter] = []

    def begin(self, count: int, provenance: Mapping[str, str] | None = None) -> None:
        """Stacks have as many sections as there will be; OME-Zarr tells what they come from."""
        self.count, self.provenance = count, provenance or {}

    def write(self, index: int, name: str, mask: np.ndarray, probability: np.ndarray) -> None:
        """Write a section into both stacks; see `SectionWriter.write`."""
        if self.path.suffix.lower() in MRC_EXTENSIONS and probability.dtype == np.uint8:
            probability = probability * np.uint16(257)  # MRC has no unsigned bytes, and 65,535 is 1 of its 16 bits
        images = (mask, probability)
        if not self._stacks:
            with FileLock(self.folder / LOCK):
                self._stacks = [
                    self._opened(path, _volume(self.plane, self.count, image), image.dtype, reduce)
                    for path, image, reduce in zip(self.paths([]), images, REDUCTIONS, strict=True)
                ]
        for stack, image in zip(self._stacks, images, strict=True):
            stack.write(index, image)

    def close(self) -> None:
        """Write the files of sections that have waited."""
        if not self._wait:
            return
        for path, reduce in zip(self.paths([]), REDUCTIONS, strict=True):
            sections = open_masks(self._waiting(path))
            stack = self._file(path, sections.shape, sections.dtype, reduce)
            for index in range(len(sections)):
                stack.write(index, sections[index])
            stack.close()

    def paths(self, names: Sequence[str]) -> list[Path]:
        """Two, whatever sections there are."""
        is_zarr = self.path.is_dir() or self.path.suffix.lower() in (".zip", ".zarr")
        extension = ".zarr" if is_zarr else self.path.suffix
        extension = ".ome.zarr" if self.is_ome_zarr else extension
        return [self.folder / f"{_stem(self.path.name)}_{kind}{extension}" for kind in KINDS]

    def _opened(self, path: Path, shape: tuple[int, ...], dtype: np.dtype, reduce: Reduction) -> StackWriter:
        if self._wait:
            return open_zarr_for_writing(self._waiting(path), shape, dtype, plane=self.plane)
        return self._file(path, shape, dtype, reduce)

    def _file(self, path: Path, shape: tuple[int, ...], dtype: np.dtype, reduce: Reduction) -> StackWriter:
        if self.is_ome_zarr:
            return OmeZarrWriter(path, shape, dtype, self.voxel, reduce, self.provenance)
        return open_for_writing(path, shape, dtype, self.key, self.voxel)

    @property
    def _wait(self) -> bool:
        """Whether sections wait for the file, whose order, or whose chunks, are others."""
        return self.plane != "xy" or self.paths([])[0].suffix != ".zarr"

    def _waiting(self, path: Path) -> Path:
        """The store in which sections wait for the file."""
        return self.folder / f".{path.stem}.zarr"


def _volume(plane: Plane, count: int, section: np.ndarray) -> tuple[int, ...]:
    """Shape (Z, Y, X) of a volume of as many sections as this."""
    shape = list(section.shape)
    shape.insert(ACROSS[plane], count)
    return tuple(shape)


def write_image(path: Path, image: np.ndarray) -> None:
    """Write one image as PNG or TIFF, by the extension of `path`; PNG takes 8 and 16 bit only."""
    if path.suffix in TIFF_EXTENSIONS:
        import tifffile

        tifffile.imwrite(path, image, photometric="minisblack", compression="zlib")
    else:
        import imageio.v3

        imageio.v3.imwrite(path, image)


def stored_probability(probability: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A probability in 0..1 in a type as fine as that of the image.

    Args:
        probability: of the foreground.
        dtype: of the image: of 8 bits (or truth values), uint8 with 255 for 1; of more, uint16 with 65,535 for 1; of
            floating point, float32 (of 16 bits float16) with 1.
    """
    if np.issubdtype(dtype, np.floating):
        return probability.astype(np.float16 if dtype.itemsize == 2 else np.float32)
    stored = np.dtype(np.uint8 if dtype.itemsize == 1 else np.uint16)
    return np.rint(probability * np.iinfo(stored).max).astype(stored)


def _exact(name: str) -> str:
    """The extension of a format that keeps what is written: the image's own, but PNG for JPEG."""
    extension = Path(name).suffix.lower()
    return ".png" if extension in (".jpg", ".jpeg") else extension


def _stem(name: str) -> str:
    return Path(name).stem.removesuffix(".ome")
