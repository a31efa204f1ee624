"""Mitochondria in brain tissue, the sample of CDeep3M (Haberl et al. 2018)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from bnadapt.data.domain import Domain, Section
from bnadapt.data.em.grey_value_masks import section_of
from bnadapt.data.em.origin import origin


class CDeep3M(Domain):
    """`cdeep3m`: 30 labelled sections and 5 without labels, 1024 x 1024, SBEM.

    Training and validation sections of the origin come from one volume (z 10-29 and 50-59) and form one sequence here.

    Args:
        task: `mitochondria` (8 %).
        pixel_size_nm: pixel size, which the origin does not state, for resampling. Judging by the mitochondria, 9.2
            suits `vnc`.
        split: parts of the labelled sections for training, validation and test.
        gap: sections left out between two blocks.
    """

    name = "cdeep3m"

    def __init__(
        self,
        task: Literal["mitochondria"] = "mitochondria",
        pixel_size_nm: float | None = None,
        split: Sequence[float] = (0.6, 0.2, 0.2),
        gap: int = 1,
    ) -> None:
        super().__init__(split, gap)
        self.classes = ("background", task)
        self.pixel_size_nm = pixel_size_nm
        self.origin = origin(self.name)

    def labelled(self) -> list[Section]:
        """The origin's training and validation sections."""
        pairs = zip(self._fetched("images"), self._fetched("labels"), strict=True)
        return [section_of(image, self.pixel_size_nm, mask, (1, 255)) for image, mask in pairs]

    def unlabelled(self) -> list[Section]:
        """The origin's test sections."""
        images = self.origin.fetch(self.origin.matching("mito_testsample/testset/", ".png"))
        return [section_of(image, self.pixel_size_nm) for image in images]

    def _fetched(self, kind: str) -> list[Path]:
        parts = (self.origin.matching(f"mito_testsample/{part}/{kind}/", ".png") for part in ("training", "validation"))
        return self.origin.fetch([path for part in parts for path in part])
