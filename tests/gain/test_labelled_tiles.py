"""What recommend says of labelled tiles, and that it is what the study of labels has measured."""

from bnadapt.gain import Expectation
from bnadapt.gain.labelled_tiles import LabelledTileGains
from bnadapt.gain.prediction import Prediction
from bnadapt.gain.predictor import Known
from bnadapt.gain.verdict import Verdict
from docs.update_readme import ROOT, labelled_tile_gains

STUDIES = ROOT / "docs" / "studies"


def test_a_doubtful_verdict_says_what_labelled_tiles_gave():
    expected = {
        name: Expectation(0.0, -0.2, 0.2, familiar=False) for name in ("none", "adapted", "full-resolution-mixed")
    }
    doubtful = Verdict(
        "full-resolution-mixed", Prediction(expected, 0.0), Known(10, 5), Known(10, 5), 0.018, [], [], 12
    )
    assert doubtful.abstains
    assert "cost at most 0.02 IoU in known cases" in doubtful.sentence()
    assert LabelledTileGains.load().sentence() in doubtful.sentence()


def test_the_sentence_gives_gains_by_number_of_tiles():
    said = LabelledTileGains(6, {"1": 0.034, "5": 0.1}).sentence()
    assert "In 6 known pairs" in said
    assert "+0.03 from 1, +0.10 from 5 labelled tiles" in said


def test_the_stored_gains_are_those_of_the_committed_study():
    assert LabelledTileGains.load() == labelled_tile_gains(STUDIES)
