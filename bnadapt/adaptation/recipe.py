"""The settings of an adaptation."""

from dataclasses import dataclass
from typing import Literal

from bnadapt.batchnorm import FULL_RESOLUTION, Policy, PropagationName, UntilConverged

ClassProportions = Literal["source", "estimated"] | list[float]
"""Those that the target has: the source's, estimated ones, or these shares of the classes."""


DEFAULT_POLICY = Policy(0.5, layers=FULL_RESOLUTION)


@dataclass(frozen=True)
class Recipe:
    """How BatchNorm statistics are re-estimated: the settings of `bnadapt.adapt`, of the command and of the callback.

    Args:
        policy: how much of the source's statistics stays, and in which layers. By default the layers at the images'
            full resolution mix source and target in equal parts and the others keep the source's: over pairs of EM
            data sets this gains about as much as replacing all of them, and loses least where adaptation harms.
        propagation: `one_pass` (every layer normalises by the batch at hand), or `layer_consistent` (by its statistics
            over all tiles; exact, holds all tiles in memory).
        until: standard error of the statistics at which to stop reading; by default all tiles are read.
        class_proportions: those of the target: `source` if they are the source's, `estimated`, or shares of the
            classes, such as [0.9, 0.1]; statistics are corrected for the difference from the source's.

    Examples:
        >>> Recipe(policy=Policy(source_weight=0.5)).propagation
        'one_pass'
    """

    policy: Policy = DEFAULT_POLICY
    propagation: PropagationName = "one_pass"
    until: UntilConverged | None = None
    class_proportions: ClassProportions = "source"
