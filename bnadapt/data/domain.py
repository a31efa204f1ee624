"""What a domain is: sections with or without masks, in contiguous blocks."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from bnadapt.data.writers import ImageFiles, SectionWriter
from bnadapt.errors import InputError

BLOCKS = ("train", "val", "test")


@dataclass(frozen=True)
class Section:
    """One image of a domain, read when asked for.

    Attributes:
        name: what messages and output files call it.
        read_image: gives (H, W) or (H, W, C), integer or float.
        read_mask: gives class indices (H, W), 255 where ignored; None without a label.
        pixel_size_nm: side of a pixel in nanometres, where known.
        group: sections of one group never fall into different blocks.
        depth: sections that are stored together, so that one costs as much to read as all of them.
        content: gives what tells its content from others', whatever it is called; by default its place tells.
        domain: name of its domain where several are pooled.
    """

    name: str
    read_image: Callable[[], np.ndarray]
    read_mask: Callable[[], np.ndarray] | None = None
    pixel_size_nm: float | None = None
    group: str | None = None
    depth: int = 1
    content: Callable[[], str] | None = None
    domain: str = ""

    def without_mask(self) -> "Section":
        """The same, unlabelled."""
        return replace(self, read_mask=None)


class Domain(ABC):
    """A source or a target: where its images come from, what its masks mean.

    Args:
        split: parts of the labelled sections for training, validation and test.
        gap: sections left out between two blocks, because neighbours correlate.
    """

    classes: Sequence[str] = ("background", "foreground")

    def __init__(self, split: Sequence[float] = (0.6, 0.2, 0.2), gap: int = 1) -> None:
        if len(split) != 3 or min(split) < 0 or abs(sum(split) - 1) > 1e-6:
            raise InputError(
                f"split is {list(split)}; give three parts (train, val, test) that add up to 1, such as"
                " [0.6, 0.2, 0.2]."
            )
        if gap < 0:
            raise InputError(f"gap is {gap}; give 0 or more sections to leave out between two blocks.")
        self.split = tuple(split)
        self.gap = gap

    @property
    @abstractmethod
    def name(self) -> str:
        """What tables, tags and messages call the domain."""

    @abstractmethod
    def labelled(self) -> list[Section]:
        """Sections with masks, in the order in which they lie in the sample."""

    @abstractmethod
    def unlabelled(self) -> list[Section]:
        """Further sections of the same sample, without masks."""

    def block(self, which: str) -> list[Section]:
        """The labelled sections of one of the blocks `train`, `val`, `test`.

        Raises:
            InputError: there are too few sections for a block that has a part in `split`.
        """
        sections = self.labelled()
        if not sections:
            raise InputError(f"{self.name}: has no masks; give some, such as --data.source.masks DIR.")
        groups = [list(group) for _, group in groupby(sections, key=lambda each: each.group or each.name)]
        chosen = contiguous_block(len(groups), self.split, self.gap, which)
        found = [section for group in groups[chosen] for section in group]
        if not found:
            raise InputError(
                f"{self.name}: its {len(groups)} labelled sections leave none for the {which} block (split"
                f" {list(self.split)}, gap {self.gap}); give more images, a smaller gap or another split."
            )
        return found

    def adaptation(self) -> list[Section]:
        """The sections that adaptation may read, without masks: the unlabelled ones and the train block.

        What is unlabelled is read wherever it lies, also beside sections of the test block.

        Raises:
            InputError: there are none.
        """
        sections = self.unlabelled()
        if self.labelled() and self.split[0] > 0:
            sections = sections + self.block("train")
        if not sections:
            raise InputError(f"{self.name}: has no images to adapt to; give some, labelled or not.")
        return [section.without_mask() for section in sections]

    def all_sections(self) -> list[Section]:
        """All sections, labelled or not."""
        return self.labelled() + self.unlabelled()

    def reads(self, path: Path) -> bool:
        """Whether a path is one of the files or folders that it reads, or in one where outputs would be read too."""
        return False

    def files(self) -> list[Path]:
        """The files that the images lie in, of very many some of them; for public sets, whose files are fixed, none."""
        return []

    def writer(self, folder: Path) -> SectionWriter:
        """What writes predictions of this domain's sections into `folder`: PNG files by default."""
        return ImageFiles(folder)


def contiguous_block(count: int, split: Sequence[float], gap: int, which: str) -> slice:
    """Cut `count` items into contiguous train, val and test blocks with `gap` items between them.

    Returns:
        The slice of the block `which`; possibly empty.
    """
    first, second = round(count * split[0]), round(count * (split[0] + split[1]))
    return {
        "train": slice(0, first),
        "val": slice(first + gap if first else 0, second),
        "test": slice(second + gap if second else 0, count),
    }[which]
