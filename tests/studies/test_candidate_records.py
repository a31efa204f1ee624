"""Baselines and findings of the study of candidates."""

import torch

from bnadapt.studies.candidates.case import evenly_spread
from bnadapt.studies.candidates.reverse import ReverseClassifier
from tests.gain.conftest import squares


def test_right_predictions_teach_to_segment_the_source_and_wrong_ones_do_not():
    tiles, masks = squares(seed=1, bright=0.8, dark=0.1)
    source = squares(seed=2, bright=0.8, dark=0.1)
    reverse = ReverseClassifier(tiles, *source)
    right = reverse.iou(masks)
    assert right > 0.9
    assert reverse.iou(1 - masks) < 0.2
    assert reverse.iou(torch.zeros_like(masks)) == 0
    few = torch.zeros_like(masks).flatten()
    few[reverse.chosen[:3]] = 1
    assert reverse.iou(few.view_as(masks)) == 0
    half = masks.clone()
    half[:, ::2] = 0
    assert reverse.iou(half) < right


def test_scored_tiles_are_spread_over_the_whole_block():
    batches = [(torch.arange(start, start + 8.0).view(-1, 1, 1, 1), torch.zeros(8, 1, 1)) for start in (0, 8, 16)]
    few = torch.cat([images for images, _ in evenly_spread(batches, 10)]).flatten()
    assert len(few) == 10
    assert (few[0], few[-1]) == (0, 23)
    assert few.diff().max() <= 3
    assert sum(len(images) for images, _ in evenly_spread(batches, 100)) == 24
