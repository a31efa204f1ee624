"""Rank correlations agree with scipy, and their intervals hold the truth about as often as they say."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau, spearmanr

from bnadapt.studies.latent_spaces.correlations import by_part, interval, kendall, spearman, transferred


def drawn(count=60, seed=0):
    generator = np.random.default_rng(seed)
    score = generator.standard_normal(count)
    columns = np.stack(
        [score + generator.standard_normal(count), -score, np.round(generator.standard_normal(count))], 1
    )
    return columns, score


def test_they_agree_with_scipy():
    columns, score = drawn()
    np.testing.assert_allclose(spearman(columns, score), [spearmanr(c, score).statistic for c in columns.T])
    np.testing.assert_allclose(kendall(columns, score), [kendalltau(c, score).statistic for c in columns.T])
    assert np.isnan(spearman(np.ones((60, 1)), score)).all()


def test_intervals_cover_the_truth():
    """In normal pairs of correlation r, Spearman's coefficient is 6 / pi * arcsin(r / 2)."""
    truth, inside = 6 / np.pi * np.arcsin(0.5**0.5 / 2), 0
    for seed in range(50):
        columns, score = drawn(seed=seed)
        low, high = interval(spearman, columns[:, :1], score, pd.Series(range(60)).astype(str), 200, seed)
        inside += low[0] < truth < high[0]
    assert 42 <= inside <= 50


def test_records_that_belong_together_are_drawn_together():
    columns, score = drawn(12)
    columns, score = np.repeat(columns, 50, 0), np.repeat(score, 50)
    clusters = pd.Series(np.repeat(np.arange(12), 50).astype(str))
    low, high = interval(spearman, columns, score, clusters)
    alone_low, alone_high = interval(spearman, columns, score, pd.Series(range(600)).astype(str))
    assert high[0] - low[0] > 3 * (alone_high[0] - alone_low[0])
    assert low[1] == pytest.approx(-1)


def test_a_choice_is_tested_where_it_was_not_made():
    """The distance that is best in a part, whatever its sign, is looked up in all parts."""
    rows = [
        {"score": "gain", "state": "adapted", "layer": layer, "measure": "energy", "part": part, "spearman": value}
        for layer, values in {"a": (-0.9, 0.2), "b": (0.5, 0.6)}.items()
        for part, value in zip(("one", "other"), values, strict=True)
    ]
    found = transferred(by_part(pd.DataFrame(rows), "gain"))
    assert found.loc["one"].to_dict() == {"one": -0.9, "other": 0.2}
    assert found.loc["other"].to_dict() == {"one": 0.5, "other": 0.6}
