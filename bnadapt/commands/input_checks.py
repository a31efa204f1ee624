"""Checks of a command's inputs before anything heavy is imported.

Only inputs named on the command line are checked; those named by a config are left to the command.
"""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from bnadapt.commands.command_line import single_values
from bnadapt.errors import InputError
from bnadapt.files import existing, existing_folder

CHECKPOINT_KEYS = (b"pytorch-lightning_version", b"hyper_parameters")
PICKLE = b"\x80"  # first byte of torch's older files


def check_inputs(command: str, arguments: Sequence[str]) -> None:
    """Refuse inputs on the command line of a command, such as `adapt`, that are missing or of the wrong kind."""
    values = single_values(arguments)
    if "ckpt_path" in values:
        _check_checkpoint(Path(values["ckpt_path"]))
    for domain in ("data.source", "data.target"):
        check = {"Folder": existing_folder, "Stack": existing}.get(values.get(domain, ""))
        for name in (f"{domain}.images", f"{domain}.masks"):
            if check is not None and name in values:
                check(values[name])
    for name in ("mask", "probability") if command == "objects" else ():
        if name in values:
            existing(values[name])


def _check_checkpoint(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; check --ckpt_path.")
    if problem := _checkpoint_problem(path):
        raise InputError(
            f"{path}: is not a checkpoint of `bnadapt fit` or `bnadapt adapt`, or is damaged ({problem}); give one,"
            " such as .../checkpoints/best.ckpt."
        )


def _checkpoint_problem(path: Path) -> str | None:
    """Why a file cannot be a checkpoint, judged by its first bytes and the names in it; None if it can."""
    try:
        with zipfile.ZipFile(path) as archive:
            content = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
            if content is None:
                return "it is an archive of something else"
            stored = archive.read(content)
    except (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError):
        return None if path.open("rb").read(1) == PICKLE else "it was not written by torch, or is incomplete"
    if not all(key in stored for key in CHECKPOINT_KEYS):
        return "it holds weights alone; `bnadapt import` converts them"
    return None
