"""A folder of tiles to draw on: images, empty masks of the same names, predictions to correct, and positions."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bnadapt.data.drawn_tiles import Place
from bnadapt.data.formats import image_format, stem_of
from bnadapt.data.masks import IGNORED, as_classes, as_stored
from bnadapt.data.readers import read_mask_values
from bnadapt.errors import InputError
from bnadapt.files import atomic_folder, atomic_write

NOT_DRAWN = 128  # grey, distinct from 0 and 255, and from class indices
LIST, IMAGES, MASKS, PREDICTIONS = "tiles.json", "images", "masks", "predictions"


@dataclass(frozen=True)
class TileToDraw:
    """A tile of a section, with lengths in pixels of its file."""

    file: str  # name of its image and its mask
    section: str  # name of the section
    top: int  # first row
    left: int  # first column
    size: tuple[int, int]  # height and width
    section_size: tuple[int, int]

    @classmethod
    def at(cls, place: Place, section_size: Sequence[int], suffix: str) -> "TileToDraw":
        """The tile at a place."""
        stem = "".join(
            letter if letter.isalnum() or letter in "-_." else "_" for letter in stem_of(Path(place.section))
        )
        top, left = place.rows.start, place.columns.start
        size = len(place.rows), len(place.columns)
        return cls(f"{stem}-{top}-{left}{suffix}", place.section, top, left, size, tuple(section_size))

    @property
    def is_possible(self) -> bool:
        """Whether the file is a plain name, and the tile lies in its section; a list may have been edited."""
        ends = zip((self.top, self.left), self.size, self.section_size, strict=True)
        is_within = all(start >= 0 and 0 < side <= section - start for start, side, section in ends)
        places = (self.top, self.left, *self.size, *self.section_size)
        is_plain = Path(self.file).name == self.file and self.file not in ("", "..")
        return is_within and all(type(each) is int for each in places) and is_plain

    @property
    def area(self) -> tuple[slice, slice]:
        """Rows and columns of the section."""
        (height, width), (top, left) = self.size, (self.top, self.left)
        return slice(top, top + height), slice(left, left + width)

    def whole(self, mask: np.ndarray) -> np.ndarray:
        """A mask of the section from that of the tile; the rest is ignored."""
        section = np.full(self.section_size, IGNORED, np.uint8)
        section[self.area] = mask
        return section


@dataclass(frozen=True, eq=False)
class Drawing:
    """Contents of the files of a tile."""

    tile: TileToDraw
    image: np.ndarray  # (h, w) or (h, w, C), as in the section's file
    prediction: np.ndarray  # (h, w) uint8, as masks are stored


def write_drawings(folder: Path, drawings: Sequence[Drawing]) -> None:
    """Write images, empty masks and predictions of tiles, and their list."""
    with atomic_folder(folder, [LIST]) as partial:
        for name in (IMAGES, MASKS, PREDICTIONS):
            (partial / name).mkdir()
        for each in drawings:
            empty = np.full(each.tile.size, NOT_DRAWN, np.uint8)
            for name, pixels in ((IMAGES, each.image), (MASKS, empty), (PREDICTIONS, each.prediction)):
                path = partial / name / each.tile.file
                image_format(path).write(path, pixels)
        listed = json.dumps([asdict(each.tile) for each in drawings], indent=1)
        (partial / LIST).write_text(listed, encoding="utf-8")


def drawn_masks(folder: Path, num_classes: int) -> list[tuple[TileToDraw, np.ndarray]]:
    """The tiles with masks that were drawn on, with classes (h, w), 255 where nothing was drawn.

    Raises:
        InputError: `write_drawings` did not write the folder, or a mask is missing, of another size or has other
            values.
    """
    masks = [(tile, _mask(folder / MASKS / tile.file, tile, num_classes)) for tile in listed_tiles(folder)]
    return [(tile, mask) for tile, mask in masks if (mask != IGNORED).any()]


def listed_tiles(folder: Path) -> list[TileToDraw]:
    """The tiles of a folder; refuses folders that `write_drawings` did not write."""
    try:
        listed = json.loads((folder / LIST).read_text(encoding="utf-8"))
        tiles = [
            TileToDraw(**{**each, "size": tuple(each["size"]), "section_size": tuple(each["section_size"])})
            for each in listed
        ]
        impossible = next((tile.file for tile in tiles if not tile.is_possible), None)
    except (OSError, RecursionError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{folder}: holds no list of tiles, {LIST}; give a folder of bnadapt propose.") from error
    if impossible is not None:
        raise InputError(
            f"{folder / LIST}: has a tile {impossible!r} with a file elsewhere, or outside of its section; restore"
            " the list that bnadapt propose wrote."
        )
    return tiles


def predicted_classes(folder: Path, tile: TileToDraw, num_classes: int) -> np.ndarray:
    """Predicted classes (h, w) of a tile."""
    path = folder / PREDICTIONS / tile.file
    return as_classes(read_mask_values(path), num_classes, None, str(path))


def draw(folder: Path, tile: TileToDraw, classes: np.ndarray | None, num_classes: int) -> None:
    """Write the mask of a tile from classes (h, w), or an empty one if they are None."""
    mask = np.full(tile.size, NOT_DRAWN, np.uint8) if classes is None else as_stored(classes, num_classes)
    path = folder / MASKS / tile.file
    with atomic_write(path) as partial:
        image_format(path).write(partial, mask)


def _mask(path: Path, tile: TileToDraw, num_classes: int) -> np.ndarray:
    if not path.exists():
        raise InputError(f"{path}: is missing; restore it, or copy that of {PREDICTIONS} there and correct it.")
    mask = read_mask_values(path)
    if mask.shape[:2] != tile.size:
        raise InputError(
            f"{path}: has {mask.shape[0]} x {mask.shape[1]} pixels, its tile {tile.size[0]} x {tile.size[1]}; save the"
            " mask in its original size."
        )
    return as_classes(mask, num_classes, NOT_DRAWN, str(path))
