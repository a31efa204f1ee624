"""Whether a file is there at all, and what a reader's error says."""

import os
from pathlib import Path

from bnadapt.errors import InputError


def existing(path: str | Path) -> Path:
    """The path of a file or folder that can be read.

    Raises:
        InputError: it is missing, empty, or may not be read.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file; check the path.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: may not be read; give yourself the permission, or leave it out.")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes); copy it again from its origin or leave it out.")
    return path


def reason(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def check_numbers(dtype: object, context: str) -> None:
    """Refuse arrays of anything but real numbers and truth values.

    Raises:
        InputError: they are complex, compound, text or the like.
    """
    import numpy as np

    if np.dtype(dtype).kind not in "biuf":
        raise InputError(f"{context}: holds values of type {np.dtype(dtype)}; give integers or floating point numbers.")
