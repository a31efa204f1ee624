"""The recommendation for a target: what to do, whether it helps, and what to check."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from bnadapt.adaptation import NetworkRunner
from bnadapt.gain.alarms import NOISE, Alarm, alarms_of, differences, inverted_contrast
from bnadapt.gain.annotation import MOST, Measured, clearly_best, tiles_needed
from bnadapt.gain.candidate_results import CandidateResults, run_candidates
from bnadapt.gain.candidates import ADAPTED, CANDIDATES, DEFAULT, INVERTED, NONE
from bnadapt.gain.features import POLARITY, PROMISING, View, features_of
from bnadapt.gain.labelled_tiles import LabelledTileGains
from bnadapt.gain.predictor import Expectation, Known, Predictor
from bnadapt.gain.source_summary import SourceSummary
from bnadapt.reports.text import capitalised

MARGIN = 0.03  # expected gain over the default that justifies another candidate
SURE, SELDOM = 0.9, 0.1  # shares of known cases from which on, and up to which, a candidate is said to help, and not to
EXCHANGED = 0.9  # probability of inverted contrast above which images are inverted
STABLE = -0.15  # least flip consistency on inverted images, minus that on the source, to invert them


@dataclass(frozen=True)
class Prediction:
    """What is expected of the candidates.

    Attributes:
        expected: gains of those that keep images unchanged.
        exchanged: probability of inverted contrast.
        inverted_consistency: feature `flip_consistency` of the candidate that inverts images. It is low where the
            probability is wrong, as on targets with very little or very much foreground.
    """

    expected: Mapping[str, Expectation]
    exchanged: float
    inverted_consistency: float = 0.0

    @property
    def is_inverted(self) -> bool:
        """Whether bright and dark are exchanged beyond doubt."""
        return self.exchanged >= EXCHANGED and self.inverted_consistency >= STABLE

    @property
    def choice(self) -> str:
        """The candidate with the best expectation; see `recommended`."""
        return INVERTED if self.is_inverted else chosen(self.expected)

    @property
    def allows_self_training(self) -> bool:
        """Whether all layers, from which self-training starts, are expected to gain, and as much as the default."""
        adapted, default = self.expected[ADAPTED], self.expected[DEFAULT]
        return not self.is_inverted and adapted.familiar and adapted.gain > 0 and adapted.gain >= default.gain


@dataclass(frozen=True, eq=False)
class Verdict:
    """The choice among candidates.

    Attributes:
        choice: name of the recommended candidate.
        prediction: what it rests on.
        known: known cases with as much predicted gain as the choice, or as the default if nothing is to be done.
        self_trained: known cases of self-training after adapting all layers, with as much predicted gain of that.
        default_loss: largest loss of foreground IoU by the default in any known case.
        alarms: what a person should look at.
        reasons: how the target differs from the source, such as `is darker`.
        needed: labelled tiles that would distinguish the choice from no adaptation, or no adaptation from the default.
        measured: foreground IoU by candidate on labelled tiles, if there are any.
        labelled: number of these tiles.
    """

    choice: str
    prediction: Prediction
    known: Known
    self_trained: Known
    default_loss: float
    alarms: Sequence[Alarm]
    reasons: Sequence[str]
    needed: int
    measured: Mapping[str, Measured] = field(default_factory=dict)
    labelled: int = 0

    @property
    def expected(self) -> Mapping[str, Expectation]:
        """Gain by candidate."""
        return self.prediction.expected

    @property
    def abstains(self) -> bool:
        """Whether it is unknown if the choice helps."""
        return not self.labelled and (self._unlike is not None or self._is_open)

    @property
    def gain(self) -> float | None:
        """Foreground IoU of the choice minus that without adaptation, measured or expected; None if inverted."""
        if self.measured:
            return self.measured[self.choice].iou - self.measured[NONE].iou
        return self.expected[self.choice].gain if self.choice in self.expected else None

    def sentence(self) -> str:
        """What to do, whether it helps, and how certain that is."""
        title = CANDIDATES[self.choice].title
        further = f" The target {' and '.join(self.reasons)}." if self.reasons else ""
        further += self._self_training if self.advises_self_training else ""
        if self.measured:
            return f"{capitalised(title)}: {self._measured}.{further}"
        if self._unlike is not None:
            return (
                f"Cannot tell whether adaptation helps: {self._unlike}. Without labels, {title}{self._risk};"
                f" {self._needed}{further}"
            )
        if self._is_open:
            return (
                f"{capitalised(title)}{self._risk}. Whether adaptation helps is uncertain: known cases that looked like"
                f" this one went either way; {self._needed}{further}"
            )
        return f"{capitalised(title)}: {self._certainty}.{further}"

    @property
    def advises_self_training(self) -> bool:
        """Whether to adapt all layers and self-train; never where candidates were measured, or images are inverted."""
        adapts = self.choice in self.expected and self.choice != NONE
        return adapts and not self._is_noise and not self.measured and self.prediction.allows_self_training

    @property
    def _measured(self) -> str:
        """IoU of the choice on labelled tiles, beside others that it must be compared with."""
        own, without = self.measured[self.choice], self.measured[NONE]
        tiles = "1 labelled tile" if self.labelled == 1 else f"{self.labelled} labelled tiles"
        interval = f" ({own.low:.2f} to {own.high:.2f})" if self.labelled > 1 else ""
        compared = "" if self.choice == NONE else f", {without.iou:.2f} without"
        best = max(self.measured, key=lambda name: self.measured[name].iou)
        if self.measured[best].iou > own.iou:
            compared += (
                f"; {self.measured[best].iou:.2f} for another candidate ({CANDIDATES[best].title}), which {tiles} cannot"
                " distinguish from chance"
            )
        return f"IoU on {tiles} {own.iou:.2f}{interval}{compared}"

    @property
    def _certainty(self) -> str:
        if self.choice not in self.expected:
            return f"bright and dark are exchanged (probability {self.prediction.exchanged:.0%})"
        what = "adaptation" if self.choice == NONE else "this"
        return f"{what} {_helped(self.known, 'unpromising' if self.known.share < SURE else 'promising')}"

    @property
    def _self_training(self) -> str:
        known = _helped(self.self_trained, "promising")
        return f" Self-training (adapt --self_training) after adapting all layers is expected to gain more: it {known}."

    @property
    def _risk(self) -> str:
        return f" (this cost at most {self.default_loss:.2f} IoU in known cases)" if self.choice == DEFAULT else ""

    @property
    def _is_noise(self) -> bool:
        return any(alarm.name == NOISE for alarm in self.alarms)

    @property
    def _needed(self) -> str:
        """How many labelled tiles would show whether the choice helps, and what they are worth beyond that."""
        tiles = f"{self.needed} labelled tiles or more" if self.needed == MOST else f"{self.needed} labelled tiles"
        return f"about {tiles} would settle it. {LabelledTileGains.load().sentence()}"

    @property
    def _unlike(self) -> str | None:
        """Why no known case applies, if none does."""
        if self._is_noise:
            return "the images look like noise"
        if self.choice not in self.expected:
            return None if self.prediction.is_inverted else "nothing is known of such a change of images"
        if not self.expected[_compared(self.choice)].familiar:
            return "the target is unlike all known cases"
        return None

    @property
    def _is_open(self) -> bool:
        """Whether known cases went either way."""
        return self.choice in self.expected and SELDOM < self.known.share < SURE


def judge(
    runner: NetworkRunner,
    tiles: Tensor,
    source: SourceSummary,
    predictor: Predictor | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
) -> tuple[Verdict, CandidateResults]:
    """Choose among the candidates for a target, without its labels.

    Args:
        runner: network with the source's statistics.
        tiles: (n, C, h, w) of the target, drawn at random; 8 are enough.
        source: summary of the source.
        predictor: by default the one shipped with bnadapt.
        progress: wraps the candidates to show progress.
    """
    predictor = predictor or Predictor.load()
    results = run_candidates(runner, tiles, source, progress=progress)
    features = features_of(source, results, {*PROMISING, *POLARITY})
    consistency = features[INVERTED]["flip_consistency"]
    prediction = Prediction(predictor.expected(features), predictor.exchanged(features), consistency)
    return verdict_on(source, results, prediction, predictor=predictor), results


def verdict_on(
    source: SourceSummary,
    results: CandidateResults,
    prediction: Prediction,
    measured: Mapping[str, Measured] | None = None,
    labelled: int = 0,
    choice: str | None = None,
    predictor: Predictor | None = None,
) -> Verdict:
    """The verdict that follows from predictions or measurements.

    Args:
        source: summary of the source.
        results: results of all candidates on the target.
        prediction: predictions for it.
        measured: IoU by candidate on labelled tiles of it.
        labelled: number of these tiles.
        choice: the user's choice; by default that on labelled tiles, see `clearly_best`, or the predicted one.
        predictor: its known cases count; by default the one shipped with bnadapt.
    """
    measured = measured or {}
    predictor = predictor or Predictor.load()
    if not choice and measured:
        choice = clearly_best(measured, MARGIN)
    choice = choice or recommended(prediction, predictor.known(prediction.expected[DEFAULT].gain).share)
    compared = _compared(choice)
    gain = prediction.expected[compared].gain if compared in prediction.expected else 0.0
    alarms = [*inverted_contrast(prediction.exchanged), *alarms_of(View(source, results, results[choice]))]
    return Verdict(
        choice,
        prediction,
        predictor.known(gain),
        predictor.known_self_trained(prediction.expected[ADAPTED].gain),
        predictor.default_loss,
        alarms,
        differences(View(source, results, results[choice])),
        tiles_needed(results, compared, NONE),
        measured,
        labelled,
    )


def recommended(prediction: Prediction, helped: float) -> str:
    """The choice; no adaptation instead of the default, if that hardly ever helped.

    Args:
        prediction: what is expected.
        helped: share of the known cases with as much predicted gain as the default in which adaptation helped.
    """
    return NONE if prediction.choice == DEFAULT and helped <= SELDOM else prediction.choice


def chosen(expected: Mapping[str, Expectation]) -> str:
    """The default, unless another candidate is expected to be better by the margin."""
    rivals = [name for name, each in expected.items() if each.familiar]
    best = max(rivals, key=lambda name: expected[name].gain, default=DEFAULT)
    return best if expected[best].gain > expected[DEFAULT].gain + MARGIN else DEFAULT


def _helped(known: Known, looked: str) -> str:
    only = "only " if looked == "unpromising" else ""
    return f"helped in {only}{known.helped} of {known.cases} known cases that looked as {looked}"


def _compared(choice: str) -> str:
    """The candidate that no adaptation is compared with."""
    return DEFAULT if choice == NONE else choice
