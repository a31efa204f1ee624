"""Networks of one's own by the commands: those that work do so in all of them, all others are told why they cannot."""

import json

import pytest
import torch

from bnadapt.batchnorm import Bank
from bnadapt.commands.cli import main
from tests.conftest import DOMAINS, LOADING, SMALL, TARGET_ALONE, without

SHORT = ["--data.crops_per_epoch=8", "--trainer.max_epochs=1", "--trainer.logger=false"]
COMPLETELY = ("CompiledPart", "Lazy")  # scored and run, too
FIT = ["fit", *without(SMALL, "--model", "--data.crops_per_epoch", "--trainer.max_epochs"), *DOMAINS, *SHORT]


def network(name):
    return f"--model.network=tests.networks.own.{name}"


@pytest.mark.parametrize("name", ["CompiledPart", "ParallelPart", "Lazy", "Observed"])
def test_it_is_trained_adapted_scored_and_run(name, tmp_path):
    main([*FIT, network(name)])
    path = str(next(tmp_path.rglob("last.ckpt")))
    output = str(tmp_path / "adapted.ckpt")
    main(["adapt", *TARGET_ALONE, "--ckpt_path", path, "--output", output, network(name)])
    record = json.loads((tmp_path / "adapted.json").read_text())
    assert record["batchnorm_layers"] == 1
    before, after = (torch.load(each, weights_only=True)["state_dict"] for each in (path, output))
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert {key.rsplit(".", 1)[1] for key in changed} == {"running_mean", "running_var"}
    assert list(Bank.load(tmp_path / "adapted.safetensors").mean) == ["body.1"]
    if name not in COMPLETELY:
        return
    metrics = main(["test", *LOADING, "--ckpt_path", output, network(name)]).trainer.callback_metrics
    assert 0 <= metrics["test/target/iou"] <= 1
    main(["predict", *TARGET_ALONE, "--ckpt_path", output, "--output", str(tmp_path / "out"), network(name)])
    assert len(list((tmp_path / "out").glob("*.png"))) == 12


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ListOutput", "returns a list instead of logits; wrap it in a module"),
        ("DictOutput", "returns a dict with 'out' instead of logits"),
        ("HalfSize", r"returns logits of shape (4, 2, 16, 16), expected (4, 2, 32, 32)"),
        ("OneClassMore", r"returns logits of shape (4, 3, 32, 32), expected (4, 2, 32, 32)"),
        ("function", "is not a class of torch.nn.Module"),
        ("MoreArguments", "cannot be built"),
        ("Nosuch", "not found"),
    ],
)
def test_what_it_returns_or_is_instead_is_named(name, words, refused):
    assert words in refused(*FIT, network(name))


def test_a_network_that_takes_neither_channels_nor_classes_is_trained(tmp_path):
    main([*FIT, network("NoArguments")])
    assert list(tmp_path.rglob("last.ckpt"))


def test_batchnorm_without_running_statistics_is_named_when_it_should_adapt(refused, tmp_path):
    main([*FIT, network("Frozen")])
    path = next(tmp_path.rglob("last.ckpt"))
    options = [*TARGET_ALONE, network("Frozen"), "--output", tmp_path / "adapted.ckpt"]
    sentence = refused("adapt", *options, "--ckpt_path", path)
    assert "FrozenBatchNorm2d" in sentence
    assert not (tmp_path / "adapted.ckpt").exists()
