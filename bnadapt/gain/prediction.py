"""What is expected of the candidates on a target, and which of them to take."""

from collections.abc import Mapping
from dataclasses import dataclass

from bnadapt.gain.alarms import SUSPECTED
from bnadapt.gain.candidates import ADAPTED, DEFAULT, INVERTED, NONE
from bnadapt.gain.predictor import SELDOM, Expectation

MARGIN = 0.03  # expected gain over the default that justifies another candidate
EXCHANGED = 0.9  # probability of inverted contrast above which images are inverted
THINNEST = -0.5  # least log thickness, relative to the source, to change more than the default does
STABLE = -0.15  # least flip consistency on inverted images, minus that on the source, to invert them


@dataclass(frozen=True)
class Prediction:
    """What is expected of the candidates.

    Attributes:
        expected: gains of those that keep images unchanged.
        exchanged: probability of inverted contrast.
        inverted_consistency: feature `flip_consistency` of the candidate that inverts images. It is low where the
            probability is wrong, as on targets with very little or very much foreground.
        adapted_width: feature `width` after adapting all layers: log of the thickness of what is predicted, relative to
            the source. It is low where a target has hardly any foreground, and adaptation makes up some.
    """

    expected: Mapping[str, Expectation]
    exchanged: float
    inverted_consistency: float = 0.0
    adapted_width: float = 0.0

    @property
    def is_inverted(self) -> bool:
        """Whether bright and dark are exchanged beyond doubt."""
        return self.exchanged >= EXCHANGED and self.inverted_consistency >= STABLE

    @property
    def is_suspected(self) -> bool:
        """Whether bright and dark may be exchanged, which only a look at the images can settle."""
        return self.exchanged >= SUSPECTED and not self.is_inverted

    @property
    def choice(self) -> str:
        """The candidate with the best expectation; see `recommended`."""
        if self.is_inverted:
            return INVERTED
        trusted = {name: each for name, each in self.expected.items() if self._finds_objects or name in (NONE, DEFAULT)}
        return chosen(trusted)

    @property
    def allows_self_training(self) -> bool:
        """Whether all layers, from which self-training starts, are expected to gain, and as much as the default."""
        adapted, default = self.expected[ADAPTED], self.expected[DEFAULT]
        is_upright = self.exchanged < SUSPECTED
        is_expected = adapted.familiar and adapted.gain > 0 and adapted.gain >= default.gain
        return is_upright and self._finds_objects and is_expected

    @property
    def _finds_objects(self) -> bool:
        """Whether what adaptation of all layers predicts is thick enough to be objects."""
        return self.adapted_width >= THINNEST


def recommended(prediction: Prediction, helped: float) -> str:
    """The candidate to take.

    That is the prediction's choice; but no adaptation where images may be inverted, or instead of the default where
    that hardly ever helped.

    Args:
        prediction: what is expected.
        helped: share of the known cases with as much predicted gain as the default in which adaptation helped.
    """
    if prediction.is_suspected or (prediction.choice == DEFAULT and helped <= SELDOM):
        return NONE
    return prediction.choice


def chosen(expected: Mapping[str, Expectation]) -> str:
    """The default, unless another candidate is expected to be better by the margin."""
    rivals = [name for name, each in expected.items() if each.familiar]
    best = max(rivals, key=lambda name: expected[name].gain, default=DEFAULT)
    return best if expected[best].gain > expected[DEFAULT].gain + MARGIN else DEFAULT


def compared(choice: str) -> str:
    """The candidate that no adaptation is compared with."""
    return DEFAULT if choice == NONE else choice
