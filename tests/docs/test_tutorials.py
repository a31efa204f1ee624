"""The commands of README and tutorials run one after the other, as a reader would type them."""

import ast
import json
import re
import shlex
import sys
from pathlib import Path

import pytest

import bnadapt
from bnadapt.__main__ import run
from bnadapt.commands.help import help_for
from bnadapt.commands.help_texts import STANDALONE_COMMANDS
from bnadapt.commands.options import COMMANDS, check_options, check_study_options
from bnadapt.data import example_folders

ROOT = Path(bnadapt.__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "tutorials").glob("*.md"))]
FASTER = [
    "--model.network_args.base_channels=4",
    "--data.crop_size=64",
    "--trainer.max_steps=10",
    "--data.crops_per_epoch=80",
]
FASTER += ["--trainer.max_epochs=null", "--trainer.precision=32-true", "--trainer.enable_progress_bar=false"]
SMALLER = {"fit": FASTER, "recommend": ["--data.tile_size=64"], "adapt": ["--data.tile_size=64"]}


def commands(text):
    """Command lines in indented and fenced blocks of a page; those that backslashes break are put together."""
    lines = re.findall(r"^(?:    )?((?:bnadapt|python -m) .*)$", re.sub(r"\\\n\s*", "", text), re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


@pytest.fixture
def typed(monkeypatch):
    """Do a command line; training is cut short, and tiles are small."""

    def typed(command, *more):
        if command[:2] == ["python", "-m"]:
            assert command[2] == "bnadapt.data.example_folders"
            example_folders.main(Path(command[3]))
            return
        monkeypatch.setattr(sys, "argv", [*command, *SMALLER.get(command[1], ()), *more])
        run()

    return typed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_on_a_page_have_options_that_there_are(page):
    for command in commands(page.read_text()):
        if command[0] == "python" or command[1:2] in ([], ["--version"]) or not command[1].islower():
            continue
        assert command[1] in COMMANDS
        if command[1] == "study":
            check_study_options(command[2], command[3:])
            assert all((ROOT / each).exists() for each in command if each.endswith(".yaml"))
        elif command[1] in STANDALONE_COMMANDS:
            given = {each.partition("=")[0].partition(".")[0] for each in command if each.startswith("--")}
            told = help_for([command[1], "--help"]).replace(".", " ").split()
            assert given <= set(told)
        else:
            check_options(command[1:])


def test_the_tutorial_of_the_first_hour(typed, tmp_path, capsys):
    found = commands((ROOT / "docs" / "tutorials" / "first-hour.md").read_text())
    done = ["doctor", "fit", "recommend", "adapt", "predict", "test", "test", "recommend"]
    assert [command[1] for command in found[1:]] == done
    for command in found:
        typed(command)
    for path in ("predictions/volume_mask.tif", "recommendation/index.html", "measured/index.html", "adapted.json"):
        assert (tmp_path / path).exists()
    assert "IoU on 8 labelled tiles" in capsys.readouterr().out


def test_the_commands_of_the_readme(typed, tmp_path):
    example_folders.main(tmp_path / "example")
    (tmp_path / "example" / "source").rename(tmp_path / "source")
    example_folders.main(tmp_path / "other")
    (tmp_path / "other" / "source").rename(tmp_path / "target")
    own = [command for command in commands((ROOT / "README.md").read_text()) if command[1] != "study"]
    assert [command[1] for command in own] == ["fit", "adapt", "predict", "test", "recommend"]
    for command in own:
        typed(command)
    assert len(list((tmp_path / "predictions").glob("*_mask.png"))) == example_folders.SOURCE


def test_the_notebook_runs_and_says_what_its_text_says(capsys, monkeypatch):
    monkeypatch.setattr("torch.set_num_threads", lambda number: None)
    book = json.loads((ROOT / "docs" / "tutorials" / "own-network.ipynb").read_text())
    known = {}
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "own-network.ipynb", "exec"), known)
    known["plt"].close("all")
    printed = capsys.readouterr().out
    scores = {name: float(value) for name, value in re.findall(r"^(.+): (0\.\d+)$", printed, re.MULTILINE)}
    assert scores["darker, adapted"] > 0.9
    assert scores["source, by the same network"] < 0.8 < scores["source, by its own statistics"]
    assert scores["sparse, adapted"] < 0.5 < scores["sparse, corrected"]


def test_refusals_that_are_explained_are_refusals():
    told = set(texts())
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    explained = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(explained) > 10
    assert [words for words in explained if not any(words in text for text in told)] == []


def texts():
    """All texts in bnadapt; what is put into them is left out."""
    for path in (ROOT / "bnadapt").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield "\0".join(each.value for each in node.values if isinstance(each, ast.Constant))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
