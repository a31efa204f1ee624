"""Candidates that look the same are grouped, and disagreement is a share of the candidates."""

import torch

from bnadapt.gain.agreement import disagreement, distinct


def square(side, label=1):
    classes = torch.zeros(40, 40, dtype=torch.long)
    classes[:side, :side] = label
    return classes


def test_predictions_that_differ_by_few_pixels_look_the_same():
    almost = square(30)
    almost[0, :20] = 0
    groups = distinct({"one": square(30), "almost": almost, "half": square(20), "again": square(20)})
    assert groups == {"one": ["almost"], "half": ["again"]}


def test_another_class_looks_different_and_nothing_like_nothing():
    groups = distinct({"one": square(30), "two": square(30, 2), "none": square(0), "empty": square(0)})
    assert groups == {"one": [], "two": [], "none": ["empty"]}


def test_disagreement_is_the_share_that_leaves_the_majority():
    shares = disagreement([square(10), square(20), square(20, 2)], 3)
    assert shares[30, 30] == 0
    torch.testing.assert_close(shares[15, 15], torch.tensor(2 / 3, dtype=torch.double))
    torch.testing.assert_close(shares[5, 5], torch.tensor(1 / 3, dtype=torch.double))
