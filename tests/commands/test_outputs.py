"""Outputs: nothing is replaced unasked, what belongs together appears together, what cannot be written is told."""

import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager

import fsspec.implementations.local
import pytest

from bnadapt.adaptation import NetworkRunner
from bnadapt.commands.cli import main
from bnadapt.errors import InputError
from tests.conftest import TARGET_ALONE, without, write_images
from tests.processes import Command
from tests.test_files import content, failing_once

TARGET = [*TARGET_ALONE, "--trainer.logger=false"]


@contextmanager
def limited_files(size):
    """No file may grow beyond so many bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("command", "output", "there"),
    [
        ("adapt", "out/a.ckpt", "out/a.ckpt"),
        ("adapt", "out/a.ckpt", "out/a.json"),
        ("predict", "out", "out/003_probability.png"),
        ("distances", "out", "out/distances.csv"),
    ],
)
def test_earlier_results_are_replaced_only_where_asked(best, refused, tmp_path, command, output, there):
    (tmp_path / "out").mkdir()
    target = write_images(tmp_path / "target")
    for path in sorted((target / "images").iterdir()):
        path.rename(path.with_name(f"0{path.name}"))
    domain = ["--data.target=Folder", f"--data.target.images={target / 'images'}", "--data.tile_size=48"]
    source = ["--data.source=Folder", f"--data.source.images={target / 'images'}"] if command == "distances" else []
    (tmp_path / there).write_text("earlier")
    asked = [command, "--ckpt_path", str(best), *domain, *source, "--trainer.logger=false", "--output", output]
    sentence = refused(*asked)
    assert f"{there}: exists already; give another --output, or --overwrite to replace it" in sentence
    assert content(tmp_path / "out") == {os.path.relpath(there, "out"): b"earlier"}
    if command != "distances":
        main([*asked, "--overwrite"])
        assert (tmp_path / there).read_bytes() != b"earlier"


def test_checkpoint_bank_and_record_appear_together_or_not_at_all(best, tmp_path, monkeypatch):
    out = tmp_path / "out"
    asked = ["adapt", *TARGET, "--ckpt_path", str(best), "--output", str(out / "a.ckpt"), "--overwrite"]
    main(asked)
    before = content(out)
    with (
        failing_once(monkeypatch, out / "a.json"),
        pytest.raises(InputError, match="cannot be written, Input/output error"),
    ):
        main([*asked, "--policy.source_weight=0.5"])
    assert content(out) == before


def test_an_output_that_cannot_be_written_is_found_before_the_work(best, refused, tmp_path, monkeypatch):
    def work(*arguments):
        raise AssertionError("the work has begun")

    monkeypatch.setattr(NetworkRunner, "adapt", work)
    (tmp_path / "file").touch()
    sentence = refused("adapt", *TARGET, "--ckpt_path", best, "--output", tmp_path / "file" / "a.ckpt")
    assert "file/a.ckpt: cannot be written" in sentence
    long = tmp_path / f"{'a' * 300}.ckpt"
    assert "the name is too long; give a shorter one" in refused(
        "adapt", *TARGET, "--ckpt_path", best, "--output", long
    )


@pytest.mark.parametrize(("command", "output", "size"), [("adapt", "out/a.ckpt", 100_000), ("predict", "out", 500)])
def test_a_full_disk_is_told_in_a_sentence_and_leaves_nothing(best, refused, tmp_path, command, output, size):
    (tmp_path / "out").mkdir()
    with limited_files(size):
        sentence = refused(command, *TARGET, "--ckpt_path", best, "--output", output)
    assert "cannot be written" in sentence
    assert "on another disk" in sentence
    assert content(tmp_path / "out") == {}


def test_files_have_the_permissions_that_others_of_the_user_have(best, tmp_path):
    umask = 0o027
    before = os.umask(umask)
    fsspec.implementations.local.get_umask.cache_clear()  # once a process, as a rule
    try:
        main(["adapt", *TARGET, "--ckpt_path", str(best), "--output", str(tmp_path / "out" / "a.ckpt")])
        main(["predict", *TARGET, "--ckpt_path", str(best), "--output", str(tmp_path / "masks")])
    finally:
        os.umask(before)
        fsspec.implementations.local.get_umask.cache_clear()
    for path in (*(tmp_path / "out").iterdir(), *(tmp_path / "masks").iterdir()):
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask, path


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 1), (signal.SIGHUP, 129)])
def test_a_signal_ends_with_its_status_and_leaves_nothing_half_written(best, tmp_path, number, status):
    many = [*without(TARGET, "--data.target.images"), "--data.target.images=2000"]
    process = Command("predict", *many, "--ckpt_path", best, "--output", "out")
    process.until(lambda: list(tmp_path.glob("out/.unfinished/finished-*"))).send(number)
    assert process.wait() == status, process.errors
    assert "Traceback" not in process.errors
    assert "of 2000 sections are segmented; the same command resumes with the rest" in process.errors
    assert [each.name for each in (tmp_path / "out").iterdir()] == [".unfinished"]


HALF_MADE = """
import os, signal
from bnadapt.commands.refusals import refusals

class Plugin:
    def __init__(self):
        os.kill(os.getpid(), {number})
        self.file = None

    def __del__(self):
        print(self.file)

signal.signal(signal.SIGINT, signal.default_int_handler)
with refusals():
    Plugin()
"""


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGTERM, "ended by SIGTERM"), (signal.SIGINT, "KeyboardInterrupt")]
)
def test_what_a_signal_has_left_half_made_does_not_complain(number, words):
    code = HALF_MADE.format(number=int(number))
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert words in ended.stderr
    assert "__del__" not in ended.stderr
