"""The scaling of intensities of every domain, with its numbers."""

import logging
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any, get_args

import numpy as np

from bnadapt.data.domain import Domain
from bnadapt.data.input_change import InputChange
from bnadapt.data.intensity import (
    IntensityName,
    IntensityRange,
    Scaling,
    by_data_set,
    by_data_type,
    by_histogram,
    by_percentiles,
    by_zscore,
    reference_quantiles,
)
from bnadapt.data.lengths import is_size
from bnadapt.data.prepare import PreparedSection, all_blank, check_channels, prepare, read_channels
from bnadapt.errors import InputError

log = logging.getLogger(__name__)

SECTIONS, PIXELS = 16, 2**16  # sections drawn from a domain, and pixels from each, to estimate its range
COSTLY_SECTIONS = 8  # if each costs as much to read as several
PADDING = 0.05  # share of pixels with the least or greatest value above which they count as padding


class Scalings:
    """The scaling of intensities of every domain.

    With `dataset` all tiles and sections of a domain are scaled by the common range of its images. The range is
    estimated once, on randomly drawn sections, and stored; it also applies to later images of a similar range. So
    segmentations do not depend on the number format of an image.

    Args:
        name: name of the scaling.
        pixel_size_nm: pixel size to which images are resampled first.
        source: reference domain of `histogram`.
        restored: `state_dict` of an earlier run.
    """

    def __init__(
        self, name: IntensityName, pixel_size_nm: float | None, source: Domain | None, restored: Mapping[str, Any]
    ) -> None:
        self.name = name
        self.pixel_size_nm = pixel_size_nm
        self.source = source
        self.restored = restored
        self.ranges: dict[str, IntensityRange] = {}

    def state_dict(self) -> dict[str, Any]:
        """The ranges of the scaled domains and the reference of `histogram`, as plain types."""
        ranges = {key: each for key, each in self._restored_ranges.items() if key not in self.ranges} | self.ranges
        return {
            "reference": self.reference if self.name == "histogram" else None,
            "ranges": {key: each.state_dict() for key, each in ranges.items()},
        }

    def of(self, key: str, domain: Domain) -> Scaling:
        """The function from data-type scaled images (C, H, W) of a domain to float32; refuses a domain of blank images.

        `key` is `source`, `target`, or the name of a test set.
        """
        if self.name in ("dataset", "dtype") and key not in self.ranges:
            self.ranges[key] = self._range(key, domain)
        return {
            "dataset": partial(by_data_set, occupied=self.ranges.get(key)),
            "dtype": _as_float32,
            "zscore": by_zscore,
            "percentile": by_percentiles,
            "histogram": partial(by_histogram, reference=self.reference if self.name == "histogram" else ()),
        }[self.name]

    @cached_property
    def reference(self) -> list[list[float]]:
        """Quantiles of the source's train block, for `histogram`."""
        if restored := self.restored.get("reference"):
            return restored
        if self.source is None:
            raise InputError("histogram: needs a source to match to; give --data.source.")
        return reference_quantiles([read_channels(each, self.source.name) for each in self.source.block("train")])

    @cached_property
    def _restored_ranges(self) -> dict[str, IntensityRange]:
        return {key: IntensityRange(**ends) for key, ends in self.restored.get("ranges", {}).items()}

    def _range(self, key: str, domain: Domain) -> IntensityRange:
        """The range of a domain: the stored one if its images fit it."""
        estimate = self._estimated(domain)
        stored = self._restored_ranges.get(key)
        if self.name == "dataset":
            if stored is None or estimate.like(stored):
                return stored or estimate
            log.warning(
                "%s: occupies %s of its data type's range, the images of the network's training or adaptation"
                " %s; it is scaled by its own range.",
                domain.name,
                estimate,
                stored,
            )
        elif (trained := self._restored_ranges.get("source")) is not None and not estimate.like(trained):
            log.warning(
                "%s: occupies %s of its data type's range, the training images %s, and with the scaling `dtype` the"
                " network sees this difference. If it comes from how images are stored, use a network that was"
                " trained with --data.intensity zscore or dataset, or store the images like the training images.",
                domain.name,
                estimate,
                trained,
            )
        return estimate

    def _estimated(self, domain: Domain) -> IntensityRange:
        """The range of pixels drawn from a domain's sections."""
        try:
            sections = domain.adaptation()
        except InputError:  # all of it is for testing
            sections = domain.all_sections()
        generator = np.random.default_rng(0)
        order = generator.permutation(len(sections)).tolist()
        count = SECTIONS if all(section.depth == 1 for section in sections) else COSTLY_SECTIONS
        first: PreparedSection | None = None
        samples: list[np.ndarray] = []
        for index in (*sorted(order[:count]), *order[count:]):
            section = prepare(sections[index], domain.name, self.pixel_size_nm, _unchanged)
            if not section.is_blank:
                first = first or section.without_pixels()
                check_channels(section, first, domain.name)
                samples.append(_drawn_pixels(section, generator))
            if len(samples) == count:
                break
        if not samples:
            raise all_blank(domain.name, len(sections))
        return IntensityRange.of(samples)


def check_stored_state(state: Mapping[str, Any]) -> None:
    """Refuse a state of `DomainPair.state_dict` that does not define the scaling of images."""
    try:
        name, size = state["intensity"], state["pixel_size_nm"]
        if name not in get_args(IntensityName):
            raise ValueError(f"unknown scaling {name!r}")
        if size is not None and not is_size(size):
            raise ValueError(f"the pixel size is {size}")
        for ends in state.get("ranges", {}).values():
            IntensityRange(**ends)
        InputChange(**state.get("target_change", {}))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        lacking = f"{error} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise InputError(
            f"the checkpoint's scaling of images is damaged ({lacking}); use another copy of it."
        ) from error


def _as_float32(image: np.ndarray) -> np.ndarray:
    if np.abs(image).max() > np.finfo(np.float32).max:
        raise InputError(
            "--data.intensity dtype keeps floating point numbers unchanged, and some exceed float32; use another"
            " scaling, such as zscore."
        )
    return image.astype(np.float32, copy=False)


def _unchanged(image: np.ndarray) -> np.ndarray:
    return image


def _drawn_pixels(section: PreparedSection, generator: np.random.Generator) -> np.ndarray:
    """Random pixels (C, n) of a section, without apparent padding."""
    pixels = by_data_type(section.image).reshape(len(section.image), -1)
    padding = np.zeros(pixels.shape[1], bool)
    for end in (pixels.min(1, keepdims=True), pixels.max(1, keepdims=True)):
        at_end = (pixels == end).all(0)
        padding |= at_end if at_end.mean() > PADDING else False
    visible = pixels[:, ~padding] if not padding.all() else pixels
    return visible[:, generator.integers(visible.shape[1], size=PIXELS)]
