"""A case gives what the command line gives, and leaves the network as it was."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from bnadapt.batchnorm import Bank, SourcePrior, batchnorm_layers
from bnadapt.commands.cli import main
from bnadapt.experiments.case import AdaptationCase, RunLocation
from bnadapt.experiments.evaluation import Evaluation
from bnadapt.experiments.networks import SourceNetwork, Training, fit, trained
from bnadapt.experiments.specs import policy_of
from bnadapt.experiments.trained_networks import cached_network
from bnadapt.studies.irregular_training import TrainingCase
from bnadapt.tasks import SegmentationTask
from tests.conftest import DOMAINS, LOADING, SMALL

CPU = torch.device("cpu")
SOURCE = {"class": "Synthetic", "size": 48, "images": 10, "object_size": 12}
TARGET = {**SOURCE, "mean": [0.4, 0.1], "seed": 9}
TRAINING = Training(network_args={"base_channels": 4}, crop_size=32, batch_size=4, steps=60, learning_rate=0.01)
EVALUATION = Evaluation(tile_size=48, batch_size=4, tiles=None, latent_tiles=4)
SILENT = "--trainer.logger=false"
SCORED = replace(EVALUATION, latent_tiles=0)


@pytest.fixture(scope="module")
def location(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    return RunLocation(folder / "networks", folder / "pictures", folder / "runs", CPU)


def case(**changed):
    given = {"network": SourceNetwork(TRAINING, SOURCE, 1), "target": TARGET, "evaluation": EVALUATION, "labels": {}}
    return AdaptationCase(**{**given, **changed})


def test_a_case_gives_what_the_commands_give(location, tmp_path):
    (row,) = case(evaluation=SCORED).measure(location)
    checkpoint = str(trained(case().network, location.networks, CPU))
    target = ["--data.target=Synthetic", "--data.target.size=48", "--data.target.images=10"]
    target += ["--data.target.object_size=12", "--data.target.mean=[0.4, 0.1]", "--data.target.seed=9"]
    options = [*target, "--data.tile_size=48", "--data.batch_size=4", "--data.adaptation_tiles=null", SILENT]
    adapted = str(tmp_path / "adapted.ckpt")
    main(["adapt", *options, "--policy.source_weight=0", "--ckpt_path", checkpoint, "--output", adapted])
    scores = [
        main(["test", *options, "--ckpt_path", path]).trainer.callback_metrics["test/target/iou"].item()
        for path in (checkpoint, adapted)
    ]
    assert row["iou_unadapted"] == pytest.approx(scores[0], abs=1e-4)
    assert row["iou_adapted"] == pytest.approx(scores[1], abs=1e-4)
    assert row["gain"] > 0.2


def test_distances_are_those_that_the_command_gives(location, tmp_path):
    fresh = replace(EVALUATION, latent_tiles=5)  # a network at hand that has no source latents yet
    (row,) = case(evaluation=fresh).measure(location)
    checkpoint = str(trained(case().network, location.networks, CPU))
    source = ["--data.source=Synthetic", "--data.source.size=48", "--data.source.images=10"]
    source += ["--data.source.object_size=12"]
    target = [each.replace("source", "target") for each in source]
    target += ["--data.target.mean=[0.4, 0.1]", "--data.target.seed=9", "--data.tile_size=48", "--data.batch_size=4"]
    adapted = str(tmp_path / "adapted.ckpt")
    all_layers = ["--policy.source_weight=0", "--data.adaptation_tiles=null", "--trainer.precision=32-true", SILENT]
    main(["adapt", *target, *all_layers, "--ckpt_path", checkpoint, "--output", adapted])
    main(["distances", *source, *target, "--tiles=5", "--ckpt_path", adapted, "--output", str(tmp_path / "distances")])
    table = pd.read_csv(tmp_path / "distances" / "distances.csv").set_index(["state", "layer", "measure"])["value"]
    for state, layers in row["distances"].items():
        for layer, measures in layers.items():
            told = {measure: table[state, layer, measure] for measure in measures}
            assert measures == pytest.approx(told, rel=1e-3, abs=1e-4)


def test_distances_are_those_of_three_states(location):
    found = case().measure(location)[0]["distances"]
    assert list(found) == ["noise_floor", "unadapted", "adapted"]
    assert len(found["adapted"]) == 27
    energies = {state: sum(layer["energy"] for layer in layers.values()) for state, layers in found.items()}
    assert energies["noise_floor"] < energies["unadapted"]
    assert energies["adapted"] < energies["unadapted"] / 2
    (itself,) = case(target=SOURCE).measure(location)
    assert max(layer["energy"] for layer in itself["distances"]["unadapted"].values()) == pytest.approx(0, abs=1e-6)


def test_a_case_leaves_the_network_as_it_was(location):
    evaluated = cached_network(case().network, location.networks, EVALUATION, CPU)
    before = Bank.of(evaluated.network)
    case(policy={"source_weight": 0.5}, evaluation=SCORED).measure(location)
    shifts = before.compared(Bank.of(evaluated.network)).values()
    assert max(shift.mean + shift.log_variance for shift in shifts) == 0


def test_a_policy_and_the_tiles_count(location):
    full = case(evaluation=SCORED).measure(location)[0]
    none = case(evaluation=SCORED, policy={"source_weight": 1.0}).measure(location)[0]
    assert none["iou_adapted"] == pytest.approx(none["iou_unadapted"], abs=1e-6)
    assert none["iou_unadapted"] == full["iou_unadapted"]
    few = replace(SCORED, tiles=1)
    one, other = (case(evaluation=few, draw=draw).measure(location)[0] for draw in (0, 1))
    assert one["tiles"] == other["tiles"] == 1
    assert one["iou_adapted"] != other["iou_adapted"]
    smaller = case(evaluation=replace(SCORED, adaptation_tile_size=32, tiles=6)).measure(location)[0]
    assert smaller["tiles"] == 6
    assert smaller["iou_unadapted"] == full["iou_unadapted"]


def test_a_picture_is_kept_where_it_is_asked_for(location):
    asked = case(evaluation=SCORED, pictured=True)
    asked.measure(location)
    assert (location.pictures / f"{asked.key}.png").stat().st_size > 5000


def test_training_is_a_function_of_its_config(tmp_path):
    network = SourceNetwork(replace(TRAINING, steps=6, momentum=0.5), SOURCE, 3)
    one, other = (fit(network, CPU).network.state_dict() for _ in range(2))
    assert all(torch.equal(value, other[key]) for key, value in one.items())
    elsewhere = fit(SourceNetwork(network.training, SOURCE, 4), CPU).network.state_dict()
    assert not all(torch.equal(value, elsewhere[key]) for key, value in one.items())
    slow = fit(SourceNetwork(replace(network.training, momentum=0.001), SOURCE, 3), CPU).network
    assert {layer.momentum for layer in batchnorm_layers(slow).values()} == {0.001}
    assert (slow.state_dict()["encoder.0.norm1.running_var"] - 1).abs().max() < 0.05


def test_a_network_is_trained_once(tmp_path):
    network = SourceNetwork(replace(TRAINING, steps=2), SOURCE, 3)
    path = trained(network, tmp_path, CPU)
    written = path.stat().st_mtime_ns
    assert trained(network, tmp_path, CPU) == path
    assert path.stat().st_mtime_ns == written
    assert set(tmp_path.iterdir()) == {path, path.with_suffix(".json")}


def test_policies_from_plain_values():
    assert policy_of({}).source_weight == 0
    assert policy_of({"source_weight": {"samples": 16}}).source_weight == SourcePrior(16)
    assert policy_of({"layers": ["decoder*"], "depth": [-2, None]}).chosen(["a", "decoder.0", "decoder.1"]) == [
        "decoder.0",
        "decoder.1",
    ]


def test_a_training_on_a_part_is_scored_on_the_whole_source(location, tmp_path):
    part = {**SOURCE, "images": 4, "mean": [0.8, 0.2]}
    network = SourceNetwork(TRAINING, part, 1)
    (row,) = TrainingCase(network, SOURCE, [60], EVALUATION, {}).measure(location)
    checkpoint = str(trained(network, location.networks, CPU))
    whole = ["--data.source=Synthetic", "--data.source.size=48", "--data.source.images=10"]
    options = [*whole, "--data.source.object_size=12", "--data.tile_size=48", "--trainer.logger=false"]
    metrics = main(["test", *options, "--ckpt_path", checkpoint]).trainer.callback_metrics
    assert row["iou_unadapted"] == pytest.approx(metrics["test/source/iou"].item(), abs=1e-4)
    assert row["step"] == 60


class LearnsFromBoth(SegmentationTask):
    """A task that also sees the target: it pulls the mean logit on it towards zero."""

    def training_step(self, batch, batch_idx):
        assert "mask" not in batch["target"]
        self.seen = batch["target"]["image"].mean().item()
        return super().training_step(batch["source"], batch_idx) + self.logits(batch["target"]).mean().square()


def test_a_network_may_learn_from_source_and_target(tmp_path):
    """The base of methods that train on both: their task by import path, the target in the network's key."""
    training = replace(TRAINING, steps=2, task="tests.experiments.test_evaluation.LearnsFromBoth")
    network = SourceNetwork(training, SOURCE, 1, {**TARGET, "mean": [0.2, 0.1], "std": [0.01, 0.01]})
    task = fit(network, CPU)
    assert type(task).__name__ == "LearnsFromBoth"
    assert 0.1 < task.seen < 0.2
    trained(network, tmp_path, CPU)
    found = cached_network(network, tmp_path, EVALUATION, CPU)
    assert found.on(TARGET).scores.iou >= 0


def test_any_task_by_its_class_on_the_command_line(tmp_path):
    model = "--model=tests.experiments.test_evaluation.LearnsFromBoth"
    small = [option for option in SMALL if not option.startswith("--trainer.max_epochs")]
    main(["fit", model, *small, *DOMAINS, "--data.target_crops=true", "--trainer.max_epochs=1"])
    path = str(next(tmp_path.rglob("last.ckpt")))
    assert torch.load(path, weights_only=True)["task"].endswith("LearnsFromBoth")
    cli = main(["test", model, *LOADING, "--ckpt_path", path])
    assert type(cli.model).__name__ == "LearnsFromBoth"
