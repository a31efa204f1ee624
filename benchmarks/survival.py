"""What is left of a prediction that is killed, whose disk fills up, or whose worker is lost: all that was finished.

Run by `make bench`; prints a table, writes benchmarks/results/survival-DEVICE.json. Results of every run that was
cut off and went on are compared, byte for byte, with those of one that was not.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import zarr
from common import MACHINE, printed, results_path, save
from dask.distributed import Client, LocalCluster
from volume import SIDE, synthetic, trained

from bnadapt.volumes.unfinished import HIDDEN

SECTIONS, DIFFERENT = 60, 4
os.environ["OMP_NUM_THREADS"] = "1"  # of every process, for another number rounds otherwise
FULL = 12 * 2**20  # bytes of a disk that is too small


def command(checkpoint: str, volume: Path, output: Path, *options: str) -> list[str]:
    data = ["--data.target=Stack", f"--data.target.images={volume}", "--data.block_size=512"]
    quiet = ["--trainer.logger=false", "--trainer.enable_progress_bar=false"]
    asked = ["predict", "--ckpt_path", checkpoint, *data, *quiet, "--output", str(output), *options]
    return [sys.executable, "-m", "bnadapt", *asked]


def finished(output: Path) -> list[str]:
    """Lines of sections that are put down as written."""
    return [line for path in output.glob(f"{HIDDEN}/finished-*") for line in path.read_text().split("\n") if line]


def content(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def killed(arguments: list[str], output: Path, times: int) -> dict:
    """Runs that are killed at random moments, from their start to some sections later, until one ends by itself."""
    generator, counts = np.random.default_rng(0), []
    process, start = begun(arguments, output)
    for number in range(times):
        if number:
            process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(generator.uniform(start / 2, start + 2))
        process.kill()
        process.wait()
        counts.append(len(finished(output)))
    lines = finished(output)
    process, again = begun(arguments, output)
    process.wait()
    return {
        "cut off": f"killed {len(counts)} times, when {', '.join(map(str, counts))} sections were finished",
        "segmented twice": len(lines) - len(set(lines)),
        "first section after [s]": f"{start:.1f}, going on {again:.1f}",
    }


def begun(arguments: list[str], output: Path) -> tuple[subprocess.Popen, float]:
    """A run that has finished another section, and the seconds that it took to that."""
    before, started = len(finished(output)), time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(finished(output)) == before:
        time.sleep(0.02)
    return process, time.perf_counter() - started


def disk_full(arguments: list[str], output: Path) -> dict:
    """A run on a disk that is too small, and then larger."""
    output.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={FULL}", "none", output], check=True)
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False)
    lines = finished(output)
    subprocess.run(["mount", "-o", "remount,size=2g", output], check=True)
    run(arguments)
    message = ended.stderr.strip().splitlines()[-1].partition("error: ")[2].replace(str(output), "OUTPUT")
    return {
        "cut off": f"when {len(lines)} sections were finished: {message}",
        "segmented twice": len(lines) - len(set(lines)),
        "first section after [s]": None,
    }


def worker_lost(arguments: list[str], output: Path) -> dict:
    """Two workers of a dask scheduler, of which one is killed."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        workers = client.run(os.getpid)
        process = subprocess.Popen(
            [*arguments, "--scheduler", cluster.scheduler_address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while len(finished(output)) < 4:
            time.sleep(0.05)
        os.kill(next(iter(workers.values())), signal.SIGKILL)
        count = len(finished(output))
        process.wait()
    return {
        "cut off": f"one of two workers, when {count} sections were finished",
        "segmented twice": None,
        "first section after [s]": None,
    }


def run(arguments: list[str]) -> None:
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--only", nargs="+", help="some of: killed, 'worker lost', 'disk full'")
    asked = parser.parse_args()
    path = results_path("survival")
    rows = {row["run"]: row for row in (json.loads(path.read_text())["survival"] if asked.only else [])}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        checkpoint = str(trained(folder))
        pixels = [np.rint(255 * each.image[0]).astype(np.uint8) for each in synthetic(DIFFERENT)]
        volume = folder / "volume.zarr"
        array = zarr.create_array(volume, shape=(SECTIONS, SIDE, SIDE), dtype="uint8", chunks=(1, 256, 256))
        for index in range(SECTIONS):
            array[index] = np.roll(pixels[index % DIFFERENT], index, axis=1)
        run(command(checkpoint, volume, folder / "whole"))
        ways: dict[str, Callable[[list[str], Path], dict]] = {
            "killed": partial(killed, times=asked.kills),
            "worker lost": worker_lost,
            **({"disk full": disk_full} if os.geteuid() == 0 else {}),  # for the mounting
        }
        for name, cut_off in ways.items():
            if name not in (asked.only or ways):
                continue
            output = folder / name.replace(" ", "-")
            row = cut_off(command(checkpoint, volume, output), output)
            rows[name] = {"run": name, **row, "ends the same": content(output) == content(folder / "whole")}
            save(path, {**MACHINE, "survival": [*rows.values()]})
            if output.is_mount():
                subprocess.run(["umount", output], check=True)
    printed(f"{SECTIONS} sections of {SIDE} x {SIDE} pixels, by processes of one thread", [*rows.values()])


if __name__ == "__main__":
    main()
