"""Recommendations to test with."""

from bnadapt.gain.prediction import Prediction, recommended
from bnadapt.gain.predictor import Expectation, Known
from bnadapt.gain.verdict import Verdict


def verdict(
    adapted=0.06,
    default=0.05,
    familiar=True,
    exchanged=0.0,
    alarms=(),
    measured=None,
    choice=None,
    helped=19,
    trained=29,
    stable=True,
    labelled=8,
):
    """A recommendation from expected gains and the outcomes of 20 known cases, and of 37 after self-training."""
    expected = {
        "none": Expectation(0.0, 0.0, 0.0, True),
        "adapted": Expectation(adapted, 0.0, 0.0, familiar),
        "full-resolution-mixed": Expectation(default, 0.0, 0.0, True),
    }
    prediction = Prediction(expected, exchanged, 0.0 if stable else -0.3)
    choice = choice or recommended(prediction, helped / 20)
    return Verdict(
        choice,
        prediction,
        Known(20, helped, 7, ["membranes", "myelin"]),
        Known(37, trained, 9, ["membranes"]),
        0.018,
        alarms,
        [],
        12,
        measured or {},
        labelled if measured else 0,
    )
