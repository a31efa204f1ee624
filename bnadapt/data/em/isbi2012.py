"""The ISBI 2012 EM segmentation challenge (Cardona et al. 2010)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from bnadapt.data.domain import Domain, Section
from bnadapt.data.em.grey_value_masks import WHITE, section_of
from bnadapt.data.em.origin import origin

ORGANELLES = {"mitochondria": "mithocondria", "synapses": "synapses"}  # names of the origin's mask files


class ISBI2012(Domain):
    """`isbi2012`: 30 consecutive labelled sections, 512 x 512, 4 nm, ssTEM, Drosophila larva VNC.

    The same tissue as `vnc`, imaged in another laboratory. Masks of mitochondria and synapses are a separate set,
    `isbi2012-organelles`.

    Args:
        task: `membrane` (22 %), `mitochondria` (4.8 %) or `synapses` (3.8 %).
        split: parts of the sections for training, validation and test.
        gap: sections left out between two blocks.
    """

    name = "isbi2012"

    def __init__(
        self,
        task: Literal["membrane", "mitochondria", "synapses"] = "membrane",
        split: Sequence[float] = (0.6, 0.2, 0.2),
        gap: int = 1,
    ) -> None:
        super().__init__(split, gap)
        self.task = task
        self.classes = ("background", task)
        self.origin = origin(self.name)

    def labelled(self) -> list[Section]:
        """The challenge's training sections, in their order in the sample."""
        images = self.origin.fetch(_numbered(self.origin.matching("data/membrane/train/image/", ".png")))
        values = (0, 0) if self.task == "membrane" else WHITE
        return [section_of(image, 4.0, mask, values) for image, mask in zip(images, self._masks(), strict=True)]

    def _masks(self) -> list[Path]:
        if self.task == "membrane":
            return self.origin.fetch(_numbered(self.origin.matching("data/membrane/train/label/", ".png")))
        organelles = origin("isbi2012-organelles")
        names = [path for path in organelles.matching("data/", ".png") if f"/{ORGANELLES[self.task]}_" in path]
        return organelles.fetch(_numbered(names))


def _numbered(paths: Sequence[str]) -> list[str]:
    """Paths in the order of the number at the end of their names."""
    return sorted(paths, key=lambda path: int(Path(path).stem.rpartition("_")[2]))
