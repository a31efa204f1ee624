"""Candidates: ways to treat a target, by the change of its images and the statistics used."""

from collections.abc import Mapping
from dataclasses import dataclass

from bnadapt.adaptation import DEFAULT_POLICY
from bnadapt.batchnorm import FULL_RESOLUTION, Policy
from bnadapt.data.input_change import InputChange

FULL_REPLACEMENT = Policy()


@dataclass(frozen=True)
class Candidate:
    """A way to treat a target.

    Attributes:
        title: instruction for people.
        label: result for people, short enough for a picture.
        is_inverted: whether bright and dark are exchanged in its images.
        zoom: magnification of its images.
        policy: how much of the source's statistics stays, and in which layers; with a weight of 1 all of them.
        is_corrected: whether statistics are corrected for estimated class proportions; it is left out if these are
            unreliable.
    """

    title: str
    label: str
    is_inverted: bool = False
    zoom: float = 1.0
    policy: Policy = FULL_REPLACEMENT
    is_corrected: bool = False

    @property
    def keeps_images(self) -> bool:
        """Whether images stay unchanged."""
        return not self.is_inverted and self.zoom == 1

    @property
    def policy_options(self) -> tuple[str, ...]:
        """Options of `bnadapt adapt` for its policy."""
        weight = ("--policy.source_weight", f"{self.policy.source_weight:g}")
        return (*weight, "--policy.layers", self.policy.layers) if self.policy.is_of_group else weight

    def change(self, level: float) -> InputChange:
        """The change of its images.

        Args:
            level: sum of an intensity and its inverse: the sum of the source's and the target's means, so that inverted
                images have the source's mean.
        """
        return InputChange(level if self.is_inverted else None, self.zoom)


NONE, ADAPTED, DEFAULT = "none", "adapted", "full-resolution-mixed"
CORRECTED, INVERTED = "corrected", "inverted"
CANDIDATES: Mapping[str, Candidate] = {
    NONE: Candidate("do not adapt", "not adapted", policy=Policy(1.0)),
    ADAPTED: Candidate("adapt all layers", "all layers adapted"),
    "mixed": Candidate(
        "adapt all layers, but keep half of the source's statistics",
        "half of the source's statistics kept",
        policy=Policy(0.5),
    ),
    "mixed-less": Candidate(
        "adapt all layers, but keep three quarters of the source's statistics",
        "three quarters of the source's statistics kept",
        policy=Policy(0.75),
    ),
    "full-resolution": Candidate(
        "adapt the layers at full resolution",
        "layers at full resolution adapted",
        policy=Policy(layers=FULL_RESOLUTION),
    ),
    DEFAULT: Candidate(
        "adapt the layers at full resolution, but keep half of the source's statistics",
        "layers at full resolution half adapted",
        policy=DEFAULT_POLICY,
    ),
    CORRECTED: Candidate(
        "adapt all layers for the estimated class proportions",
        "all layers adapted for its class proportions",
        is_corrected=True,
    ),
    INVERTED: Candidate(
        "invert the images and adapt all layers", "bright and dark exchanged, all layers adapted", is_inverted=True
    ),
    "inverted-corrected": Candidate(
        "invert the images and adapt all layers for the estimated class proportions",
        "exchanged, and adapted for its class proportions",
        is_inverted=True,
        is_corrected=True,
    ),
    "coarser": Candidate(
        "shrink the images and adapt all layers", "images shrunk to two thirds, all layers adapted", zoom=1 / 1.5
    ),
}
PREVIEWED: Mapping[str, Candidate] = {name: each for name, each in CANDIDATES.items() if not each.is_corrected}
"""Candidates that a preview shows unless others are named; estimated class proportions are slow and seldom sure."""
RECOMMENDABLE: Mapping[str, Candidate] = {
    name: CANDIDATES[name] for name in (NONE, ADAPTED, DEFAULT, INVERTED, "coarser")
}
"""Candidates that a recommendation tries; the others add next to nothing to these on known cases, or rest on estimated
class proportions, which are seldom sure on real images."""
