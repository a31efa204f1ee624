"""Which precision commands take where none is given."""

import json
from itertools import accumulate, chain, repeat
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from bnadapt.commands.cli import main
from bnadapt.commands.precision import fastest_precision
from bnadapt.networks import build_network
from bnadapt.volumes import execution
from tests.conftest import DOMAINS, SMALL, TARGET_ALONE, without

SHAPE = (2, 1, 32, 32)


@pytest.fixture
def network():
    return build_network("unet", 1, 2, {"base_channels": 4})


@pytest.fixture
def steps(monkeypatch):
    """Let the steps that are measured take so many seconds of a processor."""

    def take(*seconds):
        ticks = accumulate(chain.from_iterable((0.0, each) for each in seconds))
        monkeypatch.setattr(execution, "time", SimpleNamespace(process_time=lambda: next(ticks)))

    return take


@pytest.mark.parametrize(("half", "name"), [(0.5, "bf16-mixed"), (0.95, "32-true"), (3.0, "32-true")])
def test_bfloat16_is_taken_where_it_is_clearly_faster(network, steps, half, name):
    steps(9, 1, 1.2, 9, 2 * half, half)  # the first step of each does not count
    found = fastest_precision(network, SHAPE, 2, "cpu")
    assert found.name == name
    assert f"takes {half:.2f} of its time" in found.reason


def test_the_network_and_the_random_numbers_stay_as_they_are(network):
    before, state = {name: each.clone() for name, each in network.state_dict().items()}, torch.get_rng_state()
    fastest_precision(network, SHAPE, 2, "cpu")
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(each.grad is None for each in network.parameters())


def test_what_cannot_be_measured_is_left_to_the_training(network):
    assert fastest_precision(network, (2, 3, 32, 32), 2, "cpu").name == "32-true"


class TwoOutputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 1)

    def forward(self, images):
        return [self.layer(images), images]


def test_a_network_that_cannot_be_trained_is_left_to_the_training_to_refuse():
    found = fastest_precision(TwoOutputs(), SHAPE, 2, "cpu")
    assert (found.name, found.reason) == ("32-true", "no training step could be measured")


def test_fit_says_which_it_takes_and_keeps_it(steps, capsys):
    steps(*repeat(1.0, 3), *repeat(0.1, 3))
    cli = main(["fit", *without(SMALL, "--trainer.precision"), *DOMAINS, "--trainer.accelerator=cpu"])
    assert "Precision: bf16-mixed; in bf16-mixed a training step takes 0.10" in capsys.readouterr().out
    assert cli.trainer.precision == cli.config.fit.trainer.precision == "bf16-mixed"


@pytest.mark.parametrize(("computes", "name"), [(True, "bf16-mixed"), (False, "32-true")])
def test_statistics_are_estimated_in_bfloat16_where_the_machine_computes_in_it(
    computes, name, best, tmp_path, monkeypatch
):
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, probe, lambda: computes)
    asked = without(TARGET_ALONE, "--trainer.precision")
    main(["adapt", *asked, "--ckpt_path", str(best), "--output", str(tmp_path / "a.ckpt"), "--trainer.accelerator=cpu"])
    assert json.loads((tmp_path / "a.json").read_text())["precision"] == name
