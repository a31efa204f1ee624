"""Mouse hippocampus, FIB-SEM (Lucchi et al. 2012), with the masks of Casser et al. 2018, "Lucchi++"."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from bnadapt.data.domain import Domain, Section
from bnadapt.data.em.grey_value_masks import section_of
from bnadapt.data.em.origin import origin
from bnadapt.errors import InputError


class Lucchi(Domain):
    """`lucchi`: 33 + 33 labelled sections, 1024 x 768, 5 nm, FIB-SEM; its training volume, then its test volume.

    Every fifth section of the origin is registered, 25 nm apart, because neighbours are nearly equal. With the default
    split the test block lies in the test volume, training and validation in the training volume.

    Args:
        task: `mitochondria` (6.9 %).
        every: read only every n-th of these sections.
        split: parts of the sections for training, validation and test.
        gap: sections left out between two blocks.
    """

    name = "lucchi"

    def __init__(
        self,
        task: Literal["mitochondria"] = "mitochondria",
        every: int = 1,
        split: Sequence[float] = (0.4, 0.1, 0.5),
        gap: int = 1,
    ) -> None:
        super().__init__(split, gap)
        if every < 1:
            raise InputError(f"every is {every}; give 1 for all sections, 2 for every other one, and so on.")
        self.classes = ("background", task)
        self.every = every
        self.origin = origin(self.name)

    def labelled(self) -> list[Section]:
        """The sections of the training volume, then those of the test volume."""
        return [*self._volume("Train"), *self._volume("Test")]

    def _volume(self, which: str) -> list[Section]:
        images, masks = (self._fetched(f"{which}_{kind}") for kind in ("In", "Out"))
        return [
            section_of(image, 5.0, mask, name=f"{which}-{mask.name}") for image, mask in zip(images, masks, strict=True)
        ]

    def _fetched(self, folder: str) -> list[Path]:
        paths = self.origin.matching(f"dataset/Lucchi++/{folder}/", ".png")
        return self.origin.fetch(sorted(paths, key=_number)[:: self.every])


def _number(path: str) -> int:
    """Number of a section; images are called mask0005.png, masks 5.png."""
    return int(Path(path).stem.removeprefix("mask"))
