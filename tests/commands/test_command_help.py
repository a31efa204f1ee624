import re
import sys
from contextlib import suppress

import pytest

from bnadapt.__main__ import run
from bnadapt.commands.docstrings import documented, method_of_trainer
from bnadapt.commands.help import help_for
from bnadapt.commands.help_texts import HELP
from bnadapt.commands.options import COMMANDS, check_options, check_study_options
from bnadapt.gain import CANDIDATES, RECOMMENDABLE
from bnadapt.studies import STUDIES

SCREEN = 60


@pytest.fixture
def printed(monkeypatch, capsys):
    """What a command line prints."""

    def printed(*arguments):
        monkeypatch.setattr(sys, "argv", ["bnadapt", *arguments])
        with suppress(SystemExit):
            run()
        return capsys.readouterr().out

    return printed


@pytest.mark.parametrize("command", [*COMMANDS, *(f"study {name}" for name in STUDIES)])
def test_help_fits_on_a_screen(command, printed):
    lines = printed(*command.split(), "--help").splitlines()
    assert lines[0].startswith(f"usage: bnadapt {command}")
    assert len(lines) <= SCREEN
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("command", HELP)
def test_every_option_of_a_help_is_one(command):
    text = help_for([command, "--help"])
    options = re.findall(r"--[\w.]+", text)
    assert "--ckpt_path" in options
    check_options([command, *options])


@pytest.mark.parametrize("name", STUDIES)
def test_every_option_of_a_studys_help_is_one(name):
    check_study_options(name, re.findall(r"^  (--[\w.]+)", help_for(["study", name, "-h"]), re.MULTILINE))


def test_all_parameters_of_a_command_are_told():
    assert {"--output", "--overwrite", "--policy", "--until", "--choose"} <= set(help_for(["adapt", "-h"]).split())


@pytest.mark.parametrize("command", [["fit"], ["adapt"], ["study", "pairs"]])
def test_all_options_are_lightnings_too(command, printed):
    text = printed(*command, "--help-all")
    assert ("--trainer.accumulate_grad_batches" if command != ["study", "pairs"] else "--study.tasks.help") in text


def test_help_of_a_class_is_left_to_the_parser():
    assert help_for(["fit", "--data.source.help", "Folder"]) is None


def test_doctor_tells_what_is_there_and_what_is_missing(printed, monkeypatch):
    monkeypatch.setattr(
        "bnadapt.commands.doctor.requires", lambda name: ["torch>=1", "torch>=99", "no-such-package", "x; extra=='y'"]
    )
    text = printed("doctor")
    assert "CPU cores" in text
    assert "torch>=99: " in text
    assert "no-such-package: it is not installed" in text
    assert "torch>=1:" not in text
    assert "x:" not in text.partition("missing:")[2].replace("pip", "")


def test_a_study_without_its_packages_says_how_to_get_them(monkeypatch, refused):
    monkeypatch.setattr("bnadapt.commands.study.NEEDED", ("pandas", "no_such_package"))
    sentence = refused("study", "pairs", "--study.seeds=[1]")
    assert "needs no_such_package, which" in sentence
    assert "bnadapt[studies]" in sentence


def test_help_lists_the_candidates_that_adapt_takes():
    words = set(re.split(r"[ ,.:;`]+", documented(*method_of_trainer("adapt"))["choose"].partition(". ")[0]))
    assert words & set(CANDIDATES) == set(RECOMMENDABLE)
