"""Outputs: nothing is replaced unasked, what belongs together appears together, what cannot be written is told."""

import errno
import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager

import fsspec.implementations.local
import pytest

from bnadapt import files
from bnadapt.adaptation import NetworkRunner
from bnadapt.commands.cli import main
from bnadapt.errors import InputError
from bnadapt.files import atomic_folder, atomic_write, check_writable
from tests.conftest import TARGET_ALONE, without, write_images
from tests.processes import Command

TARGET = [*TARGET_ALONE, "--trainer.logger=false"]


def content(folder):
    """All files below a folder, with what is in them."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def limited_files(size):
    """No file may grow beyond so many bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def failing_once(monkeypatch, path):
    """The first time that something should move there, the disk fails."""
    moved, failures = os.replace, []

    def refuse(source, destination):
        if str(destination) == str(path) and not failures:
            failures.append(destination)
            raise OSError(errno.EIO, "Input/output error", str(destination))
        moved(source, destination)

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "replace", refuse)
        yield
    assert failures


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
    assert f"{there}: is there already; give another --output, or --overwrite to replace it" in sentence
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
    assert "of 2000 sections are segmented; the same command goes on with the rest" in process.errors
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


class TestAtomicFolder:
    """All entries, or none."""

    def test_entries_appear_at_the_end(self, tmp_path):
        with atomic_folder(tmp_path / "out") as partial:
            (partial / "one").write_text("1")
            assert not (tmp_path / "out").exists()
        assert content(tmp_path) == {"out/one": b"1"}

    def test_after_an_exception_everything_is_as_it_was(self, tmp_path):
        (tmp_path / "one").write_text("before")

        def fail():
            with atomic_folder(tmp_path) as partial:
                (partial / "one").write_text("after")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert content(tmp_path) == {"one": b"before"}

    def test_what_was_replaced_comes_back(self, tmp_path, monkeypatch):
        for name in "abc":
            (tmp_path / name).write_text("before")

        def write():
            with atomic_folder(tmp_path) as partial:
                for name in "abcd":
                    (partial / name).write_text("after")

        with failing_once(monkeypatch, tmp_path / "b"), pytest.raises(InputError):
            write()
        assert content(tmp_path) == dict.fromkeys("abc", b"before")

    def test_what_cannot_be_put_back_is_not_deleted(self, tmp_path, monkeypatch):
        (tmp_path / "a").write_text("before")
        moved = os.replace

        def refuse(source, destination):
            if str(destination) == str(tmp_path / "a"):
                raise OSError(errno.EIO, "Input/output error", str(destination))
            moved(source, destination)

        def write():
            with atomic_folder(tmp_path) as partial:
                (partial / "a").write_text("after")

        monkeypatch.setattr(files.os, "replace", refuse)
        with pytest.raises(InputError):
            write()
        assert list(content(tmp_path).values()) == [b"before"]

    def test_trying_a_place_leaves_nothing(self, tmp_path):
        check_writable(tmp_path / "new", ["a.ckpt"])
        assert content(tmp_path) == {}
        assert not (tmp_path / "new").exists()

    def test_a_file_keeps_its_extension_meanwhile(self, tmp_path):
        with atomic_write(tmp_path / "a.png") as partial:
            assert partial.suffix == ".png"
            partial.write_text("1")
        assert content(tmp_path) == {"a.png": b"1"}
