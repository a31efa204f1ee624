"""Failures to write, as refusals that name the place and a remedy."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bnadapt.errors import InputError

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
LOOP = re.compile("Symlink loop from '(.*)'")  # what pathlib raises before Python 3.13
NO_SPACE = (
    "no space left",
    "disk quota",
    "failed writing file",
    "unexpected pos",
    "requested and",
)  # in messages of libraries


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
