"""Where a result comes from."""

import sys
from datetime import UTC, datetime
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from bnadapt import __version__
from bnadapt.text import shell_line

PARTS, PART = 5, 4096  # that a file is told by, and bytes of each


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


def sampled_digest(path: Path) -> str:
    """SHA-256 of a file's size and of a few parts of it: tells files apart, whatever they are called."""
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
