"""Paths of inputs and outputs; outputs are written to a temporary name and renamed, all or none."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import file_digest, sha256
from pathlib import Path

from bnadapt.errors import InputError

PARTS, PART = 5, 4096  # that identify a file, and bytes of each
REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space, or give a folder on another disk",
    errno.EDQUOT: "your share of the disk is used up; free some space, or give a folder on another disk",
    errno.EFBIG: "it is larger than files may be there; give a folder on another disk",
    errno.ENAMETOOLONG: "the name is too long; give a shorter one",
}
REFUSED = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.EIO,
    errno.ELOOP,
    *REMEDIES,
}
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # of more than one letter, which would be a drive
FORMULA = re.compile(r"[=@\t\r]|[+-](?![\d.]*$)")  # how cells begin that are neither text nor a number
LOOP = re.compile("Symlink loop from '(.*)'")  # what pathlib raises before Python 3.13
NO_SPACE = (
    "no space left",
    "disk quota",
    "failed writing file",
    "unexpected pos",
    "requested and",
)  # libraries have their own errors


def refuse_address(path: str | Path) -> None:
    """Refuse addresses such as https://example.org/a.zarr, which are neither read nor written."""
    if ADDRESS.match(str(path)):
        raise InputError(f"{path}: is an address; give a local copy, since only files on disk are read and written.")


def existing(path: str | Path) -> Path:
    """The path of a file or folder; refuses one that is missing, empty or unreadable, and addresses."""
    refuse_address(path)
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file; check the path.")
    if not (path.is_file() or path.is_dir()):
        raise InputError(f"{path}: is neither a file nor a folder; give a file.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: may not be read; give yourself the permission, or leave it out.")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes); copy it again from its origin or leave it out.")
    return path


def existing_folder(path: str | Path) -> Path:
    """The path of a folder; refuses one that is missing, files and addresses."""
    refuse_address(path)
    if not Path(path).is_dir():
        raise InputError(f"{path}: no such folder; check the path.")
    return Path(path)


def printable(name: str) -> str:
    r"""A file name for tables; bytes of it that are not UTF-8 are escaped, such as `b\xe9ton`.

    A name that spreadsheets would run as a formula begins with `'`, which they show as text.
    """
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return f"'{text}" if FORMULA.match(text) else text


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


def unwritable(path: str | Path, error: OSError) -> InputError:
    """The refusal of a place that cannot be written to."""
    why = REMEDIES.get(error.errno, f"{error.strerror or error}; give another place")
    return InputError(f"{path}: cannot be written, {why}.")


def refusal_of_place(error: BaseException, path: str | Path | None = None) -> InputError | None:
    """The refusal for an error of an operating system, or a library, on writing; None for other errors.

    `path` was to be written; by default it is the one that the error names.
    """
    if isinstance(error, RuntimeError) and (loop := LOOP.fullmatch(str(error))):
        error = OSError(errno.ELOOP, "its links lead in a circle", loop[1])
    if any(words in str(error).lower() for words in NO_SPACE):
        error = OSError(errno.ENOSPC, str(error), getattr(error, "filename", None))
    if not isinstance(error, OSError) or error.errno not in REFUSED:
        return None
    path = path or error.filename2 or error.filename
    return unwritable(path or "the output", error)


@contextmanager
def refusing_place(path: str | Path) -> Iterator[None]:
    """Turn a failure to write into an `InputError` that names the path."""
    try:
        yield
    except Exception as error:
        if refusal := refusal_of_place(error, path):
            raise refusal from error
        raise


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


def sampled_digest(path: Path) -> str:
    """SHA-256 of the size and a few parts of a file."""
    size = path.stat().st_size
    digest = sha256(str(size).encode())
    with path.open("rb") as file:
        for number in range(PARTS):
            file.seek(max(0, size - PART) * number // (PARTS - 1))
            digest.update(file.read(PART))
    return digest.hexdigest()


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with Path(path).open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
