"""The comparison of methods: what is done with a network leaves it as it was, and the table says what was measured."""

import copy
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import bnadapt
from bnadapt.batchnorm import Bank
from bnadapt.errors import InputError
from bnadapt.experiments.case import RunLocation
from bnadapt.experiments.evaluation import Evaluation
from bnadapt.experiments.networks import SourceNetwork, Training
from bnadapt.experiments.tables import Tables
from bnadapt.experiments.trained_networks import cached_network
from bnadapt.studies.comparison import findings as found
from bnadapt.studies.comparison.findings import clear_directions, difference, interval
from bnadapt.studies.comparison.methods import Method
from bnadapt.studies.comparison.study import Comparison, Directions
from bnadapt.studies.comparison.treatments import TENT, TREATMENTS, momentum_bank, treated

SOURCE = {"class": "Synthetic", "size": 48, "images": 6, "object_size": 10, "seed": 1}
TARGET = {**SOURCE, "mean": [0.5, 0.2], "seed": 2}
TRAINING = Training(network_args={"base_channels": 4}, crop_size=32, batch_size=4, steps=6, learning_rate=0.01)
EVALUATION = Evaluation(tile_size=48, tiles=3, batch_size=2, latent_tiles=0)
CPU = torch.device("cpu")
NETWORK = SourceNetwork(TRAINING, SOURCE, 1)


@pytest.fixture
def network(tmp_path):
    return cached_network(NETWORK, tmp_path, EVALUATION, CPU)


@pytest.mark.parametrize("treatment", TREATMENTS)
def test_treatments_leave_the_network_as_it_was(treatment, network):
    tiles = network.on(TARGET).tiles.unlabelled(EVALUATION.tiles)
    before = copy.deepcopy(network.network.state_dict())
    with treated(network, treatment, tiles) as bank:
        scores = network.scores(network.on(TARGET).tiles, bank)
    assert 0 <= scores.iou <= 1
    assert all(torch.equal(each, before[name]) for name, each in network.network.state_dict().items())
    momenta = {module.momentum for module in network.network.modules() if isinstance(module, torch.nn.BatchNorm2d)}
    assert momenta == {TRAINING.momentum}


def test_tent_changes_scale_and_shift_alone_and_makes_predictions_more_certain(network):
    tiles = network.on(TARGET).tiles.unlabelled(EVALUATION.tiles)
    before = copy.deepcopy(network.network.state_dict())
    with treated(network, TENT, tiles):
        inside = network.network.state_dict()
        changed = {name for name, each in before.items() if not torch.equal(each, inside[name])}
        assert {name.rpartition(".")[2] for name in changed} == {"weight", "bias"}
        assert all("norm" in name for name in changed)


def test_the_originals_recipe_keeps_a_part_of_the_source_for_every_batch(network):
    tiles = network.on(TARGET).tiles.unlabelled(EVALUATION.tiles)
    bank = momentum_bank(network, tiles)
    batches = [tiles[:2], tiles[2:]]
    first = network.network.encoder[0].conv1
    expected = network.bank.mean["encoder.0.norm1"]
    for batch in batches:
        expected = 0.9 * expected + 0.1 * first(batch).detach().double().mean((0, 2, 3))
    torch.testing.assert_close(bank.mean["encoder.0.norm1"], expected, rtol=1e-4, atol=1e-6)
    assert isinstance(bank, Bank)


METHODS = {
    "U-Net": Method(afterwards=("none", "AdaBN")),
    "U-Net, dtype": Method(intensity="dtype"),
    "Y-Net": Method("both", task="bnadapt.tasks.YNetTask", task_args={"reconstruction_weight": 0.2}),
    "target-trained": Method("target"),
}


def test_methods_differ_in_what_they_learn_from():
    training = Training(intensity="zscore")
    networks = {name: each.trained_on(training, SOURCE, TARGET, 1) for name, each in METHODS.items()}
    assert networks["U-Net"] == SourceNetwork(training, SOURCE, 1)  # so that studies share it
    assert len({each.key for each in networks.values()}) == len(METHODS)
    assert {name for name, each in networks.items() if each.target} == {"Y-Net"}
    assert networks["target-trained"].source == TARGET
    assert networks["U-Net, dtype"].training.intensity == "dtype"
    assert networks["Y-Net"].training.task_args["reconstruction_weight"] == 0.2


def test_a_treatment_that_fails_does_not_take_the_others_with_it(tmp_path):
    """Networks with InstanceNorm have no statistics to re-estimate."""
    method = Method(afterwards=("none", "AdaBN", "TENT"), network="unet-instance-norm")
    directions = Directions({"a": SOURCE, "b": TARGET}, [["a", "b"]], TRAINING, EVALUATION)
    study = Comparison({"t": directions}, {"m": method}, seeds=[1])
    (case,) = study.cases()
    rows = case.measure(RunLocation(tmp_path, tmp_path, tmp_path, CPU))
    assert [row["row"] for row in rows] == ["m", "m + AdaBN", "m + TENT"]
    assert 0 <= rows[0]["iou"] <= 1
    assert all("has no BatchNorm layer" in row["failed"] for row in rows[1:])
    assert rows[0]["seconds_training"] > 0


def rows(**scores):
    """Rows of two directions and two seeds, with an IoU each in this order."""
    table = []
    for row, ious in scores.items():
        for number, iou in enumerate(ious):
            direction = {
                "part": "real",
                "task": "t",
                "source": "ab"[number // 2],
                "target": "ba"[number // 2],
                "seed": number % 2,
            }
            table.append({**direction, "row": row.replace("_plus_", " + "), "iou": iou})
    return pd.DataFrame(table).replace({"row": {"UNet": "U-Net", "UNet + AdaBN": "U-Net + AdaBN", "YNet": "Y-Net"}})


def test_differences_are_paired_by_direction_and_seed():
    table = rows(UNet_plus_AdaBN=(0.5, 0.6, 0.7, 0.8), YNet=(0.6, 0.7, 0.6, 0.72))
    differences = difference(table, "Y-Net")
    assert differences.tolist() == pytest.approx([0.1, 0.1, -0.1, -0.08])
    assert clear_directions(differences) == (1, 1)
    low, high = interval(differences)
    assert low == pytest.approx(-0.1, abs=0.011)
    assert high == pytest.approx(0.1, abs=1e-6)
    assert clear_directions(differences[differences.index.get_level_values("seed") == 0]) == (0, 0)


def test_the_table_has_cost_and_published_numbers_beside_the_scores():
    table = rows(UNet=(0.4, 0.4, 0.5, 0.5), UNet_plus_AdaBN=(0.5, 0.5, 0.6, 0.6), YNet=(0.5, 0.5, 0.5, 0.5))
    cost = {"U-Net": (100, 0), "U-Net + AdaBN": (100, 2), "Y-Net": (250, 0)}
    table["seconds_training"] = table["row"].map(lambda row: cost[row][0])
    table["seconds_adaptation"] = table["row"].map(lambda row: cost[row][1])
    table["dice"] = 2 * table["iou"] / (1 + table["iou"])
    table = table.assign(iou_source=0.9, target_crops=0, target_tiles=32, parameters=2_000_000, record="r")
    table["method"] = table["row"].str.removesuffix(" + AdaBN")
    failed = table[:1].assign(row="U-Net + TENT", iou=np.nan, failed="no layers")
    table = pd.concat([table, failed], ignore_index=True)
    study = Comparison({"t": Directions({"a": SOURCE, "b": TARGET}, [["a", "b"]])}, METHODS)
    made = study.summary(Tables(table, pd.DataFrame()))
    by_name = {row[0]: dict(zip(made.header, row, strict=True)) for row in made.rows}
    assert by_name["U-Net + AdaBN"]["s per point"] == "0.2"
    assert by_name["Y-Net"]["s per point"] == "30.0"
    assert by_name["Y-Net"]["minus U-Net + AdaBN [95 %]"].startswith("-0.050 [")
    assert by_name["Y-Net"]["published"] == "0.614 / 0.014"
    said = study.findings(Tables(table, pd.DataFrame()))
    assert said[0] == (
        "Mean IoU over 2 directions, the best without labels of the target first: U-Net + AdaBN 0.550, U-Net 0.450."
    )
    assert said[-1] == "U-Net + TENT failed in 1 of 1 cases: no layers"


def test_synthetic_directions_are_told_apart_from_the_table():
    real, synthetic = rows(UNet=(0.4, 0.4, 0.5, 0.5), YNet=(0.5, 0.5, 0.6, 0.6)), rows(UNet=(0.0,) * 4, YNet=(0.1,) * 4)
    synthetic = synthetic.assign(part="synthetic", task="made up")
    assert found.real(pd.concat([real, synthetic], ignore_index=True)).equals(real)
    assert found.real(synthetic).equals(synthetic)


def test_refusals():
    group = Directions({"a": SOURCE, "b": TARGET}, [["a", "c"]])
    with pytest.raises(InputError, match="t has no pair \\['a', 'c'\\]; name two of a, b"):
        Comparison({"t": group}, METHODS)
    with pytest.raises(InputError, match="m has a treatment 'AdaBM'; take some of none, AdaBN"):
        Comparison({}, {"m": Method(afterwards=("AdaBM",))})


def test_the_method_of_the_docs_is_trained_by_its_class_path(tmp_path, monkeypatch):
    page = (Path(bnadapt.__file__).parents[1] / "docs" / "methods.md").read_text()
    (code,) = (each for each in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "class EntropyTask" in each)
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    (tmp_path / "my_method.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    method = Method(**yaml.safe_load(re.search(r"^    entropy: (\{.*\})$", page, re.MULTILINE)[1]))
    trained = cached_network(method.trained_on(TRAINING, SOURCE, TARGET, 1), tmp_path, EVALUATION, CPU)
    plain = cached_network(NETWORK, tmp_path, EVALUATION, CPU)
    weights = (each.network.state_dict()["encoder.0.conv1.weight"] for each in (trained, plain))
    assert not torch.equal(*weights)
    assert 0 <= trained.scores(trained.on(TARGET).tiles, None).iou <= 1
