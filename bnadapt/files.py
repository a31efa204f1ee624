"""Outputs are written beside their place and renamed, all or none, so that nobody finds half of them."""

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
    """Refuse addresses such as https://example.org/a.zarr, which are neither read nor written.

    Raises:
        InputError: it is one.
    """
    if ADDRESS.match(str(path)):
        raise InputError(f"{path}: is an address, and files are read and written on disk alone; give a local copy.")


def existing(path: str | Path) -> Path:
    """Check that a file or folder can be read, and return its path.

    Raises:
        InputError: it is missing, empty, a URL, neither a file nor a folder, or may not be read.
    """
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
    """Check that a folder is there, and return its path.

    Raises:
        InputError: it is missing, a file, or a URL.
    """
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
    """A folder that results can go to, made if need be.

    Raises:
        InputError: it cannot be made, or nothing can be written there.
    """
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
    """The refusal that an error stands for which an operating system, or a library, raises on writing.

    Args:
        error: any.
        path: that was to be written; by default the one that the error names.

    Returns:
        None if the error is of another kind.
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
    """Refuse to replace earlier results, unless asked to.

    Raises:
        InputError: some are there.
    """
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        others = f", and {len(there) - 1} more" if len(there) > 1 else ""
        raise InputError(f"{there[0]}: is there already{others}; give another --output, or --overwrite to replace it.")


def refuse_inputs(path: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output that is one of the inputs, which would be lost.

    Raises:
        InputError: it is.
    """
    if any(path.resolve() == each.resolve() for each in inputs):
        raise InputError(f"{path}: is read by this command; give another --output.")


def check_outputs(paths: Sequence[Path], overwrite: bool, inputs: Sequence[Path] = ()) -> None:
    """Refuse outputs that are inputs, that are there already, or that cannot be written, before any work is done.

    Args:
        paths: of the outputs.
        overwrite: whether earlier ones may be replaced.
        inputs: paths that are read.

    Raises:
        InputError: one is refused.
    """
    for path in paths:
        refuse_inputs(path, inputs)
    refuse_existing(paths, overwrite)
    for path in paths:
        check_writable(path.parent, [path.name])


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a path to write to that becomes `path` when the block ends without an exception.

    The stand-in lies in the same folder and has the same extension. After an exception it is gone
    and `path` is as it was.

    Raises:
        InputError: `path` is a folder, or cannot be written.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the path of a file.")
    with atomic_folder(path.parent, [path.name]) as partial:
        yield partial / path.name


@contextmanager
def atomic_folder(folder: Path, names: Sequence[str] = ()) -> Iterator[Path]:
    """Give an empty folder whose entries move into `folder` when the block ends without an exception.

    All of them do, or none; what they replace comes back if one cannot be moved.

    Args:
        folder: made if need be.
        names: of entries to come, which are tried at once; messages name the first.

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
    """Find out whether `atomic_folder` can do its work, before any other work is done; nothing is left behind.

    Raises:
        InputError: as there.
    """
    shutil.rmtree(_partial_folder(folder, names, folder / names[0] if names else folder), ignore_errors=True)


def _partial_folder(folder: Path, names: Sequence[str], output: Path) -> Path:
    """A new folder in `folder`, or beside it where it is yet to come, in which entries of these names can be."""
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
    """Remove what lies in a folder under a name that begins with a dot."""
    for each in folder.glob(".*"):
        shutil.rmtree(each) if each.is_dir() else each.unlink()


def move_all(partial: Path, folder: Path) -> None:
    """Rename all entries of a folder into another one; what they replace is put aside until all have moved."""
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
    """Undo what was done of a replacement, as far as the disk allows."""
    with suppress(OSError):
        if path.exists() and not new.exists():
            os.replace(path, new)
        if old.exists():
            os.replace(old, path)


def sampled_digest(path: Path) -> str:
    """SHA-256 of a file's size and of a few parts of it: differs between files, whatever they are called."""
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
