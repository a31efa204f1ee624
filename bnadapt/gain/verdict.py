"""The recommendation for a target: what to do, whether it helps, and what to check."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from bnadapt.gain.alarms import NOISE, Alarm
from bnadapt.gain.annotation import MOST, RESOLVED, Measured
from bnadapt.gain.candidates import ADAPTED, CANDIDATES, DEFAULT, NONE
from bnadapt.gain.labelled_tiles import LabelledTileGains
from bnadapt.gain.prediction import MARGIN, Prediction, compared
from bnadapt.gain.predictor import SELDOM, SURE, Expectation, Known
from bnadapt.text import capitalised


class Doubt(Enum):
    """Why it is unknown whether a candidate helps."""

    NOISE = auto()  # the images look like noise
    CHANGE = auto()  # nothing is known of the candidate's change of images
    POLARITY = auto()  # images may be inverted
    UNFAMILIAR = auto()  # the target is unlike all known cases
    OPEN = auto()  # known cases went either way


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
    def doubt(self) -> Doubt | None:
        """Why it is unknown whether the choice helps, if it is."""
        if self.labelled:
            return None
        if self._is_noise:
            return Doubt.NOISE
        if self.choice not in self.expected:
            return None if self.prediction.is_inverted else Doubt.CHANGE
        if self.prediction.is_suspected:
            return Doubt.POLARITY
        if not self.expected[compared(self.choice)].familiar:
            return Doubt.UNFAMILIAR
        return Doubt.OPEN if SELDOM < self.known.share < SURE else None

    @property
    def abstains(self) -> bool:
        """Whether it is unknown if the choice helps."""
        return self.doubt is not None

    @property
    def gain(self) -> float | None:
        """Foreground IoU of the choice minus that without adaptation, measured or expected; None if inverted."""
        if self.measured:
            return self.measured[self.choice].iou - self.measured[NONE].iou
        return self.expected[self.choice].gain if self.choice in self.expected else None

    def sentence(self) -> str:
        """What to do, whether it helps, and how certain that is."""
        return _sentence(self)

    @property
    def advises_self_training(self) -> bool:
        """Whether to adapt all layers and self-train; never if candidates were measured or images may be inverted."""
        adapts = self.choice in self.expected and self.choice != NONE
        return adapts and not self._is_noise and not self.measured and self.prediction.allows_self_training

    @property
    def _is_noise(self) -> bool:
        return any(alarm.name == NOISE for alarm in self.alarms)


def _sentence(verdict: Verdict) -> str:
    """What to do, whether it helps, and how certain that is."""
    sentences = [_advice(verdict)]
    if verdict.reasons:
        sentences.append(f"The target {' and '.join(verdict.reasons)}.")
    if verdict.advises_self_training:
        sentences.append(_self_training(verdict))
    return " ".join(sentences)


def _advice(verdict: Verdict) -> str:
    title = CANDIDATES[verdict.choice].title
    if verdict.measured:
        return f"{capitalised(title)}: {_measured(verdict)}."
    if verdict.doubt is None:
        return f"{capitalised(title)}: {_certainty(verdict)}."
    if verdict.doubt is Doubt.OPEN:
        return (
            f"{capitalised(title)}{_risk(verdict)}. Whether adaptation helps is uncertain: known cases that looked like"
            f" this one went either way; {_needed(verdict)}"
        )
    return f"Cannot tell whether adaptation helps: {_unknown(verdict)}"


def _unknown(verdict: Verdict) -> str:
    """Why nothing is known, and what to do."""
    title = CANDIDATES[verdict.choice].title
    without = f"Without labels, {title}{_risk(verdict)}; {_needed(verdict)}"
    return {
        Doubt.NOISE: "the images look like noise. Look at them, and check their pixel size, before anything else.",
        Doubt.POLARITY: (
            f"bright and dark may be exchanged (probability {verdict.prediction.exchanged:.0%}). Look at the tiles: if"
            f" the inverted ones are segmented better, invert the images (--choose inverted); otherwise {title}."
        ),
        Doubt.CHANGE: f"nothing is known of such a change of images. {without}",
        Doubt.UNFAMILIAR: f"the target is unlike all known cases. {without}",
    }[verdict.doubt]


def _measured(verdict: Verdict) -> str:
    """IoU of the choice on labelled tiles, without adaptation, and of the candidate with the highest."""
    scores, count = verdict.measured, verdict.labelled
    taken, best = scores[verdict.choice], max(scores, key=lambda name: scores[name].iou)
    interval = f" ({taken.low:.2f} to {taken.high:.2f})" if count > 1 else ""
    parts = [f"IoU on {count} labelled {'tile' if count == 1 else 'tiles'} {taken.iou:.2f}{interval}"]
    if verdict.choice != NONE:
        parts.append(f"{scores[NONE].iou:.2f} without")
    if scores[best].iou > taken.iou:
        others = [] if best == NONE else [f"{scores[best].iou:.2f} if you {CANDIDATES[best].title}"]
        parts.extend([*others, f"a difference of {MARGIN:g} or more is not certain on so few tiles"])
    return ", ".join(parts)


def _certainty(verdict: Verdict) -> str:
    if verdict.choice not in verdict.expected:
        return f"bright and dark are exchanged (probability {verdict.prediction.exchanged:.0%})"
    what = "adaptation" if verdict.choice == NONE else "this"
    expected = verdict.expected[DEFAULT if verdict.choice == NONE else verdict.choice].gain
    return f"{what} {_helped(verdict.known, expected)}"


def _self_training(verdict: Verdict) -> str:
    gains = "is expected to gain more" if verdict.self_trained.share >= SURE else "gains more on average"
    helped = _helped(verdict.self_trained, verdict.expected[ADAPTED].gain)
    return f"Self-training (adapt --self_training) after adapting all layers {gains}: it {helped}."


def _risk(verdict: Verdict) -> str:
    return f" (this cost at most {verdict.default_loss:.2f} IoU in known cases)" if verdict.choice == DEFAULT else ""


def _needed(verdict: Verdict) -> str:
    """How many labelled tiles would show whether the choice helps, and what they are worth beyond that."""
    tiles = f"{verdict.needed} labelled tiles{' or more' if verdict.needed == MOST else ''}"
    return f"about {tiles} would show a difference of {RESOLVED:g} IoU. {LabelledTileGains.load().sentence()}"


def _helped(known: Known, expected: float) -> str:
    """In how many known cases with as much predicted gain or loss it helped."""
    only, looked = ("", "promising") if expected > 0 else ("only ", "unpromising")
    tasks = f", all {known.tasks[0]}" if len(known.tasks) == 1 else ""
    pairs = f"{known.pairs} {'pair' if known.pairs == 1 else 'pairs'} of data sets{tasks}"
    return f"helped in {only}{known.helped} of {known.cases} known cases that looked as {looked} ({pairs})"
