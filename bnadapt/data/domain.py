"""A domain: sections with or without masks, split into contiguous blocks."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from bnadapt.data.formats.base import VolumeFormat
from bnadapt.data.writers import ImageFiles, SectionWriter
from bnadapt.errors import InputError

BLOCKS = ("train", "val", "test")


@dataclass(frozen=True)
class Section:
    """One image of a domain, read on demand.

    Attributes:
        name: name in messages and output files.
        read_image: returns (H, W) or (H, W, C), integer or float.
        read_mask: returns class indices (H, W), 255 where ignored; None without a label.
        pixel_size_nm: side of a pixel in nanometres, where known.
        group: sections of one group never fall into different blocks.
        depth: number of sections stored together, so that reading one costs as much as reading all of them.
        content: returns a fingerprint of the content, independent of the name; None to identify a section by its
            position.
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
        """The same section, unlabelled."""
        return replace(self, read_mask=None)


class Domain(ABC):
    """A source or a target: the origin of its images and the meaning of its masks.

    Args:
        split: parts of the labelled sections for training, validation and test.
        gap: sections left out between two blocks, because neighbours correlate.
    """

    name: str
    """Name in tables, tags and messages."""
    classes: Sequence[str] = ("background", "foreground")

    def __init__(self, split: Sequence[float] = (0.6, 0.2, 0.2), gap: int = 1) -> None:
        if len(split) != 3 or not (min(split) >= 0 and abs(sum(split) - 1) <= 1e-6):
            raise InputError(
                f"split is {list(split)}; give three parts (train, val, test) that add up to 1, such as"
                " [0.6, 0.2, 0.2]."
            )
        if gap < 0:
            raise InputError(f"gap is {gap}; give 0 or more sections to leave out between two blocks.")
        self.split = tuple(split)
        self.gap = gap

    @abstractmethod
    def labelled(self) -> list[Section]:
        """Sections with masks, in the order of the sample."""

    def unlabelled(self) -> list[Section]:
        """Further sections of the same sample, without masks; none by default."""
        return []

    def block(self, which: str) -> list[Section]:
        """The labelled sections of one of the blocks `train`, `val`, `test`.

        Raises:
            InputError: there are too few sections for a block with a share in `split`.
        """
        sections = self.labelled()
        if not sections:
            raise InputError(f"{self.name}: has no masks; give some, by --data.source.masks or --data.target.masks.")
        groups = [list(group) for _, group in groupby(sections, key=lambda each: each.group or each.name)]
        part = contiguous_block(len(groups), self.split, self.gap, which)
        sections = [section for group in groups[part] for section in group]
        if not sections:
            raise InputError(
                f"{self.name}: its {len(groups)} labelled sections leave none for the {which} block (split"
                f" {list(self.split)}, gap {self.gap}); give more images, a smaller gap or another split."
            )
        return sections

    def adaptation(self) -> list[Section]:
        """The sections that adaptation may read, without masks: the unlabelled ones and the train block.

        Unlabelled sections are read wherever they lie, even beside the test block.

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
        """Whether the domain reads this path, or would read outputs written there."""
        return False

    def files(self) -> list[Path]:
        """The files of the images, a sample if there are very many; none for public sets, which never change."""
        return []

    def writer(self, folder: Path, format: VolumeFormat | None = None) -> SectionWriter:
        """A writer of this domain's predictions into `folder`, as PNG by default; refuses volume formats for images."""
        refuse_format(self.name, format)
        return ImageFiles(folder)


def refuse_format(name: str, format: VolumeFormat | None) -> None:
    """Refuse a volume format for a domain of single images."""
    if format is not None:
        raise InputError(
            f"{name}: is not a single volume, so it cannot be written as {format.title}; leave out --format."
        )


def contiguous_block(count: int, split: Sequence[float], gap: int, which: str) -> slice:
    """The slice, possibly empty, of a block of `count` items cut into train, val and test with `gap` items between."""
    first, second = round(count * split[0]), round(count * (split[0] + split[1]))
    return {
        "train": slice(0, first),
        "val": slice(first + gap if first else 0, second),
        "test": slice(second + gap if second else 0, count),
    }[which]
