"""A user's own images: a folder of PNG or TIFF files, with or without masks."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from bnadapt.data.domain import Domain, Section
from bnadapt.data.masks import as_classes
from bnadapt.data.readers import IMAGE_ENDINGS, read_image
from bnadapt.errors import InputError


class Folder(Domain):
    """Images of a folder, in the order of their names (2 before 10), and their masks of the same names.

    A mask belongs to the image whose name without ending it shares (`a.tif` and `a.png`). Images
    without a mask count as unlabelled.

    Args:
        images: folder of the images, PNG or TIFF, 8 or 16 bit (TIFF: also float).
        masks: folder of the masks; none means that nothing is labelled.
        pixel_size_nm: side of a pixel in nanometres, if known.
        classes: what the mask values 0, 1, ... mean. Two classes may also be stored as 0 and 255.
        ignored: mask value of pixels without a label, such as 255; by default there are none.
        split: parts of the labelled images for training, validation and test.
        gap: images left out between two blocks; 0 if they are independent.
        label: what tables and tags call the domain; the folder's path by default.

    Raises:
        InputError: the folder is missing or holds no images, or a mask belongs to none of them.
    """

    def __init__(
        self,
        images: str,
        masks: str | None = None,
        pixel_size_nm: float | None = None,
        classes: Sequence[str] = ("background", "foreground"),
        ignored: int | None = None,
        split: Sequence[float] = (0.6, 0.2, 0.2),
        gap: int = 1,
        label: str | None = None,
    ) -> None:
        super().__init__(split, gap)
        self.images = Path(images)
        self.masks = Path(masks) if masks else None
        self.pixel_size_nm = pixel_size_nm
        self.classes = tuple(classes)
        self.ignored = ignored
        self.label = label
        self._sections = self._paired()

    @property
    def name(self) -> str:
        """The given label or the folder's path."""
        return self.label or self.images.as_posix()

    def labelled(self) -> list[Section]:
        """Images that have a mask."""
        return [section for section in self._sections if section.read_mask]

    def unlabelled(self) -> list[Section]:
        """Images that have none."""
        return [section for section in self._sections if not section.read_mask]

    def _paired(self) -> list[Section]:
        masks = _by_stem(self.masks) if self.masks else {}
        images = _by_stem(self.images)
        if strange := sorted(masks.keys() - images.keys()):
            raise InputError(
                f"{masks[strange[0]]}: no image of that name in {self.images}; give masks the names of their images."
            )
        return [
            Section(
                name=path.name,
                read_image=partial(read_image, path),
                read_mask=partial(_read_mask, masks[stem], len(self.classes), self.ignored) if stem in masks else None,
                pixel_size_nm=self.pixel_size_nm,
            )
            for stem, path in images.items()
        ]


def _by_stem(folder: Path) -> dict[str, Path]:
    """The image files of a folder by their name without ending, sorted."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; check the path.")
    images = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_ENDINGS)
    paths = sorted(images, key=_natural)
    if not paths:
        raise InputError(f"{folder}: holds no images; put PNG or TIFF files there or give another folder.")
    found: dict[str, Path] = {}
    for path in paths:
        if path.stem in found:
            raise InputError(f"{path}: {found[path.stem].name} has the same name; rename one of the two.")
        found[path.stem] = path
    return found


def _natural(path: Path) -> list[tuple[int, str]]:
    """Numbers in a name count as numbers, so that neighbouring sections stay neighbours."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _read_mask(path: Path, num_classes: int, ignored: int | None) -> np.ndarray:
    return as_classes(read_image(path), num_classes, ignored, str(path))
