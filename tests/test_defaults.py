"""`--print_config` also says what holds where it shows null."""

import sys

import pytest
import yaml

from bnadapt.__main__ import run
from bnadapt.commands.defaults import defaults_in_force
from bnadapt.commands.training_length import PATIENCE, STEPS


def test_defaults_in_force_are_shown_in_front_of_the_config_which_stays_one(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bnadapt", "fit", "--data.source", "VNC", "--print_config"])
    with pytest.raises(SystemExit) as ended:
        run()
    assert not ended.value.code
    shown = capsys.readouterr().out
    for said in ("loss", "AdamW with a learning rate of 1e-3", "one cycle over the run", "else `zscore`", "bf16-mixed"):
        assert said in shown
    assert yaml.safe_load(shown)["data"]["source"]["class_path"].endswith("VNC")


def test_steps_are_those_of_a_training_without_a_length():
    assert f"{STEPS} steps" in defaults_in_force([])
    assert f"{PATIENCE} epochs" in defaults_in_force([])


def test_defaults_are_those_of_the_task_that_is_named():
    assert "Dice plus cross-entropy" in defaults_in_force(["fit"])
    assert "Dice plus cross-entropy" not in defaults_in_force(["fit", "--model", "mine.Task"])
    other = defaults_in_force(["fit", "--model=YNetTask"])
    assert "model." in other
    assert other != defaults_in_force(["fit"])
