"""Myelinated axons of the rat spinal cord, SEM (AxonDeepSeg, doi:10.5281/zenodo.5498378)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from bnadapt.data.domain import Domain, Section
from bnadapt.data.em.grey_value_masks import section_of
from bnadapt.data.em.origin import origin
from bnadapt.errors import InputError

LABELS = {"myelin": (64, 191), "axon": (192, 255)}  # grey values
RATS = (1, 2, 3, 4, 5, 6, 7, 8)


class AxonDeepSeg(Domain):
    """`axondeepseg`: 10 images of 8 rats, 737 x 758 to 2001 x 2001 pixels of 70 to 180 nm, SEM.

    Rats 1, 2, 5, 6, 7 have bright images (mean 128 to 157), rats 3, 4, 8 dark ones (66 to 103); all come from
    one laboratory. Blocks are cut by rat.

    Args:
        rats: numbers of the rats to use.
        task: `myelin` (34 %) or `axon` (26 %).
        split: parts of the rats for training, validation and test.
        label: name of the domain in tables and tags; needed where two parts of the set are used together.
    """

    def __init__(
        self,
        rats: Sequence[int] = RATS,
        task: Literal["myelin", "axon"] = "myelin",
        split: Sequence[float] = (0.6, 0.2, 0.2),
        label: str = "axondeepseg",
    ) -> None:
        super().__init__(split, gap=0)
        if strange := sorted(set(rats) - set(RATS)):
            raise InputError(f"axondeepseg: rat {strange[0]} does not exist; take some of {list(RATS)}.")
        self.rats = tuple(rats)
        self.task = task
        self.classes = ("background", task)
        self.name = label
        self.origin = origin("axondeepseg")

    def labelled(self) -> list[Section]:
        """All images of the chosen rats, rat by rat."""
        return [
            self._section(path, rat) for rat in self.rats for path in self.origin.matching(f"sub-rat{rat}/", ".png")
        ]

    def _section(self, path: str, rat: int) -> Section:
        folder = f"sub-rat{rat}/micr"
        stem = Path(path).stem
        beside = f"{folder}/{stem}.json"
        sidecar = beside if beside in self.origin.sha256 else f"{folder}/sub-rat{rat}_SEM.json"
        label = f"derivatives/labels/{folder}/{stem}_seg-axonmyelin-manual.png"
        image, mask, described = self.origin.fetch([path, label, sidecar])
        size = 1000 * json.loads(described.read_text())["PixelSize"][0]
        return section_of(image, size, mask, LABELS[self.task], group=f"rat{rat}")
