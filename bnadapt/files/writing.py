"""Outputs, written to a temporary name and renamed, all or none."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bnadapt.errors import InputError
from bnadapt.files.failures import refusing_place, unwritable
from bnadapt.files.paths import refuse_address


def ensure_folder(path: str | Path) -> Path:
    """A folder for results, created if missing; refuses one that cannot be created or written to."""
    refuse_address(path)
    path = Path(path)
    if path.is_file():
        raise InputError(f"{path}: is a file; give a folder to write into.")
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def refuse_existing(paths: Iterable[Path], overwrite: bool) -> None:
    """Refuse to replace earlier results, unless asked to."""
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        others = f", and {len(there) - 1} more" if len(there) > 1 else ""
        raise InputError(f"{there[0]}: exists already{others}; give another --output, or --overwrite to replace it.")


def refuse_inputs(path: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output that is one of the inputs, which would be lost."""
    if any(path.resolve() == each.resolve() for each in inputs):
        raise InputError(f"{path}: is read by this command; give another --output.")


def check_outputs(paths: Sequence[Path], overwrite: bool, inputs: Sequence[Path] = ()) -> None:
    """Refuse outputs that are inputs, that exist (unless `overwrite`), or that cannot be written."""
    for path in paths:
        refuse_inputs(path, inputs)
    refuse_existing(paths, overwrite)
    for path in paths:
        check_writable(path.parent, [path.name])


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a path to write to that becomes `path` when the block ends without an exception.

    It has the same name and is removed after an exception. Refuses folders, and paths that cannot be written.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the path of a file.")
    with atomic_folder(path.parent, [path.name]) as partial:
        yield partial / path.name


@contextmanager
def atomic_folder(folder: Path, names: Sequence[str] = ()) -> Iterator[Path]:
    """Give an empty folder; its entries move into `folder` when the block ends without an exception, all or none.

    Args:
        folder: folder of the results, created if missing.
        names: names of the results, tried at once; messages contain the first.

    Raises:
        InputError: `folder` is a file, or cannot be written.
    """
    output = folder / names[0] if names else folder
    partial = _partial_folder(folder, names, output)
    try:
        with refusing_place(output):
            yield partial
            folder.mkdir(exist_ok=True)
            move_all(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_writable(folder: Path, names: Sequence[str] = ()) -> None:
    """Refuse a folder in which `atomic_folder` would fail, before any other work is done; leaves nothing behind."""
    shutil.rmtree(_partial_folder(folder, names, folder / names[0] if names else folder), ignore_errors=True)


def _partial_folder(folder: Path, names: Sequence[str], output: Path) -> Path:
    """A new folder in `folder`, or beside it if it does not exist yet, in which these names are possible."""
    refuse_address(output)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{output}: cannot be written, {folder} is a file; give a folder to write into.")
    above = folder if folder.is_dir() else folder.parent
    partial: Path | None = None
    try:
        above.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=above))
        for name in filter(None, (*names, folder.name)):
            (partial / name).touch()
            (partial / name).unlink()
    except OSError as error:
        if partial:
            shutil.rmtree(partial, ignore_errors=True)
        raise unwritable(output, error) from error
    return partial


def remove_hidden(folder: Path) -> None:
    """Remove files and folders with names that begin with a dot from a folder."""
    for each in folder.glob(".*"):
        shutil.rmtree(each) if each.is_dir() else each.unlink()


def move_all(partial: Path, folder: Path) -> None:
    """Move all entries of a folder into another one; replaced entries are kept until all have moved."""
    replaced = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
    moved: list[str] = []
    try:
        for entry in sorted(partial.iterdir()):
            moved.append(entry.name)
            if (folder / entry.name).exists():
                os.replace(folder / entry.name, replaced / entry.name)
            os.replace(entry, folder / entry.name)
    except BaseException:
        for name in moved:
            _put_back(folder / name, partial / name, replaced / name)
        with suppress(OSError):
            replaced.rmdir()  # unless something could not be put back
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def _put_back(path: Path, new: Path, old: Path) -> None:
    """Undo a replacement, as far as the disk allows."""
    with suppress(OSError):
        if path.exists() and not new.exists():
            os.replace(path, new)
        if old.exists():
            os.replace(old, path)
