"""What is refused, and said, before anything heavy is imported."""

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from bnadapt.commands.announcement import announce
from bnadapt.commands.input_checks import check_inputs

ADAPT = "adapt --ckpt_path {best} --data.target "


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    """A file that looks like a checkpoint."""
    path = tmp_path_factory.mktemp("best") / "best.ckpt"
    torch.save({"pytorch-lightning_version": "2.5", "hyper_parameters": {}, "state_dict": {}}, path)
    return path


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("adapt --ckpt_path nosuch.ckpt", "nosuch.ckpt: no such checkpoint; check --ckpt_path"),
        ("predict --ckpt_path=.", ".: no such checkpoint"),
        ("test --ckpt_path text.ckpt", "text.ckpt: is not a checkpoint .*not written by torch"),
        ("test --ckpt_path half.ckpt", "half.ckpt: is not a checkpoint .* is incomplete"),
        ("fit --ckpt_path other.zip", "other.zip: is not a checkpoint .* an archive of something else"),
        ("adapt --ckpt_path weights.pth", "weights.pth: .* `bnadapt import` converts them"),
        (ADAPT + "Folder --data.target.images nosuch", "nosuch: no such folder; check the path"),
        (ADAPT + "Folder --data.target.images text.ckpt", "text.ckpt: no such folder"),
        (ADAPT + "Stack --data.target.images=nosuch.tif", "nosuch.tif: no such file; check the path"),
        (ADAPT + "Stack --data.target.images empty.tif", "empty.tif: is empty"),
        (ADAPT + "Folder --data.target.images . --data.target.masks nosuch", "nosuch: no such folder"),
        ("fit --data.source Stack --data.source.images a.npy --data.source.masks m.npy", "m.npy: no such file"),
        ("fit --data.source Folder --data.source.images https://a.org/b", "is an address"),
        ("objects --mask nosuch.tif", "nosuch.tif: no such file"),
        ("objects --mask a.npy --probability nosuch.tif", "nosuch.tif: no such file"),
    ],
)
def test_inputs_that_cannot_be_used_are_refused_before_a_command_begins(best, refused, monkeypatch, line, words):
    monkeypatch.setattr("bnadapt.__main__._run", lambda *_: pytest.fail("begun"))
    Path("text.ckpt").write_text("no checkpoint")
    Path("half.ckpt").write_bytes(best.read_bytes()[:500])
    Path("empty.tif").touch()
    with zipfile.ZipFile("other.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    torch.save({"a": torch.zeros(2)}, "weights.pth")
    np.save("a.npy", np.zeros(2))
    assert re.search(words, refused(*line.format(best=best).split()))


def test_a_working_folder_that_is_gone_is_refused(refused, monkeypatch, tmp_path):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert "the working folder is gone; change to another one" in refused("--version")


@pytest.mark.parametrize(
    "line",
    [
        "adapt --ckpt_path {best} --data.target Synthetic --data.target.images 6",
        "adapt --ckpt_path {best} --data.target mine.Domain --data.target.images nosuch",
        "adapt --ckpt_path {best} --config mine.yaml --data.target.images nosuch",
        "fit --ckpt_path null --data.source Folder --data.source.images . --data.source.masks null",
        "fit --data.source Folder --data.source.masks",
    ],
)
def test_what_may_be_right_is_left_to_the_command(best, line):
    command, *arguments = line.format(best=best).split()
    check_inputs(command, arguments)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("adapt --ckpt_path a.ckpt --data.target Folder --data.target.images new", "adapting a.ckpt to new."),
        ("predict --ckpt_path a.ckpt --data.target VNC --output p", "segmenting VNC with a.ckpt; output: p."),
        ("fit --config mine.yaml", "training a network on the source of the config."),
        ("recommend --ckpt_path a.ckpt --config b.yaml", "tiles of the target of the config, to recommend how to"),
        ("objects --mask {here}", "measuring the objects in {here}"),
    ],
)
def test_every_command_says_what_it_will_do(capsys, line, said):
    command, *arguments = line.split()
    announce(command, arguments)
    told = capsys.readouterr().out
    assert told.startswith(f"bnadapt {command}: ")
    assert said in told


def test_nothing_is_said_in_place_of_a_config_or_by_further_processes(capsys, monkeypatch):
    announce("fit", ["--print_config"])
    announce("doctor", [])
    monkeypatch.setenv("LOCAL_RANK", "1")
    announce("fit", [])
    assert not capsys.readouterr().out
