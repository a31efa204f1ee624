"""Where a result comes from."""

import sys
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from typing import Any

from bnadapt import __version__
from bnadapt.text import shell_line


def provenance(ckpt_path: str | Path | None) -> dict[str, Any]:
    """Version, date, command line, and the checkpoint that a run began with, with its SHA-256.

    Args:
        ckpt_path: of the checkpoint; None if the network was not loaded from one.
    """
    return {
        "bnadapt": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shell_line(["bnadapt", *sys.argv[1:]]),
        "checkpoint": None if ckpt_path is None else {"path": str(ckpt_path), "sha256": sha256_of(ckpt_path)},
    }


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with Path(path).open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
