"""A predicted mask, and the probability beside it, read section by section."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bnadapt.data.formats import VolumeFormat, format_of, image_format
from bnadapt.data.formats.zarr_store import is_store
from bnadapt.data.geometry import Geometry
from bnadapt.data.image_files import image_files
from bnadapt.data.readers import Sections, open_masks, read_mask_values
from bnadapt.data.writers import KINDS
from bnadapt.errors import InputError
from bnadapt.files import existing
from bnadapt.volumes.class_values import class_sections, in_unit_range
from bnadapt.volumes.unfinished import HIDDEN

MASK, PROBABILITY = (f"_{kind}" for kind in KINDS)


class Images:
    """Images in files as sections (H, W) of stored values, read on indexing."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        """Stored values, (H, W)."""
        return read_mask_values(self.paths[index])


@dataclass(frozen=True)
class Segmentation:
    """A predicted mask, and the probability beside it, if there is one.

    Attributes:
        mask: sections of the mask.
        probability: sections of the probability, as many.
        inputs: paths of both.
        names: names of the images of a folder; empty for a stack.
    """

    mask: Sections | Images
    probability: Sections | Images | None
    inputs: Sequence[Path]
    names: Sequence[str] = ()

    @property
    def geometry(self) -> Geometry:
        """The geometry stated by the file of the mask; for a folder by that of its first image."""
        if isinstance(self.mask, Sections):
            return self.mask.geometry
        first = next(iter(self.mask.paths))
        return replace(image_format(first).header(first)[1], letters="ZYX")

    @property
    def are_volume(self) -> bool:
        """Whether sections are stacked in space, and not images of a folder or times."""
        return isinstance(self.mask, Sections) and not self.mask.are_times

    def __len__(self) -> int:
        return len(self.mask)

    def classes(self) -> Iterator[np.ndarray]:
        """Class indices of each section, (H, W) uint8; see `class_sections`."""
        return class_sections((self._context(self.inputs[0], index), self.mask[index]) for index in range(len(self)))

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Class indices and probabilities in 0..1, or None, of each section, (H, W); refuses invalid values."""
        for index, classes in enumerate(self.classes()):
            yield classes, self._probability(index, classes.shape)

    def _probability(self, index: int, shape: tuple[int, ...]) -> np.ndarray | None:
        if self.probability is None:
            return None
        context = self._context(self.inputs[1], index)
        stored = self.probability[index]
        if stored.shape != shape:
            raise InputError(f"{context}: has the shape {stored.shape}, its mask {shape}; give both of one image.")
        return in_unit_range(stored, context)

    def _context(self, path: Path, index: int) -> str:
        return f"{path}, {self.names[index] if self.names else f'section {index}'}"


def open_segmentation(
    mask: str | Path,
    mask_key: str | None = None,
    probability: str | Path | None = None,
    probability_key: str | None = None,
) -> Segmentation:
    """Open outputs of `bnadapt predict`.

    Args:
        mask: a stack (TIFF, HDF5, Zarr, OME-Zarr, .npy or MRC), the folder of one, or a folder of images NAME_mask.
        mask_key: path of the array inside an HDF5 file or Zarr group.
        probability: input of the same kind; by default the one beside the mask with `_probability` in its name, if it
            exists.
        probability_key: key of the probability in its file, or in the file of the mask if `probability` is not given;
            by default `mask_key` in a file of the same format.

    Raises:
        InputError: they cannot be read, or do not fit each other.
    """
    path = _stack_in(existing(mask))
    probability_path = None if probability is None else existing(probability)
    if probability_path is not None and _is_folder_of_images(probability_path) != _is_folder_of_images(path):
        raise InputError(
            f"{probability_path}: is not the same kind of input as {path}; give two stacks, or two folders of images."
        )
    if _is_folder_of_images(path):
        if mask_key is not None or probability_key is not None:
            raise InputError(f"{path}: is a folder of images, which have no keys; leave out the key.")
        return _of_folder(path, probability_path)
    if probability_path is not None:
        same_key = mask_key if probability_path.suffix == path.suffix else None
        return _of_stack(path, mask_key, probability_path, probability_key or same_key)
    if probability_key is not None and mask_key is not None:  # of one file
        return _of_stack(path, mask_key, path, probability_key)
    return _of_stack(path, mask_key, _beside(path), mask_key)


def _stack_in(path: Path) -> Path:
    """The stack NAME_mask in a folder, if there is exactly one; else the path. Refuses folders of unfinished runs."""
    if not _is_folder_of_images(path):
        return path
    if (path / HIDDEN).exists():
        raise InputError(f"{path}: holds an unfinished run of predict; repeat the same command to finish it.")
    masks = sorted(path.glob(f"[!.]*{MASK}.*"))
    return masks[0] if len(masks) == 1 and _is_stack(masks[0]) else path


def _is_stack(path: Path) -> bool:
    file_format = format_of(path)
    return isinstance(file_format, VolumeFormat) and file_format.is_volume(path)


def _is_folder_of_images(path: Path) -> bool:
    return path.is_dir() and not is_store(path) and path.suffix.lower() != ".n5"


def _beside(mask: Path) -> Path | None:
    """The probability written with a mask, if it exists."""
    name, _, extension = mask.name.rpartition(f"{MASK}.")
    path = mask.with_name(f"{name}{PROBABILITY}.{extension}")
    return path if name and path.exists() else None


def _of_stack(mask: Path, mask_key: str | None, probability: Path | None, probability_key: str | None) -> Segmentation:
    masks = open_masks(mask, key=mask_key)
    stored = None if probability is None else open_masks(probability, key=probability_key)
    if stored is not None and stored.shape != masks.shape[:3]:
        raise InputError(f"{probability}: has the shape {stored.shape}, {mask} {masks.shape}; give both of one volume.")
    return Segmentation(masks, stored, [mask, *([] if probability is None else [probability])])


def _of_folder(folder: Path, probability_folder: Path | None) -> Segmentation:
    masks = _named(folder, MASK)
    if not masks:
        raise InputError(
            f"{folder}: holds no image with a name that ends in {MASK}; give the folder that predict has written."
        )
    probabilities = _named(probability_folder or folder, PROBABILITY)
    if lacking := [path for name, path in masks.items() if name not in probabilities]:
        if probability_folder is None and len(lacking) == len(masks):
            return Segmentation(Images([*masks.values()]), None, [folder], [*masks])
        raise InputError(
            f"{lacking[0]}: {len(lacking)} of {len(masks)} masks have no probability in {probability_folder or folder};"
            " put them there, or remove all."
        )
    stored = Images([probabilities[name] for name in masks])
    return Segmentation(Images([*masks.values()]), stored, [folder, probability_folder or folder], [*masks])


def _named(folder: Path, ending: str) -> dict[str, Path]:
    """Images with this ending of their names, by the part before it."""
    return {stem.removesuffix(ending): path for stem, path in image_files(folder).items() if stem.endswith(ending)}
