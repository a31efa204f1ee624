"""Scores of a set, by hand: of all pixels together, without those that have no label."""

import pytest
import torch

from bnadapt.tasks.metrics import named_scores, segmentation_metrics

TRUE = torch.tensor([[[1, 1, 0, 0]], [[1, 0, 0, 0]]])
PREDICTED = torch.tensor([[[1, 1, 1, 1]], [[1, 0, 0, 0]]])


def scores(predicted, true, classes=("background", "cell")):
    """Scores of images that come one by one."""
    metrics = segmentation_metrics(len(classes))
    for each in zip(predicted.split(1), true.split(1), strict=True):
        metrics.update(*each)
    return {name: float(value) for name, value in named_scores(metrics.compute(), classes, "test").items()}


def test_scores_are_those_of_all_pixels_of_the_foreground():
    """3 pixels are right, 2 too many: the mean over images would be 3/4."""
    expected = {"test/iou": 3 / 5, "test/dice": 6 / 8, "test/precision": 3 / 5, "test/recall": 1.0}
    assert scores(PREDICTED, TRUE) == pytest.approx(expected)


def test_pixels_without_a_label_do_not_count():
    assert scores(PREDICTED, TRUE.where(TRUE == PREDICTED, 255))["test/iou"] == 1


def test_of_more_classes_each_has_a_score_and_all_their_mean():
    found = scores(PREDICTED * 2, TRUE * 2, ("background", "a", "b"))
    assert found["test/iou/b"] == pytest.approx(3 / 5)
    assert found["test/iou/a"] == 0
    assert found["test/iou"] == pytest.approx((3 / 5 + 0 + 3 / 5) / 3)
