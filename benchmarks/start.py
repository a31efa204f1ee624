"""Seconds from the start of a command until it refuses, prints its help or passes the first tile, and of imports alone.

Run by `make bench`; prints a table and writes benchmarks/results/start-DEVICE.json. All commands take turns, each in a
process of its own; the table has medians.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from common import MACHINE, printed, results_path, save

RESULTS = results_path("start")
CHANNELS = 16
NO_TILE = 99  # exit status


def commands(checkpoint: str, volume: str, folder: str) -> dict[str, list[str]]:
    """What is started, by name, as arguments of python."""
    bnadapt = ["-m", "bnadapt"]
    predict = ["predict", "--ckpt_path", checkpoint, "--data.target=Stack", f"--data.target.images={volume}"]
    predict += ["--output", f"{folder}/predictions", "--trainer.logger=false", "--trainer.enable_progress_bar=false"]
    return {
        "bnadapt --help": [*bnadapt, "--help"],
        "bnadapt predict --help": [*bnadapt, "predict", "--help"],
        "a missing checkpoint is refused": [*bnadapt, "predict", "--ckpt_path", f"{folder}/missing.ckpt"],
        "a misspelt option is refused": [*bnadapt, "predict", "--ckpt_pth", checkpoint],
        "import torch": ["-c", "import torch"],
        "import lightning.pytorch.cli": ["-c", "import lightning.pytorch.cli"],
        "first tile of bnadapt predict": [__file__, "--until_first_tile", json.dumps(predict)],
    }


def started(arguments: list[str]) -> tuple[float, float]:
    """Processor and wall seconds of a python process."""
    wall = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=Path(__file__).parent
    )
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) == NO_TILE:
        raise RuntimeError(f"The command has passed no tile: {arguments}")
    return used.ru_utime + used.ru_stime, time.perf_counter() - wall


def until_first_tile(arguments: list[str]) -> None:
    """Run a command up to the first convolution of its network, and end the process there."""
    import torch

    def first_convolution(*_: Any) -> None:
        os._exit(0)

    torch.nn.Conv2d.forward = first_convolution
    sys.argv = ["bnadapt", *arguments]
    from bnadapt.__main__ import run

    try:
        run()
    finally:
        os._exit(NO_TILE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="of every command")
    parser.add_argument("--until_first_tile", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.until_first_tile:
        until_first_tile(json.loads(asked.until_first_tile))
    from predict import files

    with tempfile.TemporaryDirectory() as folder:
        to_start = commands(*map(str, files(Path(folder), CHANNELS)), folder)
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in to_start}
        for _ in range(asked.runs):
            for name, arguments in to_start.items():
                seconds[name].append(started(arguments))
    rows = []
    for name, measured in seconds.items():
        processor, wall = map(median, zip(*measured, strict=True))
        rows.append({"command": name, "of the processor / s": processor, "seconds": wall})
    printed("From the start of a command", rows)
    save(RESULTS, {**MACHINE, "start": rows})


if __name__ == "__main__":
    main()
