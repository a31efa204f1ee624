"""Fitting, leaving out and scoring predictions, on tables whose truth is known."""

import numpy as np
import pandas as pd
import pytest
import torch

from bnadapt.errors import InputError
from bnadapt.gain import CANDIDATES, LEARNT, Predictor
from bnadapt.gain.predictor import Expectation
from bnadapt.gain.verdict import chosen
from bnadapt.studies.verdict.fitting import columns, conformal, cross_predicted, fitted_forest, fitted_predictor, folds
from bnadapt.studies.verdict.scores import all_scores, choices, gains, reproducibility, single_features


def made_up(sources=4, targets=6, noise=0.02, seed=0):
    """Records whose IoU is a function of two features; adaptation changes one of them."""
    generator = np.random.default_rng(seed)
    rows = []
    for source in range(sources):
        for target in range(targets):
            for candidate in CANDIDATES:
                features = dict(zip(columns(), generator.random(len(LEARNT)).round(4), strict=True))
                score = 0.5 * features["feature_class_confidence"] + 0.5 * features["feature_flip_consistency"]
                rows.append(
                    {
                        **features,
                        "record": f"{source}-{target}",
                        "candidate": candidate,
                        "iou": float(np.clip(score + noise * generator.standard_normal(), 0, 1)),
                        "part": "real",
                        "task": "blobs",
                        "intensity": "zscore",
                        "source": f"source {source}",
                        "source_set": f"source {source}",
                        "target_set": f"set {target % 3}",
                        "family": f"family {target}",
                        "network": f"source {source}",
                    }
                )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def table():
    return made_up()


def test_a_forest_as_tensors_predicts_what_scikit_learn_does(table):
    from sklearn.ensemble import ExtraTreesRegressor

    from bnadapt.gain.forest import Forest

    features = table[columns()].to_numpy(np.float32)
    trees = ExtraTreesRegressor(20, min_samples_leaf=3, random_state=0).fit(features, table["iou"])
    own = Forest.of(trees)(torch.tensor(features)).mean(1).numpy()
    assert np.abs(own - trees.predict(features)).max() < 1e-5


def test_nothing_of_what_is_predicted_is_seen(table):
    for scheme, keys in {"source": ["source"], "data set": ["target_set"], "family": ["family"]}.items():
        tested = []
        for seen, unseen in folds(table, scheme):
            assert all(set(seen[key]).isdisjoint(unseen[key]) for key in keys)
            tested.append(unseen)
        assert sorted(pd.concat(tested).index) == sorted(table.index)


def test_a_source_that_is_a_target_elsewhere_is_not_seen_either():
    table = made_up(sources=3).assign(target_set=lambda rows: "source " + rows["target_set"].str[-1])
    for seen, unseen in folds(table, "data set"):
        left_out = set(unseen["target_set"])
        assert left_out.isdisjoint(seen["source_set"])
        assert left_out.isdisjoint(seen["target_set"])


def test_what_can_be_predicted_is_predicted(table):
    predicted = cross_predicted(table, "source")
    found = all_scores(predicted, predicted["source"])
    assert found["rank_correlation"] > 0.6
    assert found["error"] < 0.1
    assert 0.8 <= found["covered"] <= 1
    assert found["iou_chosen"] > found["iou_corrected"] + 0.05
    assert found["iou_oracle"] >= found["iou_chosen"]


def test_what_cannot_be_predicted_is_not():
    table = made_up(sources=8, targets=16)
    shuffled = table.assign(iou=np.random.default_rng(0).permutation(table["iou"]))
    predicted = cross_predicted(shuffled, "source")
    found = all_scores(predicted, predicted["source"])
    assert abs(found["rank_correlation"]) < 0.25
    assert found["iou_chosen"] < found["iou_corrected"] + 0.05


def test_scores_of_perfect_predictions(table):
    perfect = table.assign(predicted=table["iou"], spread=0.05, familiar=True)
    found = all_scores(perfect, perfect["source"])
    assert found["rank_correlation"] == pytest.approx(1)
    assert found["error"] == 0
    assert found["right"] == 1
    assert found["decided"] > 0.9
    assert np.isnan(all_scores(perfect.assign(familiar=False), perfect["source"])["right"])
    assert found["regret"] < 0.02
    assert choices(perfect)["oracle"].mean() == table.groupby("record")["iou"].max().mean()
    assert gains(perfect).shape == (24, 2)


def test_single_features_are_ordered_by_what_they_tell(table):
    found = single_features(table)
    assert set(found["feature"].head(2)) == {"class_confidence", "flip_consistency"}
    assert found["auc"].iloc[0] > 0.75
    assert found["auc"].between(0.5, 1).all()


def test_settings_of_candidates_do_not_hide_what_is_strange(table):
    """Most candidates are set to no correction, so that its spread is none; it must not drown all other features."""
    settled = table.assign(feature_correction=np.where(table["candidate"] == "corrected", 1.0, 0.0))
    known = fitted_predictor(settled, "").known
    rows = torch.tensor(settled[columns()].to_numpy(np.float32))
    assert 0.97 <= known.holds(rows).double().mean() <= 1
    assert not known.holds(rows + 20).any()


def test_two_sources_are_too_few():
    with pytest.raises(InputError, match="three are needed"):
        cross_predicted(made_up(sources=2), "source")


def test_intervals_are_not_those_of_the_larger_part():
    predicted = pd.DataFrame({"predicted": 0.5, "spread": 1.0, "iou": [0.6] * 10 + [0.5] * 990})
    predicted["part"] = ["real"] * 10 + ["synthetic"] * 990
    assert conformal(predicted) == pytest.approx(0.1)


def test_a_predictor_survives_its_file_and_knows_what_it_has_not_seen(table, tmp_path):
    predictor = fitted_predictor(table, "digest")
    predictor.save(tmp_path / "predictor.safetensors")
    again = Predictor.load(tmp_path / "predictor.safetensors")
    row = table.iloc[0]
    features = {name: row[f"feature_{name}"] for name in LEARNT}
    strange = {name: value + 50 for name, value in features.items()}
    expected = again.expected({"none": features, "adapted": strange})
    assert expected == predictor.expected({"none": features, "adapted": strange})
    assert expected["none"].familiar
    assert not expected["adapted"].familiar
    assert expected["none"].iou == pytest.approx(row["iou"], abs=0.2)
    assert expected["none"].low <= expected["none"].iou <= expected["none"].high
    assert again.records == "digest"


def test_the_forest_is_a_function_of_the_table_alone(table):
    one, other = fitted_forest(table), fitted_forest(table)
    assert all(torch.equal(each, other.state_dict()[name]) for name, each in one.state_dict().items())


def test_the_default_is_taken_unless_another_is_clearly_better():
    def expected(strange=(), **scores):
        return {name: Expectation(score, 0, 1, name not in strange) for name, score in scores.items()}

    assert chosen(expected(none=0.5, corrected=0.49)) == "corrected"
    assert chosen(expected(none=0.6, corrected=0.49)) == "none"
    assert chosen(expected(none=0.6, corrected=0.49, strange=["none"])) == "corrected"
    assert chosen(expected(none=0.5, corrected=0.49), worth=0) == "none"


def test_seeds_that_agree_have_reproducible_gains():
    first = made_up(sources=2, noise=0.0).assign(seed=1)
    same = first.assign(seed=2, record="again " + first["record"])
    rest = first.assign(seed=3, record="more " + first["record"])
    rest["iou"] = np.random.default_rng(0).permutation(rest["iou"])
    for each in (first, same, rest):
        each["target"] = first["target_set"] + first["family"]
    assert reproducibility(pd.concat([first, same])) == pytest.approx(1)
    assert abs(reproducibility(pd.concat([first, rest]))) < 0.7
    assert np.isnan(reproducibility(first))
