"""What segmenting and adapting to a volume cost as it grows: seconds beside raw forward passes, memory, bytes read.

Run by `make bench`; prints a table and writes benchmarks/results/volume-DEVICE.json. `--megabytes 64 256` measures
volumes of other sizes.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import zarr
from common import DEVICE, MACHINE, in_process_of_its_own, peak, printed, results_path, save, synchronise

from bnadapt.cli import main as command
from bnadapt.data.tiles import tiles_of
from bnadapt.exchange.importing import Foreign, write_checkpoint
from bnadapt.networks import UNet

SIDE, CHUNK, TILE, OVERLAP = 1024, 256, 256, 32  # pixels
CHANNELS = 4
TILES_AT_ONCE = 16  # as the task runs them


def written(folder: Path, megabytes: int) -> Path:
    """A Zarr volume of noise, 8 bits a pixel."""
    generator = np.random.default_rng(0)
    depth = max(1, megabytes * 2**20 // SIDE**2)
    path = folder / f"volume-{megabytes}.zarr"
    volume = zarr.create_array(path, shape=(depth, SIDE, SIDE), dtype="uint8", chunks=(1, CHUNK, CHUNK))
    for section in range(depth):
        volume[section] = generator.integers(256, size=(SIDE, SIDE), dtype=np.uint8)
    return path


def bytes_read() -> int:
    """By this process so far, from files and from what else it reads."""
    return int(Path("/proc/self/io").read_text().split()[1])


def measured(name: str, checkpoint: str, volume: str, output: str) -> dict[str, float]:
    """Seconds, MiB of memory at most, and MB read, of a command in this process."""
    options = ["--ckpt_path", checkpoint, "--data.target=Stack", f"--data.target.images={volume}", "--output", output]
    quiet = ["--trainer.logger=false", "--trainer.enable_progress_bar=false"]
    before, started = bytes_read(), time.perf_counter()
    command([name, *options, f"--data.tile_size={TILE}", f"--data.overlap={OVERLAP}", *quiet])
    return {
        "seconds": time.perf_counter() - started,
        "MiB at most": peak(),
        "MB read": (bytes_read() - before) / 1e6,
    }


@torch.no_grad()
def forward_seconds() -> float:
    """Of raw forward passes over the tiles of a section that lie in memory."""
    network = UNet(base_channels=CHANNELS).to(DEVICE, memory_format=torch.channels_last).eval()
    count = len(tiles_of((SIDE, SIDE), TILE, OVERLAP, "section"))
    tiles = torch.rand(count, 1, TILE, TILE, device=DEVICE).contiguous(memory_format=torch.channels_last)
    taken = []
    for _ in range(4):
        synchronise()
        started = time.perf_counter()
        for part in tiles.split(TILES_AT_ONCE):
            network(part)
        synchronise()
        taken.append(time.perf_counter() - started)
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, nargs="+", default=[64, 256, 1024])
    sizes = parser.parse_args().megabytes
    section, rows = forward_seconds(), []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        checkpoint = folder / "network.ckpt"
        arguments = {"base_channels": CHANNELS}
        write_checkpoint(Foreign("unet", UNet(**arguments).state_dict(), arguments), checkpoint)
        for size in sizes:
            volume = written(folder, size)
            for name, output in (("adapt", folder / f"{size}.ckpt"), ("predict", folder / f"{size}")):
                own = in_process_of_its_own(measured, name, str(checkpoint), str(volume), str(output))
                raw = section * (size * 2**20 // SIDE**2) if name == "predict" else None
                rows.append({"command": name, "volume [MB]": size, **own, "raw forward [s]": raw})
    printed(
        f"U-Net of {CHANNELS} channels, tiles of {TILE} pixels; the last column is of the same tiles in memory", rows
    )
    save(results_path("volume"), {"machine": MACHINE, "rows": rows})


if __name__ == "__main__":
    main()
