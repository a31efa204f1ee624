"""Candidates: ways to treat a target, by what its images become and which statistics they are segmented with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bnadapt.batchnorm import FULL_RESOLUTION, Policy
from bnadapt.data.input_change import InputChange

FULL_REPLACEMENT = Policy()


@dataclass(frozen=True)
class Candidate:
    """A way to treat a target.

    Attributes:
        title: for people, as an instruction.
        is_inverted: whether bright and dark are exchanged in its images.
        zoom: factor by which its images are enlarged.
        policy: how much of the source's statistics stays, and in which layers; with a weight of 1 all of them.
        odds: of the foreground that statistics are corrected for, as a multiple of the estimated ones; None takes the
            source's class proportions.
    """

    title: str
    is_inverted: bool = False
    zoom: float = 1.0
    policy: Policy = FULL_REPLACEMENT
    odds: float | None = None

    def change(self, level: float) -> InputChange:
        """What is done to its images.

        Args:
            level: sum of an intensity and of its inverted one; the source's and the target's means added, so that
                inverted images have the source's mean.
        """
        return InputChange(level if self.is_inverted else None, self.zoom)


NONE, ADAPTED, CORRECTED, INVERTED = "none", "adapted", "corrected", "inverted"
CANDIDATES: Mapping[str, Candidate] = {
    NONE: Candidate("do not adapt", policy=Policy(1.0)),
    ADAPTED: Candidate("adapt"),
    "mixed": Candidate("adapt by half", policy=Policy(0.5)),
    "mixed-less": Candidate("adapt by a quarter", policy=Policy(0.75)),
    "full-resolution": Candidate("adapt the levels of full resolution alone", policy=Policy(layers=FULL_RESOLUTION)),
    CORRECTED: Candidate("adapt for the estimated class proportions", odds=1.0),
    "corrected-less": Candidate("adapt for half of the estimated odds of foreground", odds=0.5),
    "corrected-more": Candidate("adapt for twice the estimated odds of foreground", odds=2.0),
    INVERTED: Candidate("invert the images and adapt", is_inverted=True),
    "inverted-corrected": Candidate(
        "invert the images and adapt for the estimated class proportions", is_inverted=True, odds=1.0
    ),
    "finer": Candidate("enlarge the images and adapt", zoom=1.5),
    "coarser": Candidate("shrink the images and adapt", zoom=1 / 1.5),
}


def with_odds(proportions: Sequence[float], factor: float) -> list[float]:
    """Class proportions whose odds of foreground are multiplied; classes above 0 keep their ratios.

    Examples:
        >>> with_odds([0.5, 0.5], 3.0)
        [0.25, 0.75]
    """
    background, *others = proportions
    weights = [background, *(factor * each for each in others)]
    return [each / sum(weights) for each in weights]
