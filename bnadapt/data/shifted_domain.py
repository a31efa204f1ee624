"""A domain under an image shift."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from bnadapt.data.domain import Domain, Section
from bnadapt.data.formats.base import VolumeFormat
from bnadapt.data.image_shifts import named_shift, shifted
from bnadapt.data.intensity import by_data_type
from bnadapt.data.writers import SectionWriter
from bnadapt.errors import InputError

SECTIONS_IN_MEMORY = 32


class Shifted(Domain):
    """The images of another domain, and their masks, under a shift of some severity.

    Intensities are divided by their data type's range and clipped to 0..1, before and after, also at severity 0. A
    shift that averages sections takes neighbours wherever they lie, also between the blocks.

    Args:
        domain: domain of the original images.
        shift: name of the shift, see `bnadapt.data.image_shifts.SHIFTS`.
        severity: strength, in the unit of the shift; 0 changes nothing.
        seed: seed of its randomness, which differs between images.

    Raises:
        InputError: the shift does not exist, or the severity is below 0.
    """

    def __init__(self, domain: Domain, shift: str, severity: float, seed: int = 0) -> None:
        super().__init__(domain.split, domain.gap)
        self.shift = named_shift(shift)
        if severity < 0:
            raise InputError(f"severity is {severity}; give 0, which changes nothing, or more.")
        self.domain = domain
        self.shift_name = shift
        self.name = f"{domain.name}, {shift} {severity:g}"
        self.severity = severity
        self.seed = seed
        self.classes = domain.classes

    def labelled(self) -> list[Section]:
        """The domain's labelled sections, shifted."""
        return self._shifted(self.domain.labelled())

    def unlabelled(self) -> list[Section]:
        """The domain's unlabelled sections, shifted."""
        return self._shifted(self.domain.unlabelled())

    def block(self, which: str) -> list[Section]:
        """The domain's block, shifted; refuses averaging that would mix the train and test blocks."""
        sections = super().block(which)
        if self.reach and self.split[0] > 0 and self.split[2] > 0:
            self._check_apart()
        return sections

    def reads(self, path: Path) -> bool:
        """Whether the domain reads the path."""
        return self.domain.reads(path)

    def files(self) -> list[Path]:
        """The files of the domain."""
        return self.domain.files()

    def writer(self, folder: Path, format: VolumeFormat | None = None) -> SectionWriter:
        """The writer of the domain."""
        return self.domain.writer(folder, format)

    @property
    def reach(self) -> int:
        """Number of neighbours on either side that are averaged."""
        return int(self.severity) if self.shift.averages_sections else 0

    def _check_apart(self) -> None:
        positions = {section.name: position for position, section in enumerate(self.domain.labelled())}
        train, test = (self.domain.block(which) for which in ("train", "test"))
        between = positions[test[0].name] - positions[train[-1].name] - 1
        if self.reach > between:
            raise InputError(
                f"{self.name}: averages {self.reach} sections on either side, but only {between} lie between its train"
                " and test blocks; give a lower severity, a larger gap or another split."
            )

    def _shifted(self, sections: Sequence[Section]) -> list[Section]:
        read_section = lru_cache(SECTIONS_IN_MEMORY)(lambda index: by_data_type(sections[index].read_image()))
        shift = partial(self._shift, read_section, len(sections))
        return [
            replace(
                section,
                read_image=partial(_image, shift, index),
                read_mask=partial(_mask, shift, index, section.read_mask) if section.read_mask else None,
            )
            for index, section in enumerate(sections)
        ]

    def _shift(
        self, read_section: Callable[[int], np.ndarray], count: int, index: int, mask: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """A section and its mask under the shift; the image does not depend on the mask."""
        near = range(max(0, index - self.reach), min(count, index + self.reach + 1))
        image = sum(read_section(each) for each in near) / len(near)
        return shifted(image, mask, self.shift_name, self.severity, self.seed * 100_003 + index)


ShiftSection = Callable[[int, np.ndarray | None], tuple[np.ndarray, np.ndarray | None]]


def _image(shift: ShiftSection, index: int) -> np.ndarray:
    return shift(index, None)[0]


def _mask(shift: ShiftSection, index: int, read_mask: Callable[[], np.ndarray]) -> np.ndarray:
    return shift(index, read_mask())[1]
