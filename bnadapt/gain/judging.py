"""Judge a target: run all candidates on it, predict their gains, and recommend one."""

from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

from bnadapt.adaptation import NetworkRunner
from bnadapt.gain.alarms import alarms_of, differences, noise
from bnadapt.gain.annotation import Measured, clearly_best, tiles_needed
from bnadapt.gain.candidate_results import CandidateResults, run_candidates
from bnadapt.gain.candidates import ADAPTED, DEFAULT, INVERTED, NONE
from bnadapt.gain.features import POLARITY, PROMISING, View, features_of
from bnadapt.gain.prediction import MARGIN, Prediction, compared, recommended
from bnadapt.gain.predictor import Predictor
from bnadapt.gain.source_summary import SourceSummary
from bnadapt.gain.verdict import Verdict


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
    features = features_of(source, results, {*PROMISING, *POLARITY, "width"})
    prediction = Prediction(
        predictor.expected(features),
        predictor.exchanged(features),
        inverted_consistency=features[INVERTED]["flip_consistency"],
        adapted_width=features[ADAPTED]["width"],
    )
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
    unchanged = View(source, results, results[NONE])
    if not choice and measured:
        choice = clearly_best(measured, MARGIN)
    if not choice and noise(unchanged):
        choice = NONE
    choice = choice or recommended(prediction, predictor.known(prediction.expected[DEFAULT].gain).share)
    alternative = compared(choice)
    gain = prediction.expected[alternative].gain if alternative in prediction.expected else 0.0
    return Verdict(
        choice,
        prediction,
        predictor.known(gain),
        predictor.known_self_trained(prediction.expected[ADAPTED].gain),
        predictor.default_loss,
        alarms_of(View(source, results, results[choice]), prediction.exchanged),
        differences(unchanged),
        tiles_needed(results, alternative, NONE),
        measured,
        labelled,
    )
