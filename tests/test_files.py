"""Files that belong together appear together, or not at all."""

import errno
import os
from contextlib import contextmanager

import pytest

from bnadapt.errors import InputError
from bnadapt.files import atomic_folder, atomic_write, check_writable, existing, printable, refusal_of_place


def content(folder):
    """All files below a folder, with what is in them."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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
        patched.setattr(os, "replace", refuse)
        yield
    assert failures


def test_pipes_and_links_in_a_circle_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        existing(tmp_path / "pipe.png")
    assert str(refusal_of_place(RuntimeError("Symlink loop from '/a'"))).startswith("/a: cannot be written, its links")


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "@sum", "+a", "-a", "\t=1"])
def test_names_in_tables_are_no_formulas(name):
    assert printable(name) == f"'{name}"


@pytest.mark.parametrize("name", ["a=b", "-1", "+1.5", "0@a", "'a"])
def test_other_names_in_tables_stay_as_they_are(name):
    assert printable(name) == name


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

        monkeypatch.setattr(os, "replace", refuse)
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
