"""Which candidate follows from what is expected of each."""

from bnadapt.gain.predictor import Expectation
from bnadapt.gain.verdict import DEFAULT, EXCHANGED, MARGIN, Prediction, chosen


def expected(familiar=True, **gains):
    """Expectations by candidate; of the default 0.1."""
    rivals = {name: Expectation(gain, gain - 0.1, gain + 0.1, familiar) for name, gain in gains.items()}
    return {DEFAULT: Expectation(0.1, 0.0, 0.2, True), **rivals}


def test_another_candidate_needs_a_margin_over_the_default():
    assert chosen(expected(mixed=0.1 + MARGIN / 2)) == DEFAULT
    assert chosen(expected(mixed=0.1 + 2 * MARGIN)) == "mixed"
    assert chosen(expected(mixed=0.1 + 2 * MARGIN, none=0.1 + 3 * MARGIN)) == "none"


def test_what_is_unlike_all_known_cases_is_no_rival():
    assert chosen(expected(familiar=False, mixed=0.9)) == DEFAULT


def test_images_are_inverted_where_bright_and_dark_are_probably_exchanged():
    assert Prediction(expected(), EXCHANGED).choice == "inverted"
    assert Prediction(expected(), EXCHANGED - 0.01).choice == DEFAULT
