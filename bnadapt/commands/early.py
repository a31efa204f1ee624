"""Checks and announcements before anything heavy is imported.

Only inputs named on the command line are checked; those named by a config are left to the command.
"""

import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from bnadapt.commands.command_line import options_in
from bnadapt.errors import InputError
from bnadapt.files import existing, existing_folder
from bnadapt.reports.text import visible

CHECKPOINT_KEYS = (b"pytorch-lightning_version", b"hyper_parameters")
PICKLE = b"\x80"  # first byte of torch's older files
SAYS = {
    "fit": "training a network on {source}",
    "adapt": "adapting {ckpt_path} to {target}",
    "recommend": "looking at tiles of {target}, to recommend how to adapt {ckpt_path}",
    "preview": "showing regions of {target} under every way to adapt {ckpt_path}",
    "propose": "choosing tiles of {target} to label for {ckpt_path}",
    "finetune": "learning from labelled tiles of {target}, from {ckpt_path} on",
    "test": "scoring {ckpt_path} on the test blocks",
    "validate": "scoring {ckpt_path} on {source}",
    "predict": "segmenting {target} with {ckpt_path}",
    "distances": "measuring how far {source} and {target} lie apart in {ckpt_path}",
    "source_summary": "summarising {source} for {ckpt_path}",
    "export": "exporting {ckpt_path}",
    "objects": "measuring the objects in {mask}",
    "average": "averaging {masks}",
}


def check_inputs(command: str, arguments: Sequence[str]) -> None:
    """Refuse inputs on the command line of a command, such as `adapt`, that are missing or of the wrong kind."""
    given = _values(arguments)
    if "ckpt_path" in given:
        _check_checkpoint(Path(given["ckpt_path"]))
    for domain in ("data.source", "data.target"):
        check = {"Folder": existing_folder, "Stack": existing}.get(given.get(domain, ""))
        for name in (f"{domain}.images", f"{domain}.masks"):
            if check is not None and name in given:
                check(given[name])
    for name in ("mask", "probability") if command == "objects" else ():
        if name in given:
            existing(given[name])


def announce(command: str, arguments: Sequence[str]) -> None:
    """Print what a command will do, in one of the processes that share its work."""
    if (
        command not in SAYS
        or any(each.startswith("--print_config") for each in arguments)
        or os.environ.get("LOCAL_RANK", "0") != "0"
    ):
        return
    given = _values(arguments)
    output = f"; output: {given['output']}" if "output" in given else ""
    print(visible(f"bnadapt {command}: {SAYS[command].format_map(_Named(given))}{output}."), flush=True)


class _Named(dict):
    """Names of inputs in sentences: a domain is called by its images, or its class."""

    def __missing__(self, name: str) -> str:
        domain = f"data.{name}"
        return self.get(f"{domain}.images") or self.get(domain) or f"the {name.partition('_')[0]} of the config"


def _values(arguments: Sequence[str]) -> dict[str, str]:
    """Values of options, without those that have none or are null."""
    return {name: values[0] for name, values in options_in(arguments).items() if values and values[0] != "null"}


def _check_checkpoint(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; check --ckpt_path.")
    if lack := _lack_of_checkpoint(path):
        raise InputError(
            f"{path}: is not a checkpoint of `bnadapt fit` or `bnadapt adapt`, or is damaged ({lack}); give one, such"
            " as .../checkpoints/best.ckpt."
        )


def _lack_of_checkpoint(path: Path) -> str | None:
    """Why a file is not a checkpoint, judged by its first bytes and the names in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            content = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
            if content is None:
                return "it is an archive of something else"
            stored = archive.read(content)
    except (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError):
        return None if path.open("rb").read(1) == PICKLE else "torch has not written it, or not all of it is there"
    if not all(key in stored for key in CHECKPOINT_KEYS):
        return "it holds weights alone, of which `bnadapt import` makes a checkpoint"
    return None
