"""Drosophila larva ventral nerve cord, serial-section TEM (Gerhard et al. 2013)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from bnadapt.data.domain import Domain, Section
from bnadapt.data.em.grey_value_masks import section_of
from bnadapt.data.em.origin import origin

LABELS = {"membrane": (0, 159), "mitochondria": (191, 191), "synapses": (223, 223)}  # grey values
PIXEL = 4.6  # nm


class VNC(Domain):
    """`vnc`: stack 1, 20 labelled sections, or stack 2, 20 without labels; 1024 x 1024, 4.6 nm, ssTEM.

    Args:
        stack: 1 or 2. Each is a separate domain, since they are two volumes.
        task: `membrane` (cell membranes with glia, 19 %), `mitochondria` (5.4 %) or `synapses` (0.6 %).
        split: parts of the labelled sections for training, validation and test.
        gap: sections left out between two blocks; neighbours correlate by 0.58.
    """

    def __init__(
        self,
        stack: Literal[1, 2] = 1,
        task: Literal["membrane", "mitochondria", "synapses"] = "membrane",
        split: Sequence[float] = (0.6, 0.2, 0.2),
        gap: int = 1,
    ) -> None:
        super().__init__(split, gap)
        self.stack = stack
        self.name = "vnc" if stack == 1 else "vnc-stack2"
        self.task = task
        self.classes = ("background", task)
        self.origin = origin("vnc")

    def labelled(self) -> list[Section]:
        """The sections of stack 1."""
        if self.stack != 1:
            return []
        images = self.origin.fetch(self.origin.matching("stack1/raw/", ".tif"))
        masks = self.origin.fetch(self.origin.matching("stack1/labels/", ".png"))
        return [
            section_of(image, PIXEL, mask, LABELS[self.task], name=_name(image))
            for image, mask in zip(images, masks, strict=True)
        ]

    def unlabelled(self) -> list[Section]:
        """The sections of stack 2."""
        if self.stack != 2:
            return []
        images = self.origin.fetch(self.origin.matching("stack2/raw/", ".tif"))
        return [section_of(image, PIXEL, name=_name(image)) for image in images]


def _name(image: Path) -> str:
    return f"{image.parts[-3]}-{image.name}"
