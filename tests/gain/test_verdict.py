"""Which candidate follows from what is expected of each."""

from bnadapt.gain.predictor import Expectation
from bnadapt.gain.verdict import Prediction, chosen


def test_the_default_is_taken_unless_another_is_clearly_better():
    def expected(strange=(), **gains):
        return {name: Expectation(gain, 0, 0, name not in strange) for name, gain in gains.items()}

    assert chosen(expected(none=0, **{"full-resolution-mixed": 0.1}, adapted=0.12)) == "full-resolution-mixed"
    assert chosen(expected(none=0, **{"full-resolution-mixed": 0.1}, adapted=0.14)) == "adapted"
    assert (
        chosen(expected(["adapted"], none=0, **{"full-resolution-mixed": 0.1}, adapted=0.14)) == "full-resolution-mixed"
    )
    assert chosen(expected(none=0, **{"full-resolution-mixed": -0.02})) == "full-resolution-mixed"
    assert chosen(expected(none=0, **{"full-resolution-mixed": -0.04})) == "none"
    assert Prediction(expected(none=0, **{"full-resolution-mixed": 0.1}), 0.95).choice == "inverted"
    assert Prediction(expected(none=0, **{"full-resolution-mixed": 0.1}), 0.6).choice == "full-resolution-mixed"
