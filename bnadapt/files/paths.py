"""Paths of inputs: checks, names for tables, checksums."""

import os
import re
from hashlib import file_digest, sha256
from pathlib import Path

from bnadapt.errors import InputError

PARTS, PART = 5, 4096  # number and bytes of the samples of a file
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # one letter would be a drive
FORMULA = re.compile(r"[=@\t\r]|[+-](?![\d.]*$)")  # beginnings of cells that spreadsheets run as formulas


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
