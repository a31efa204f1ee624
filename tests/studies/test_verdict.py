"""Fitting, leaving out and scoring predictions, on tables whose truth is known."""

import json

import numpy as np
import pandas as pd
import pytest

from bnadapt.errors import InputError
from bnadapt.gain import CANDIDATES, Predictor
from bnadapt.gain.features import POLARITY, PROMISING
from bnadapt.gain.predictor import Expectation, KnownCase, comparable
from bnadapt.studies.verdict.fitting import (
    cross_predicted,
    fitted_gain,
    fitted_predictor,
    folds,
    prepared,
    with_self_training,
)
from bnadapt.studies.verdict.scores import choices, of_family, of_natural_pairs

ORIGINS = ["vnc", "isbi2012", "a", "b", "c"]


def table_of_gains(noise=0.01, seed=0):
    """Records of which a feature says the gain, and which are recognised as inverted by another."""
    generator = np.random.default_rng(seed)
    rows = []
    for source in ORIGINS:
        for family, targets in {"pair": [each for each in ORIGINS if each != source], "inversion": [source]}.items():
            for target in targets:
                for candidate in CANDIDATES:
                    features = {f"feature_{name}": generator.normal() for name in PROMISING}
                    inverted = family == "inversion"
                    features |= {f"feature_{name}": (2 if inverted else -2) + generator.normal() for name in POLARITY}
                    features["feature_width"] = 0.0
                    gain = 0.1 * features["feature_class_confidence"]
                    score = 0.5 + gain + noise * generator.normal()
                    if inverted:
                        score = 0.5 if candidate == "inverted" else 0.0
                        features["feature_flip_consistency"] = 0.0 if candidate == "inverted" else gain
                    labels = {"record": f"{source}-{target}-{family}", "candidate": candidate, "iou": score}
                    labels |= {"part": "real", "task": f"of {source}", "seed": 1, "family": family}
                    labels |= {"source": source, "target": target, "source_set": source, "target_set": target}
                    rows.append({**features, **labels})
    return pd.DataFrame(rows).assign(self_trained=np.nan, held_out=False)


def learnt_from(table, gain):
    """A table of self-training that gains as much beyond adapting all layers as a function of the pair says."""
    rows = table[(table["family"] == "pair") & (table["candidate"] == "adapted")]
    keys = rows[["task", "source", "target", "seed"]].assign(start="adapted")
    return pd.concat(
        [
            keys.assign(method="statistics", iou=0.4),  # other tiles than those of the candidates
            keys.assign(method="self-training", iou=0.4 + rows["source"].map(gain)),
        ]
    )


@pytest.fixture(scope="module")
def table():
    return table_of_gains()


def test_nothing_of_what_is_predicted_is_seen(table):
    rows = prepared(table)
    columns = {"strict": ["source_origin", "target_origin"], "source": ["source_origin"], "task": ["task"]}
    for scheme, which in columns.items():
        tested = []
        for seen, unseen in folds(rows, scheme):
            which = {"strict": ["source_origin", "target_origin"], "source": ["source_origin"], "task": ["task"]}[
                scheme
            ]
            assert set(seen[which].to_numpy().ravel()).isdisjoint(unseen[which].to_numpy().ravel())
            tested.append(unseen)
        assert sorted(pd.concat(tested).index) == sorted(rows.index)


def test_sets_of_one_tissue_are_left_out_together(table):
    for seen, unseen in folds(prepared(table), "strict"):
        if "isbi2012" in set(unseen["source"]):
            assert "vnc" not in set(seen["source"]) | set(seen["target"])


def test_what_can_be_predicted_is_predicted(table):
    found = of_natural_pairs(cross_predicted(table, "strict"), table)
    assert found["rank_correlation"] > 0.8
    assert found["right"] > 0.85
    assert found["choice"] > found["default"] + 0.05
    assert found["oracle"] >= found["choice"]


def test_what_cannot_be_predicted_leaves_the_default(table):
    natural = table["family"] == "pair"
    shuffled = table.assign(iou=table["iou"].where(~natural, np.random.default_rng(0).permutation(table["iou"])))
    predicted = cross_predicted(shuffled, "strict")
    assert abs(of_natural_pairs(predicted, shuffled)["rank_correlation"]) < 0.4


def test_inverted_targets_are_inverted_and_others_are_not(table):
    predicted = cross_predicted(table, "strict")
    inverted = of_family(predicted, table, "inversion")
    assert inverted["inverted"] > 0.9
    assert inverted["choice"] > 0.4 > inverted["never"]
    assert of_family(predicted, table, "pair")["inverted"] < 0.1


def test_images_are_not_inverted_where_that_leaves_predictions_unstable(table):
    unstable = table["candidate"].eq("inverted")
    table = table.assign(feature_flip_consistency=table["feature_flip_consistency"].mask(unstable, -0.3))
    assert of_family(cross_predicted(table, "strict"), table, "inversion")["inverted"] == 0


def test_records_that_are_held_out_are_predicted_and_change_no_other_prediction(table):
    unusual = table.assign(record="unusual " + table["record"], family="sparse", iou=1 - table["iou"], held_out=True)
    predicted = cross_predicted(pd.concat([table, unusual], ignore_index=True), "strict").set_index("record")
    alone = cross_predicted(table, "strict").set_index("record")
    assert predicted.loc[alone.index.unique(), "predicted"].equals(alone["predicted"])
    assert predicted.loc[unusual["record"].unique(), "predicted"].notna().all()


def test_the_best_of_other_seeds_is_a_ceiling_that_can_be_missed():
    first = table_of_gains(noise=0.0)
    again = first.assign(seed=2, record="again " + first["record"])
    again["iou"] = np.random.default_rng(1).permutation(first["iou"])
    both = pd.concat([first, again], ignore_index=True)
    picked = choices(cross_predicted(both, "strict"), both)
    assert (picked["ceiling"] <= picked["oracle"]).all()
    alone = choices(cross_predicted(first, "strict"), first)
    assert alone["ceiling"].isna().all()


def test_weights_never_contradict_what_a_feature_means():
    table = table_of_gains()
    table["iou"] = 1 - table["iou"]
    weights = fitted_gain(prepared(table)).weights
    assert all(weight * PROMISING[name] >= 0 for name, weight in weights.items())


def test_too_few_sources():
    table = table_of_gains()
    with pytest.raises(InputError, match="three are needed"):
        cross_predicted(table[table["source"].isin(["a", "b"]) & table["target"].isin(["a", "b"])], "strict")


def test_a_predictor_survives_its_file_and_knows_what_it_has_not_seen(table, tmp_path):
    predictor = fitted_predictor(table, ["digest"])
    predictor.save(tmp_path / "predictor.json")
    again = Predictor.load(tmp_path / "predictor.json")
    none, better = (dict.fromkeys([*PROMISING, *POLARITY], value) for value in (0.0, 0.5))
    better |= {name: 0.5 * sign for name, sign in PROMISING.items()}
    strange = {name: 50 * value for name, value in better.items()}
    features = {"none": none, "adapted": better, "mixed": strange, "inverted": better, "coarser": better}
    expected = again.expected(features)
    assert expected == predictor.expected(features)
    assert list(expected) == ["none", "adapted", "mixed"]
    assert expected["none"] == Expectation(0, 0, 0, True)
    assert expected["adapted"].familiar
    assert not expected["mixed"].familiar
    assert expected["adapted"].low < expected["adapted"].gain < expected["adapted"].high
    assert expected["adapted"].gain > 0.02
    assert again.exchanged(features) == predictor.exchanged(features) > 0.5
    assert again.records == ["digest"]
    (tmp_path / "broken.json").write_text(json.dumps({"gain": {}}))
    with pytest.raises(InputError, match="cannot be read as a predictor"):
        Predictor.load(tmp_path / "broken.json")


def test_known_cases_are_those_of_at_least_as_much_gain_or_loss():
    cases = [KnownCase(gain / 100, gain / 100 + 0.005, "a task", f"pair {gain % 3}") for gain in range(-30, 31)]
    assert comparable(cases, 0.115) == comparable(cases, 0.12)
    assert (comparable(cases, 0.11).cases, comparable(cases, 0.11).helped) == (20, 20)
    assert (comparable(cases, -0.11).cases, comparable(cases, -0.11).helped) == (20, 0)
    assert comparable(cases, 0.5).cases == 10
    assert comparable([], 0.1).share == 0.5
    assert (comparable(cases, 0.11).pairs, comparable(cases, 0.11).tasks) == (3, ["a task"])


def test_following_the_advice_to_self_train_is_scored(table):
    helpful = with_self_training(table, learnt_from(table, lambda source: 0.1))
    found = of_natural_pairs(cross_predicted(helpful, "strict"), helpful)
    assert found["always_self_trained"] == pytest.approx(found["all_layers"] + 0.1)
    assert 0 < found["advised"] < 1
    assert found["self_trained"] > max(found["choice"], found["always_self_trained"])
    harmful = with_self_training(table, learnt_from(table, lambda source: -0.2))
    assert of_natural_pairs(cross_predicted(harmful, "strict"), harmful)["self_trained"] < found["choice"]


def test_cases_of_self_training_are_known_to_the_predictor(table):
    learnt = with_self_training(table, learnt_from(table, lambda source: 0.1))
    predictor = fitted_predictor(learnt, ["digest"])
    assert len(predictor.self_trained) == len(ORIGINS) * (len(ORIGINS) - 1)
    assert not fitted_predictor(table, ["digest"]).self_trained
    gains = {record: rows.set_index("candidate")["iou"] for record, rows in table.groupby("record")}
    expected = sorted(round(own["adapted"] + 0.1 - own["none"], 3) for name, own in gains.items() if "-pair" in name)
    assert sorted(round(gain, 3) for _, gain, *_ in predictor.self_trained) == pytest.approx(expected, abs=0.001)


def test_what_is_decided_of_the_tasks_adds_up(table):
    predicted = cross_predicted(table, "strict")
    of_tasks = [of_natural_pairs(predicted, table, task) for task in table["task"].unique()]
    found = of_natural_pairs(predicted, table)
    assert sum(each["records"] for each in of_tasks) == found["records"]
    assert sum(each["records"] * each["decided"] for each in of_tasks) == pytest.approx(
        found["records"] * found["decided"]
    )
