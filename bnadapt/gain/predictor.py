"""Predicts the gain of every candidate over no adaptation, and whether bright and dark are exchanged."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from bnadapt.errors import InputError
from bnadapt.gain.candidates import ADAPTED, CANDIDATES, NONE

STORED = Path(__file__).with_name("predictor.json")
BOUND = 1.5  # scaled features are clipped to this
SURE, SELDOM = 0.9, 0.1  # shares of known cases from which on, and up to which, a candidate is said to help, and not to
FEWEST = 10  # known cases that a prediction is compared with
Features = Mapping[str, float]


@dataclass(frozen=True)
class Expectation:
    """The expected gain of a candidate.

    Attributes:
        gain: expected foreground IoU minus that without adaptation.
        low: lower end of its 90 % interval.
        high: upper end of its 90 % interval.
        familiar: whether all features lie in the range of the known cases.
    """

    gain: float
    low: float
    high: float
    familiar: bool


class KnownCase(NamedTuple):
    """A candidate on a natural pair of data sets, with the gain that was predicted and the true one.

    `pair` names source and target.
    """

    predicted: float
    gain: float
    task: str
    pair: str


@dataclass(frozen=True)
class Known:
    """Outcomes of known cases with at least as much predicted gain, or loss.

    Attributes:
        cases: how many there are; a pair of data sets counts for every network and candidate.
        helped: in how many of them the candidate was better than no adaptation.
        pairs: number of different pairs of data sets.
        tasks: their tasks.
    """

    cases: int
    helped: int
    pairs: int = 0
    tasks: Sequence[str] = ()

    @property
    def share(self) -> float:
        """Share of the cases in which it helped; one half without any case."""
        return self.helped / self.cases if self.cases else 0.5


@dataclass(frozen=True)
class LinearScore:
    """A weighted sum of features without a constant: 0 for features that are 0.

    Attributes:
        weights: by feature.
        scales: by feature, its divisor; the quotient is clipped to -1.5..1.5.
    """

    weights: Mapping[str, float]
    scales: Mapping[str, float]

    def __call__(self, features: Features) -> float:
        """The weighted sum."""
        scaled = {name: features[name] / self.scales[name] for name in self.weights}
        return sum(weight * min(max(scaled[name], -BOUND), BOUND) for name, weight in self.weights.items())


@dataclass(frozen=True)
class Predictor:
    """Gains and polarity as weighted sums of a few features, with the outcomes of known predictions.

    Attributes:
        gain: score of a candidate's features minus those of `none`.
        polarity: score of plain adaptation's `mirrored_...` features: log odds that bright and dark are exchanged.
        range: by feature of `gain`, least and greatest difference of the known cases.
        error: 90 % quantile of the absolute errors of predicted gains.
        cases: real pairs, each predicted by a fit to other tissues and laboratories.
        self_trained: of the same pairs, predicted gain of adapting all layers, and true gain of self-training after it.
        default_loss: largest loss of foreground IoU by the default on any of these pairs.
        records: SHA-256 of the tables that it was fitted to.
    """

    gain: LinearScore
    polarity: LinearScore
    range: Mapping[str, tuple[float, float]]
    error: float
    cases: Sequence[KnownCase]
    self_trained: Sequence[KnownCase]
    default_loss: float
    records: Sequence[str]

    def expected(self, features: Mapping[str, Features]) -> dict[str, Expectation]:
        """Gains of the candidates that keep images unchanged, from the features of all (see `features_of`)."""
        unadapted = features[NONE]
        return {
            name: self._expected(each, unadapted) for name, each in features.items() if CANDIDATES[name].keeps_images
        }

    def exchanged(self, features: Mapping[str, Features]) -> float:
        """Probability, 0 to 1, that bright and dark are exchanged; see `expected`."""
        return probability(self.polarity(features[ADAPTED]))

    def known(self, gain: float) -> Known:
        """Outcomes of the known cases with at least as much predicted gain, or loss."""
        return comparable(self.cases, gain)

    def known_self_trained(self, gain: float) -> Known:
        """The same of self-training, from the predicted gain of adapting all layers."""
        return comparable(self.self_trained, gain)

    def save(self, path: Path = STORED) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path = STORED) -> "Predictor":
        """Read a file written by `save`; by default the predictor shipped with bnadapt.

        Raises:
            InputError: the file is missing or broken.
        """
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            scores = {name: LinearScore(**stored.pop(name)) for name in ("gain", "polarity")}
            cases = {name: [KnownCase(*case) for case in stored.pop(name)] for name in ("cases", "self_trained")}
            return cls(**scores, **cases, **stored)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path}: cannot be read as a predictor ({error}); install bnadapt again.") from error

    def _expected(self, adapted: Features, unadapted: Features) -> Expectation:
        if adapted is unadapted:
            return Expectation(0.0, 0.0, 0.0, True)
        differences = {name: adapted[name] - unadapted[name] for name in self.range}
        gain = self.gain(differences)
        familiar = all(low <= differences[name] <= high for name, (low, high) in self.range.items())
        return Expectation(gain, gain - self.error, gain + self.error, familiar)


def probability(log_odds: float) -> float:
    """The logistic function."""
    return 1 / (1 + math.exp(-log_odds))


def comparable(cases: Sequence[KnownCase], gain: float) -> Known:
    """Outcomes of the cases with at least as much predicted gain, or loss; of the 10 nearest if there are fewer."""
    by_distance = sorted(cases, key=lambda case: abs(case.predicted - gain))
    beyond = [case for case in cases if (case.predicted >= gain if gain > 0 else case.predicted <= gain)]
    chosen = beyond if len(beyond) >= FEWEST else by_distance[:FEWEST]
    pairs, tasks = {(case.task, case.pair) for case in chosen}, {case.task for case in chosen}
    return Known(len(chosen), sum(case.gain > 0 for case in chosen), len(pairs), sorted(tasks))
