"""Scores on labelled tiles, and how many of them are needed."""

import pytest

from bnadapt.gain import CANDIDATES, run_candidates
from bnadapt.gain.annotation import measured, tiles_needed
from bnadapt.gain.predictions import overlap
from tests.gain.conftest import squares


def test_measured_scores_are_those_of_all_tiles_together(runner, source):
    images, masks = squares(seed=7, bright=0.6, share=0.1)
    results = run_candidates(runner, images, source)
    found = measured(results, images, masks)
    for name, each in found.items():
        assert each.iou == pytest.approx(overlap(results[name].seen.classes, masks), abs=1e-6)
        assert 0 <= each.low <= each.iou <= each.high <= 1
    masks[:, :16] = 255
    assert measured(results, images, masks)["none"].iou != found["none"].iou


def test_candidates_that_disagree_more_need_more_tiles(runner, source):
    results = run_candidates(runner, squares(seed=7, bright=0.0, dark=1.0)[0], source, CANDIDATES)
    assert tiles_needed(results, "inverted", "inverted") == 2
    assert tiles_needed(results, "inverted", "adapted") > 200 / 2
    assert tiles_needed(results, "inverted", "inverted-corrected") < tiles_needed(results, "inverted", "adapted")
