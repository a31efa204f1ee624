"""Scores on labelled tiles, and how many of them are needed."""

from types import SimpleNamespace

import pytest
import torch

from bnadapt.errors import InputError
from bnadapt.gain import CANDIDATES, run_candidates
from bnadapt.gain.annotation import Measured, check_annotation, clearly_best, measured, tiles_needed
from bnadapt.gain.candidates import RECOMMENDABLE
from bnadapt.gain.predictions import overlap
from tests.gain.conftest import squares


def test_measured_scores_are_those_of_all_tiles_together(runner, source):
    images, masks = squares(seed=7, bright=0.6, share=0.1)
    results = run_candidates(runner, images, source)
    found = measured(results, images, masks)
    for name, each in found.items():
        assert each.iou == pytest.approx(overlap(results[name].outputs.classes, masks), abs=1e-6)
        assert 0 <= each.low <= each.iou <= each.high <= 1
    masks[:, :16] = 255
    assert measured(results, images, masks)["none"].iou != found["none"].iou


def scores_of(errors, masks, generator):
    """Scores of candidates that are wrong in given shares of each tile's pixels, those around a tile's own."""
    luck = 0.4 + torch.rand(len(errors), len(masks), 1, 1, generator=generator)  # differs by candidate and by tile

    def predicting(wrong):
        classes = masks ^ (torch.rand(masks.shape, generator=generator) < wrong).long()
        return SimpleNamespace(logits=lambda images: torch.nn.functional.one_hot(classes).movedim(-1, 1))

    by_name = {name: predicting(each * luck[row]) for row, (name, each) in enumerate(errors.items())}
    return measured(SimpleNamespace(by_name=by_name), torch.zeros(masks.shape), masks)


@pytest.mark.parametrize("tiles", [1, 2, 3, 8])
def test_the_default_is_kept_where_candidates_differ_by_chance(tiles):
    generator = torch.Generator().manual_seed(tiles)
    masks = torch.zeros(tiles, 16, 16, dtype=torch.int64)
    masks[:, 4:12, 4:12] = 1
    draws = [scores_of(dict.fromkeys(RECOMMENDABLE, 0.2), masks, generator) for _ in range(40)]
    left = [scores for scores in draws if clearly_best(scores, margin=0.03) != "full-resolution-mixed"]
    highest = [max(scores, key=lambda name: scores[name].iou) for scores in draws]
    assert len(left) <= 4  # two of 40 are expected at most
    assert len(set(highest)) > 3


@pytest.mark.parametrize("tiles", [3, 8])
@pytest.mark.parametrize("better", ["none", "inverted", "coarser"])
def test_a_candidate_that_is_better_on_all_tiles_is_taken(tiles, better):
    generator = torch.Generator().manual_seed(tiles)
    masks = torch.zeros(tiles, 32, 32, dtype=torch.int64)
    masks[:, 8:24, 8:24] = 1
    scores = scores_of(dict.fromkeys(RECOMMENDABLE, 0.45) | {better: 0.01}, masks, generator)
    assert clearly_best(scores, margin=0.03) == better
    assert clearly_best(scores, margin=0.9) == "full-resolution-mixed"


def test_one_tile_gives_the_level_without_an_interval():
    masks = torch.eye(16, dtype=torch.int64).unsqueeze(0)
    errors = dict.fromkeys(RECOMMENDABLE, 0.5) | {"inverted": 0.0}
    scores = scores_of(errors, masks, torch.Generator().manual_seed(0))
    assert scores["inverted"] == Measured(1.0, 0.0, 1.0, -1.0)
    assert clearly_best(scores, margin=0.03) == "full-resolution-mixed"


@pytest.mark.parametrize("label", [0, 255])
def test_masks_without_foreground_are_refused(label):
    with pytest.raises(InputError, match="show no foreground"):
        check_annotation(torch.full((2, 8, 8), label))


def test_candidates_that_disagree_more_need_more_tiles(runner, source):
    results = run_candidates(runner, squares(seed=7, bright=0.0, dark=1.0)[0], source, CANDIDATES)
    assert tiles_needed(results, "inverted", "inverted") == 2
    assert tiles_needed(results, "inverted", "adapted") > 200 / 2
    assert tiles_needed(results, "inverted", "inverted-corrected") < tiles_needed(results, "inverted", "adapted")
