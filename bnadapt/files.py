"""Outputs are written beside their place and renamed, so that nobody finds half a file."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bnadapt.errors import InputError


def made_folder(path: str) -> Path:
    """A folder that results can go to, made if need be.

    Raises:
        InputError: it cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be made a folder ({error.strerror}); give another one.") from error
    return Path(path)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a path to write to that becomes `path` when the block ends without an exception.

    The stand-in lies in the same folder and has the same ending. After an exception it is gone
    and `path` is as it was.

    Raises:
        InputError: `path` is a folder.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the path of a file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".partial-", dir=path.parent))
    try:
        yield folder / path.name
        os.replace(folder / path.name, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def filled_whole(folder: Path) -> Iterator[Path]:
    """Give an empty folder whose entries move into `folder` when the block ends without an exception.

    Raises:
        InputError: `folder` is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a folder to write into.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    try:
        yield partial
        folder.mkdir(exist_ok=True)
        for entry in sorted(partial.iterdir()):
            _replace(entry, folder / entry.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _replace(made: Path, path: Path) -> None:
    """Rename `made` to `path`; a folder (a Zarr store) that is there already goes first."""
    if path.is_dir():
        shutil.rmtree(path)
    os.replace(made, path)
