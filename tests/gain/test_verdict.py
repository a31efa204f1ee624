"""Which candidate follows from what is expected of each."""

import pytest

from bnadapt.gain.alarms import NOISE, Alarm
from bnadapt.gain.annotation import Measured
from bnadapt.gain.prediction import Prediction, chosen, recommended
from bnadapt.gain.predictor import Expectation, Known
from bnadapt.gain.verdict import Verdict

SELF_TRAINING = "after adapting all layers gains more on average: it helped in 29 of 37 known cases"


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
    assert Prediction(expected(none=0, **{"full-resolution-mixed": 0.1}), 0.95, -0.2).choice == "full-resolution-mixed"
    assert Prediction(expected(none=0, **{"full-resolution-mixed": 0.1}), 0.6).choice == "full-resolution-mixed"
    assert recommended(Prediction(expected(none=0, **{"full-resolution-mixed": 0.1}, adapted=0.2), 0.6), 1) == "none"


def test_self_training_is_advised_where_all_layers_are_expected_to_gain_as_much_as_the_default():
    assert verdict().advises_self_training
    assert SELF_TRAINING in verdict().sentence()


@pytest.mark.parametrize(
    "options",
    [
        {"adapted": 0.04},
        {"adapted": 0.0, "default": -0.02},
        {"familiar": False},
        {"exchanged": 0.95},
        {"choice": "inverted"},
        {"alarms": [Alarm(NOISE, "Look.")]},
        {"measured": dict.fromkeys(("none", "full-resolution-mixed"), Measured(0.5, 0.4, 0.6, 0.0))},
    ],
)
def test_self_training_is_not_advised(options):
    assert not verdict(**options).advises_self_training
    assert "Self-training" not in verdict(**options).sentence()


@pytest.mark.parametrize(("helped", "choice"), [(0.05, "none"), (0.1, "none"), (0.2, "full-resolution-mixed")])
def test_nothing_is_done_where_the_default_hardly_ever_helped(helped, choice):
    assert recommended(verdict().prediction, helped) == choice


def test_no_other_choice_depends_on_what_the_default_gave():
    assert recommended(verdict(adapted=0.1).prediction, 0.05) == "adapted"
    assert recommended(verdict(exchanged=0.95).prediction, 0.05) == "inverted"


def test_self_training_is_not_advised_beside_doing_nothing():
    assert not verdict(choice="none", helped=1).advises_self_training


def test_a_sentence_begins_with_what_to_do_also_where_it_is_uncertain_whether_that_helps():
    open_sentence = verdict(helped=10).sentence()
    assert open_sentence.startswith("Adapt the layers at full resolution, but keep half of the source's statistics")
    assert "cost at most 0.02 IoU in known cases" in open_sentence
    assert "Whether adaptation helps is uncertain" in open_sentence
    assert "about 12 labelled tiles would show a difference of 0.05 IoU" in open_sentence
    assert (
        verdict(helped=10, choice="none").sentence().startswith("Do not adapt. Whether adaptation helps is uncertain")
    )


def test_a_sentence_counts_cases_and_the_pairs_that_they_come_from():
    assert "helped in 19 of 20 known cases that looked as promising (7 pairs of data sets)" in verdict().sentence()
    assert "is expected to gain more: it helped in 36 of 37" in verdict(trained=36).sentence()
    assert "(9 pairs of data sets, all membranes)" in verdict(trained=36).sentence()


def test_images_that_may_be_inverted_are_left_to_a_person():
    suspected = verdict(exchanged=0.99, stable=False, adapted=0.2)
    assert suspected.choice == "none"
    assert suspected.abstains
    assert suspected.sentence().startswith(
        "Cannot tell whether adaptation helps: bright and dark may be exchanged (probability 99%)"
    )
    assert "--choose inverted" in suspected.sentence()
    assert "Self-training" not in suspected.sentence()


def test_noise_is_reported_without_advice_on_labels():
    noisy = verdict(alarms=[Alarm(NOISE, "Look.")], choice="none").sentence()
    assert "the images look like noise" in noisy
    assert "labelled tiles" not in noisy


def test_a_measured_sentence_names_what_few_tiles_leave_open():
    scores = {
        "none": Measured(0.3, 0.2, 0.4, -0.4),
        "coarser": Measured(0.55, 0.4, 0.7, -0.1),
        "full-resolution-mixed": Measured(0.5, 0.4, 0.6, 0.0),
    }
    kept = verdict(measured=scores, choice="full-resolution-mixed").sentence()
    assert "IoU on 8 labelled tiles 0.50 (0.40 to 0.60), 0.30 without, 0.55 if you shrink the images" in kept
    assert "not certain on so few tiles" in kept
    assert "not certain" not in verdict(measured=scores, choice="coarser").sentence()
    one = verdict(measured=scores, choice="full-resolution-mixed", labelled=1).sentence()
    assert "IoU on 1 labelled tile 0.50, 0.30 without" in one


def test_where_adaptation_predicts_specks_the_default_is_the_most_that_is_done():
    expected = {"none": 0.0, "adapted": 0.2, "full-resolution-mixed": 0.05}
    expected = {name: Expectation(gain, 0.0, 0.0, True) for name, gain in expected.items()}
    objects, specks = (Prediction(expected, 0.0, 0.0, width) for width in (-0.4, -0.6))
    assert (objects.choice, specks.choice) == ("adapted", "full-resolution-mixed")
    assert (objects.allows_self_training, specks.allows_self_training) == (True, False)
