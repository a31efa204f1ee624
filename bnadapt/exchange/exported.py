"""A network to export, with the fixed scaling of its target and its description."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bnadapt.data import DomainPair
from bnadapt.data.prepare import PreparedSection, prepare
from bnadapt.errors import InputError
from bnadapt.exchange.fixed_scaling import FixedScaling, fixed
from bnadapt.exchange.modules import PixelProbabilities, Probabilities

SECTIONS = 16  # of the target, to compute the fixed numbers of the scaling
SAMPLE_SIDE = 128  # side in pixels of the test image


@dataclass(frozen=True)
class About:
    """User-supplied part of the description of a bioimage.io package.

    Args:
        authors: names of the authors.
        license: SPDX identifier, such as CC-BY-4.0.
        name: name of the model; by default from those of the network and the target.
        description: description in a sentence.
        cite: references to cite, each with a DOI or an address in brackets: `Text [10.1000/xyz]`.
    """

    authors: Sequence[str]
    license: str
    name: str | None = None
    description: str | None = None
    cite: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Export:
    """A network to export.

    Args:
        network: network in eval mode, on the CPU.
        parameters: `network`, `network_args`, `in_channels`, `num_classes` of its task.
        adaptation: record of the adaptation, if the network is adapted.
        data: data module with the target.
        about: description for a package.
        like: file of weights, or package, to write anew with the network's weights.
    """

    network: nn.Module
    parameters: dict[str, Any]
    adaptation: dict[str, Any] | None
    data: DomainPair
    about: About | None = None
    like: Path | None = None

    @property
    def probabilities(self) -> Probabilities:
        """Scaled images to class probabilities."""
        return Probabilities(self.network, self.parameters["num_classes"]).eval()

    @property
    def pixel_probabilities(self) -> PixelProbabilities:
        """Pixels to class probabilities."""
        return PixelProbabilities(self.probabilities, self.scaling).eval()

    @property
    def target(self) -> str:
        """The name of the target."""
        return self._domain.name

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes; numbers if the target's do not match the network."""
        names, count = self._domain.classes, self.parameters["num_classes"]
        return names if len(names) == count else ("background", *(f"class {number}" for number in range(1, count)))

    @property
    def pixel_size_nm(self) -> float | None:
        """Pixel size of the network's images, if known."""
        stated = self._domain.all_sections()[0].pixel_size_nm
        return (self.data.pixel_size_nm or stated) if stated else None

    @cached_property
    def scaling(self) -> FixedScaling:
        """Fixed scaling of pixel values, from the numbers of the target."""
        change = self.data.target_change
        if change.zoom != 1:
            raise InputError(
                f"export: the checkpoint enlarges images of the target {change.zoom:g} times, which a model cannot do;"
                " adapt to images of that size."
            )
        name = self.data.intensity
        if name in ("dataset", "dtype"):
            self.data.scalings.of("target", self._domain)
        scaling = fixed(name, [each.image for each in self._sections], self.data.scalings.ranges.get("target"))
        if change.inverted_about is not None:
            scaling = scaling.inverted(change.inverted_about)
        return scaling.of_values(self._unit)

    @cached_property
    def sample(self) -> np.ndarray:
        """Pixels (1, C, h, w) float32 with the file's values, from the middle of an image of the target."""
        image = self._sections[0].image
        top, left = (max(0, (side - SAMPLE_SIDE) // 2) for side in image.shape[1:])
        cut = image[None, :, top : top + SAMPLE_SIDE, left : left + SAMPLE_SIDE]
        return np.rint(cut * self._unit).astype(np.float32) if self._unit != 1 else cut

    @property
    def _domain(self) -> Any:
        if self.data.target is None:
            raise InputError("export: a model is scaled by fixed numbers of its target; give --data.target.")
        return self.data.target

    @cached_property
    def _sections(self) -> list[PreparedSection]:
        """Sections that are not blank, data-type scaled, at the network's pixel size."""
        sections = []
        for section in self._domain.all_sections():
            prepared = prepare(section, self.target, self.data.pixel_size_nm, lambda image: image)
            sections += [] if prepared.is_blank else [prepared]
            if len(sections) == SECTIONS:
                break
        if not sections:
            raise InputError(f"{self.target}: has only blank images; give others.")
        channels, expected = len(sections[0].image), self.parameters["in_channels"]
        if channels != expected:
            raise InputError(
                f"{self.target}: its images have {channels} channels, the network takes {expected}; give others."
            )
        if len(kinds := {str(each.dtype) for each in sections}) > 1:
            raise InputError(f"{self.target}: stores images as {', '.join(sorted(kinds))}; give images of one type.")
        return sections

    @property
    def _unit(self) -> float:
        """The file's pixel value that data-type scaling maps to 1."""
        dtype = self._sections[0].dtype
        return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0

    @torch.no_grad()
    def expected(self, pixels: np.ndarray) -> np.ndarray:
        """Class probabilities (N, K, h, w) of pixels (N, C, h, w), as computed by bnadapt."""
        return self.probabilities(torch.from_numpy(self.scaling(pixels))).numpy()
