"""The ISBI 2012 EM segmentation challenge (Cardona et al. 2010)."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from bnadapt.data.domain import Domain, Section
from bnadapt.data.em.origin import origin
from bnadapt.data.readers import read_image


class ISBI2012(Domain):
    """`isbi2012`: 30 consecutive labelled sections, 512 x 512, 4 nm, ssTEM, Drosophila larva VNC.

    Args:
        task: `membrane` (22 %).
        split: parts of the sections for training, validation and test.
        gap: sections left out between two blocks.
    """

    name = "isbi2012"

    def __init__(
        self,
        task: Literal["membrane"] = "membrane",
        split: Sequence[float] = (0.6, 0.2, 0.2),
        gap: int = 1,
    ) -> None:
        super().__init__(split, gap)
        self.classes = ("background", task)
        self.origin = origin(self.name)

    def labelled(self) -> list[Section]:
        """The challenge's training sections, in their order in the sample."""
        images, masks = (self._fetched(kind) for kind in ("image", "label"))
        return [
            Section(image.name, partial(read_image, image), partial(_read_mask, mask), pixel_size_nm=4.0)
            for image, mask in zip(images, masks, strict=True)
        ]

    def unlabelled(self) -> list[Section]:
        """None."""
        return []

    def _fetched(self, kind: str) -> list[Path]:
        paths = self.origin.fetch(self.origin.matching(f"data/membrane/train/{kind}/", ".png"))
        return sorted(paths, key=lambda path: int(path.stem))


def _read_mask(path: Path) -> np.ndarray:
    return (read_image(path) == 0).astype(np.uint8)
