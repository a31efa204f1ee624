"""`adapt` with policies, until known, from banks, and in two processes."""

import json

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bnadapt.batchnorm import Bank
from bnadapt.commands.cli import main
from tests.conftest import TARGET_ALONE
from tests.processes import run_in_two

ALL_LAYERS = "--policy.source_weight=0"


SILENT = ("--trainer.logger=false",)


def adapt(best, folder, *options, logger=SILENT):
    output = folder / "adapted.ckpt"
    asked = ["adapt", *TARGET_ALONE, *logger, "--ckpt_path", str(best), "--output", str(output), "--overwrite"]
    main([*asked, *options])
    return json.loads(output.with_suffix(".json").read_text())


def weights(path):
    return torch.load(path, weights_only=True)["state_dict"]


def test_tiles_are_read_until_the_statistics_have_converged(best, tmp_path, capfd):
    everything = adapt(best, tmp_path)
    assert (everything["until"], everything["converged"]) == (None, None)
    record = adapt(best, tmp_path, "--until.tolerance=0.5", "--until.min_tiles=4")
    assert record["converged"]
    assert record["tiles"] < everything["tiles"]
    assert record["convergence"]["tiles"][-1] == record["tiles"]
    assert "have converged to a standard error of 0.5" in capfd.readouterr().out
    strict = adapt(best, tmp_path, "--until.tolerance=1e-6")
    assert not strict["converged"]
    assert strict["tiles"] == everything["tiles"]
    assert "NOT converged" in capfd.readouterr().out


def test_the_convergence_is_in_tensorboard(best, tmp_path):
    adapt(best, tmp_path, "--until.tolerance=1e-6", "--until.min_tiles=4", logger=())
    folder = next((tmp_path / "lightning_logs").rglob("events*")).parent
    accumulator = EventAccumulator(str(folder)).Reload()
    curve = accumulator.Scalars("statistics/error_of_mean")
    steps = [event.step for event in curve]
    assert steps == sorted(steps)
    assert len(steps) > 2
    assert curve[-1].value < curve[0].value
    assert {tag for tag in accumulator.Tags()["scalars"] if "statistics" in tag} == {
        "statistics/error_of_mean",
        "statistics/error_of_log_variance",
    }
    assert "statistics/error_by_layer" in accumulator.Tags()["images"]


def test_by_default_the_layers_at_full_resolution_adapt_and_no_others(best, tmp_path, capfd):
    record = adapt(best, tmp_path)
    assert record["policy"]["layers"] == "full_resolution"
    assert record["class_proportions"]["target"] is None
    before, after = weights(best), weights(tmp_path / "adapted.ckpt")
    changed = {key.rsplit(".", 1)[0] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {f"network.{level}.norm{layer}" for level in ("encoder.0", "decoder.3") for layer in (1, 2)}
    assert "Adapted 4 of 18 BatchNorm layers" in " ".join(capfd.readouterr().out.split())
    adapt(best, tmp_path, ALL_LAYERS)
    assert "Adapted 18 BatchNorm layers" in " ".join(capfd.readouterr().out.split())


def test_a_policy_is_applied_and_recorded(best, tmp_path):
    prior = ["--policy.source_weight=SourcePrior", "--policy.source_weight.samples=16"]
    record = adapt(best, tmp_path, *prior, '--policy.layers=["encoder*"]', "--policy.depth=[0,4]")
    assert record["policy"]["source_weight"] == {"rule": "SourcePrior", "samples": 16}
    assert record["source_weight"] == pytest.approx(16 / (16 + record["tiles"]))
    before, after = weights(best), weights(tmp_path / "adapted.ckpt")
    changed = {key.rsplit(".", 1)[0] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {f"network.encoder.{level}.norm{layer}" for level in (0, 1) for layer in (1, 2)}


def test_layer_consistent_statistics_differ_from_one_pass_only_behind_the_first_layer(best, tmp_path):
    adapt(best, tmp_path, ALL_LAYERS)
    one = Bank.load(tmp_path / "adapted.safetensors")
    adapt(best, tmp_path, ALL_LAYERS, "--propagation=layer_consistent")
    shifts = Bank.load(tmp_path / "adapted.safetensors").compared(one)
    assert shifts["encoder.0.norm1"].mean < 1e-6
    assert 1e-4 < shifts["bottleneck.norm2"].mean < 1


def test_a_bank_does_for_test_and_predict_what_the_adapted_checkpoint_does(best, tmp_path):
    adapt(best, tmp_path)
    bank = ["--bank", str(tmp_path / "adapted.safetensors")]
    scores = [
        main(["test", *TARGET_ALONE, *SILENT, "--ckpt_path", str(path), *more])
        .trainer.callback_metrics["test/target/iou"]
        .item()
        for path, more in [(best, []), (best, bank), (tmp_path / "adapted.ckpt", [])]
    ]
    assert scores[1] == pytest.approx(scores[2], abs=1e-4)
    assert scores[0] != pytest.approx(scores[1], abs=1e-2)
    for path, more, name in [(best, bank, "a"), (tmp_path / "adapted.ckpt", [], "b")]:
        main(["predict", *TARGET_ALONE, "--ckpt_path", str(path), "--output", str(tmp_path / name), *more])
    files = sorted(path.name for path in (tmp_path / "a").iterdir() if path.suffix != ".json")
    assert files
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)


def test_a_missing_bank_and_a_policy_without_layers_are_refused(refused, best, tmp_path):
    assert "nosuch.safetensors: cannot be read as a bank" in refused(
        "test", *TARGET_ALONE, "--ckpt_path", best, "--bank", "nosuch.safetensors"
    )
    asked = ("adapt", *TARGET_ALONE, "--ckpt_path", best, "--output", tmp_path / "a.ckpt")
    assert "No BatchNorm layer is chosen" in refused(*asked, '--policy.layers=["nosuch*"]')
    assert "fewer than min_tiles, 1000" in refused(*asked, "--until.min_tiles=1000")
    assert not (tmp_path / "a.ckpt").exists()


@pytest.mark.parametrize("options", [[], ["--propagation=layer_consistent", "--until.tolerance=0.2"]])
def test_two_processes_write_the_bank_of_one(best, tmp_path, options):
    """Lightning's DDP with gloo; each process sees its share of the batches."""
    alone = adapt(best, tmp_path, *options)
    one = Bank.load(tmp_path / "adapted.safetensors")
    both = tmp_path / "both.ckpt"
    said = run_in_two("adapt", *TARGET_ALONE, "--ckpt_path", best, "--output", both, *options)
    record = json.loads(both.with_suffix(".json").read_text())
    if not options:
        assert record["tiles"] == alone["tiles"]
        shifts = Bank.load(both.with_suffix(".safetensors")).compared(one).values()
        assert max(shift.mean + shift.log_variance for shift in shifts) < 1e-6
    assert said.count("Adapted 4 of 18 BatchNorm layers") == 1
    assert not list(tmp_path.glob(".partial*"))
