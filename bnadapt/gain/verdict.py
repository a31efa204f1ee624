"""What to do with a target, what IoU to expect of it, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from bnadapt.adaptation import NetworkRunner
from bnadapt.gain.alarms import NOISE, Alarm, alarms_of, differences
from bnadapt.gain.annotation import MOST, tiles_needed
from bnadapt.gain.candidate_results import CandidateResults, run_candidates
from bnadapt.gain.candidates import CANDIDATES, FULL_RESOLUTION_ALONE, NONE
from bnadapt.gain.features import View, features_of
from bnadapt.gain.predictor import Expectation, Predictor
from bnadapt.gain.source_summary import SourceSummary

DEFAULT = FULL_RESOLUTION_ALONE  # where nothing can be told, as `adapt` does
WORTH = 0.02  # IoU by which another candidate must be expected to be better


@dataclass(frozen=True, eq=False)
class Verdict:
    """The choice among candidates.

    Attributes:
        choice: name of the candidate to take.
        expected: IoU by candidate.
        alarms: what a person should look at.
        reasons: how the target differs from the source, such as `is darker`.
        labelled: tiles of the target whose labels `expected` was measured on; 0 if it is predicted without any.
        needed: labelled tiles that would tell the two most promising candidates apart.
    """

    choice: str
    expected: Mapping[str, Expectation]
    alarms: Sequence[Alarm]
    reasons: Sequence[str]
    needed: int
    labelled: int = 0

    @property
    def abstains(self) -> bool:
        """Whether nothing can be told.

        The images are noise; or what is chosen, or seems best, or no adaptation is unlike all that is known.
        """
        if any(alarm.name == NOISE for alarm in self.alarms):
            return True
        best = max(self.expected, key=lambda name: self.expected[name].iou)
        return not all(self.expected[name].familiar for name in (self.choice, best, NONE))

    @property
    def gain(self) -> float:
        """Expected IoU of the choice minus that without adaptation."""
        return self.expected[self.choice].iou - self.expected[NONE].iou

    def sentence(self) -> str:
        """What to do, and what to expect, in a sentence."""
        title = CANDIDATES[self.choice].title
        because = f"; the target {' and '.join(self.reasons)}" if self.reasons else ""
        if self.abstains:
            needed = f"{self.needed} or more" if self.needed == MOST else f"About {self.needed}"
            return (
                f"Cannot tell: the target is unlike all that the prediction rests on. {needed} labelled tiles would"
                f" settle it; without them, {title}{because}."
            )
        own, none = self.expected[self.choice], self.expected[NONE]
        which = f"IoU on {self.labelled} labelled tiles" if self.labelled else "expected IoU"
        expected = f"{which} {own.iou:.2f} ({own.low:.2f} to {own.high:.2f})"
        without = "" if self.choice == NONE else f", {none.iou:.2f} without"
        return f"{title[0].upper()}{title[1:]}: {expected}{without}{because}."


def judge(
    runner: NetworkRunner, tiles: Tensor, source: SourceSummary, predictor: Predictor | None = None
) -> tuple[Verdict, CandidateResults]:
    """Choose among the candidates for a target, without any of its labels.

    Args:
        runner: the network, with the source's statistics.
        tiles: (n, C, h, w) of the target, drawn at random; 8 are enough.
        source: what is known of the source.
        predictor: by default the one that comes with bnadapt.
    """
    predictor = predictor or Predictor.load()
    results = run_candidates(runner, tiles, source)
    expected = predictor.expected(features_of(source, results))
    return verdict_on(source, results, expected), results


def verdict_on(
    source: SourceSummary,
    results: CandidateResults,
    expected: Mapping[str, Expectation],
    labelled: int = 0,
    choice: str | None = None,
) -> Verdict:
    """The verdict that follows from what is expected of every candidate.

    Args:
        source: what is known of the source.
        results: of the target.
        expected: predicted, or measured on labelled tiles.
        labelled: how many of these.
        choice: of a candidate by its user; by default that of `chosen`, or the best on labelled tiles.
    """
    choice = choice or chosen(expected, 0.0 if labelled else WORTH)
    view = View(source, results, results[choice])
    rival = max((name for name in expected if name != choice), key=lambda name: expected[name].iou)
    needed = tiles_needed(results, choice, rival)
    return Verdict(choice, expected, alarms_of(view), differences(view), needed, labelled)


def chosen(expected: Mapping[str, Expectation], worth: float = WORTH) -> str:
    """The candidate of the greatest expected IoU, if that is familiar and by `worth` above the default's; else that."""
    best = max(expected, key=lambda name: expected[name].iou)
    clear = expected[best].iou > expected[DEFAULT].iou + worth
    return best if clear and expected[best].familiar else DEFAULT
