"""What segmenting and adapting to a volume cost: seconds beside raw forward passes and peers, memory, bytes read.

Run by `make bench`; prints tables and writes benchmarks/results/volume-DEVICE.json. `--gigabytes 0.1 0.2` measures
volumes of other sizes, `--only memory` one of the parts.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
import zarr
from common import DEVICE, MACHINE, in_process_of_its_own, peak, printed, results_path, save, synchronise
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from bnadapt.commands.cli import main as command
from bnadapt.commands.trainer import AdaptationTrainer
from bnadapt.data import DomainPair, Synthetic
from bnadapt.data.prepare import PreparedSection
from bnadapt.data.tiles import Blocks
from bnadapt.data.whole_sections import SectionsToSegment
from bnadapt.networks import UNet
from bnadapt.networks.receptive_field import receptive_field
from bnadapt.tasks import SegmentationTask

SIDE, CHUNK = 1024, 256  # pixels
DIFFERENT = 4  # sections of a volume; the others are the same again
CHANNELS, TINY, STEPS = 16, 2, 80
FEW, MANY = 2, 18  # sections, of whose seconds the difference is that of the work without its start
SPREAD = 12  # sections of a large volume that are segmented
BLOCK, WINDOW, OVERLAP = 512, 256, 0.25  # pixels, and share, of peers
IN_MEMORY = 4  # sections that peers segment
FIGURE = Path(__file__).parents[1] / "docs" / "volume-size.svg"
BORDER = 128  # pixels, beyond which nothing depends on how a section's border is padded


def written(folder: Path, depth: int) -> Path:
    """A Zarr volume of synthetic sections, 8 bits a pixel, without compression."""
    sections = [np.rint(255 * each.image[0]).astype(np.uint8) for each in synthetic(DIFFERENT)]
    path = folder / f"volume-{depth}.zarr"
    options = {"dtype": "uint8", "chunks": (1, CHUNK, CHUNK), "compressors": None}
    volume = zarr.create_array(path, shape=(depth, SIDE, SIDE), **options)
    for section in range(depth):
        volume[section] = sections[section % DIFFERENT]
    return path


def synthetic(count: int) -> list[PreparedSection]:
    """Sections with intensities from 0 to 1."""
    sections = Synthetic(size=SIDE, images=count, seed=1).labelled()
    images = [np.clip(each.read_image(), 0, 1).astype(np.float32)[None] for each in sections]
    return [
        PreparedSection(str(number), image, None, (SIDE, SIDE), np.dtype(np.uint8))
        for number, image in enumerate(images)
    ]


def trained(folder: Path, channels: int = CHANNELS) -> Path:
    """A network that has learned for a minute, so that it matters what it sees."""
    torch.manual_seed(0)
    task = SegmentationTask(network_args={"base_channels": channels})
    data = DomainPair(source=Synthetic(size=256), intensity="dtype", crop_size=128, crops_per_epoch=8 * STEPS)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = AdaptationTrainer(
        max_epochs=1, enable_checkpointing=False, limit_val_batches=0, precision="bf16-mixed", devices=1, **quiet
    )
    trainer.fit(task, datamodule=data)
    path = folder / "network.ckpt"
    trainer.save_checkpoint(path)
    return path


def network(checkpoint: str) -> UNet:
    task = SegmentationTask.load_from_checkpoint(checkpoint, map_location=DEVICE)
    return task.network.eval().to(DEVICE, memory_format=torch.channels_last)


def bytes_read() -> int:
    """By this process so far, from files and from what else it reads."""
    return int(Path("/proc/self/io").read_text().split()[1])


def ran(name: str, checkpoint: str, volume: str, output: str, *options: str) -> dict[str, float]:
    """Seconds, MiB of memory at most, and MB read, of a command in this process."""
    asked = [name, "--ckpt_path", checkpoint, "--data.target=Stack", f"--data.target.images={volume}"]
    quiet = ["--trainer.logger=false", "--trainer.enable_progress_bar=false", "--output", output]
    before, started, processor = bytes_read(), time.perf_counter(), time.process_time()
    command([*asked, *quiet, *options])
    taken = {"seconds": time.perf_counter() - started, "processor seconds": time.process_time() - processor}
    return {**taken, "MiB at most": peak(), "MB read": (bytes_read() - before) / 1e6}


def blocks(checkpoint: str, size: int) -> Blocks:
    field = receptive_field(network(checkpoint), 1)
    return Blocks(size, field.margin, field.stride)


@torch.no_grad()
def raw_seconds(checkpoint: str, size: int) -> float:
    """Seconds of forward passes over the tiles of a section, which lie in memory."""
    (section,) = synthetic(1)
    item = SectionsToSegment({0: lambda: section}, blocks(checkpoint, size))[0]
    tiles, model, taken = item["image"].to(DEVICE), network(checkpoint), []
    for _ in range(5):
        synchronise()
        started = time.perf_counter()
        for part in tiles.split(item["at_once"]):
            model(part.contiguous(memory_format=torch.channels_last))
        synchronise()
        taken.append(time.perf_counter() - started)
    return float(np.median(taken[1:]))


def throughput(folder: Path, checkpoint: str) -> list[dict]:
    """Seconds for a section, beside raw forward passes; the start is taken out by two lengths of volume."""
    rows = []
    volumes = [written(folder, depth) for depth in (FEW, MANY)]
    for size in (512, 1024):
        for precision in ("32-true", "bf16-mixed"):
            options = (f"--data.block_size={size}", f"--trainer.precision={precision}")
            outputs = [str(folder / f"{volume.stem}-{size}-{precision}") for volume in volumes]
            few, many = (
                in_process_of_its_own(ran, "predict", checkpoint, str(volume), output, *options)["seconds"]
                for volume, output in zip(volumes, outputs, strict=True)
            )
            of_section, raw = (many - few) / (MANY - FEW), raw_seconds(checkpoint, size)
            rows.append(
                {
                    "block": size,
                    "precision": precision,
                    "seconds a section": of_section,
                    "raw forward, float32 [s]": raw,
                    "raw / predict": raw / of_section,
                    "start [s]": few - FEW * of_section,
                    "MB/s": SIDE**2 / 1e6 / of_section,
                    "changed pixels": changed(folder, volumes[1], size, precision),
                }
            )
    return rows


def changed(folder: Path, volume: Path, size: int, precision: str) -> float:
    """Share of the pixels whose class another precision or block changes."""
    masks = [
        zarr.open_array(folder / f"{volume.stem}-{each}" / f"{volume.stem}_mask.zarr", mode="r")[:]
        for each in (f"{size}-{precision}", "512-32-true")
    ]
    return float((masks[0] != masks[1]).mean())


def memory(folder: Path, checkpoint: str, gigabytes: list[float]) -> list[dict]:
    """Memory and bytes of volumes of several sizes, of which sections all over are segmented."""
    rows = []
    for size in gigabytes:
        depth = max(SPREAD, round(size * 1e9 / SIDE**2))
        volume = written(folder, depth)
        chosen = np.linspace(0, depth - 1, SPREAD).astype(int).tolist()
        for name, output, options in (
            ("adapt", f"{size}.ckpt", []),
            ("predict", f"{size}", [f"--sections={json.dumps(chosen)}"]),
        ):
            costs = in_process_of_its_own(ran, name, checkpoint, str(volume), str(folder / output), *options)
            del costs["seconds"]  # which other work on the machine changes
            rows.append({"command": name, "volume [GB]": size, "sections": depth, **costs})
    return rows


def whole(folder: Path, checkpoint: str, gigabytes: list[float]) -> list[dict]:
    """Whole volumes of several sizes."""
    rows = []
    for size in gigabytes:
        volume = written(folder, round(size * 1e9 / SIDE**2))
        costs = in_process_of_its_own(ran, "predict", checkpoint, str(volume), str(folder / f"{size}"))
        per_gigabyte = costs["processor seconds"] / size
        rows.append(
            {"volume [GB]": size, "processor seconds for a GB": per_gigabyte, "MiB at most": costs["MiB at most"]}
        )
    return rows


def drawn(rows: list[dict]) -> None:
    """Draw what does not grow with the volume."""
    figure = Figure(figsize=(8, 2.4), layout="constrained")
    for axes, measure in zip(figure.subplots(1, 3), ("processor seconds", "MiB at most", "MB read"), strict=True):
        for command_name in ("adapt", "predict"):
            of_command = [row for row in rows if row["command"] == command_name]
            values = [row[measure] for row in of_command]
            axes.plot([row["volume [GB]"] for row in of_command], values, marker="o", label=command_name)
        axes.set_ylim(0, 1.2 * max(row[measure] for row in rows))
        axes.set(xlabel="volume [GB]", title=measure)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": FIGURE.stem}):
        figure.savefig(FIGURE, metadata={"Date": None})


def seam_errors(checkpoint: str, maps: list[Tensor]) -> dict[str, float]:
    """Largest differences of probabilities from those of the network on whole sections, whose border peers pad."""
    model, errors = network(checkpoint), []
    for section, probabilities in zip(synthetic(IN_MEMORY), maps, strict=True):
        with torch.no_grad():
            whole = model(torch.from_numpy(section.image)[None].to(DEVICE)).softmax(1)[0, 1].cpu()
        errors.append((whole - probabilities).abs())
    worst = torch.stack(errors).amax(0)
    return {
        "seam error": float(worst.max()),
        f"{BORDER} pixels from the border": float(worst[BORDER:-BORDER, BORDER:-BORDER].max()),
    }


def by_bnadapt(checkpoint: str, size: int) -> list[Tensor]:
    task = SegmentationTask.load_from_checkpoint(checkpoint, map_location=DEVICE).eval()
    dataset = SectionsToSegment(dict(enumerate(map(_always, synthetic(IN_MEMORY)))), blocks(checkpoint, size))
    with torch.no_grad():
        return [
            dataset.put_together(
                item["section"], task.predict_step({**item, "image": item["image"].to(DEVICE)}, 0).cpu()
            )[1]
            for item in (dataset[index] for index in range(IN_MEMORY))
        ]


def _always(section: PreparedSection) -> Callable[[], PreparedSection]:
    return lambda: section


def by_monai(checkpoint: str, blend: str) -> list[Tensor]:
    from monai.inferers import sliding_window_inference

    model = network(checkpoint)
    with torch.no_grad():
        return [
            sliding_window_inference(
                torch.from_numpy(each.image)[None].to(DEVICE), WINDOW, 8, lambda x: model(x).softmax(1), OVERLAP, blend
            )[0, 1].cpu()
            for each in synthetic(IN_MEMORY)
        ]


def by_torch_em(checkpoint: str, halo: int) -> list[Tensor]:
    from torch_em.util.prediction import predict_with_halo

    model, maps = network(checkpoint), []
    for each in synthetic(IN_MEMORY):
        output = np.zeros((2, SIDE, SIDE), np.float32)
        predict_with_halo(
            each.image[0],
            model,
            [str(DEVICE)],
            (BLOCK, BLOCK),
            (halo, halo),
            output,
            preprocess=lambda pixels: pixels,
            disable_tqdm=True,
            prediction_function=lambda run, images: run(images).softmax(1),
        )
        maps.append(torch.from_numpy(output[1]))
    return maps


METHODS: dict[str, tuple[Callable[..., list[Tensor]], int | str]] = {
    "bnadapt, blocks of 256": (by_bnadapt, 256),
    "bnadapt, blocks of 512": (by_bnadapt, 512),
    "bnadapt, blocks of 1024": (by_bnadapt, 1024),
    "MONAI, windows of 256, overlap 25 %, constant": (by_monai, "constant"),
    "MONAI, windows of 256, overlap 25 %, Gaussian": (by_monai, "gaussian"),
    "torch_em, blocks of 512, halo 32": (by_torch_em, 32),
    "torch_em, blocks of 512, halo 96": (by_torch_em, 96),
}


def method_measured(name: str, checkpoint: str) -> dict[str, float]:
    """Seconds of a method in this process; once to warm up."""
    method, argument = METHODS[name]
    method(checkpoint, argument)
    started = time.perf_counter()
    maps = method(checkpoint, argument)
    return {"seconds": time.perf_counter() - started, "MiB at most": peak(), **seam_errors(checkpoint, maps)}


def peers(checkpoint: str) -> Iterator[dict]:
    """All methods on the same sections in memory; those that are not installed are left out."""
    for name in METHODS:
        with suppress(ImportError):
            yield {"method": name, "sections": IN_MEMORY, **in_process_of_its_own(method_measured, name, checkpoint)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[0.5, 2, 8])
    parser.add_argument("--only", choices=["throughput", "memory", "whole", "peers"])
    asked = parser.parse_args()
    parts: dict[str, Callable[[Path, str], list[dict]]] = {
        "throughput": throughput,
        "memory": lambda folder, checkpoint: memory(folder, checkpoint, asked.gigabytes),
        "whole": lambda folder, checkpoint: whole(folder, checkpoint, [size / 10 for size in asked.gigabytes]),
        "peers": lambda folder, checkpoint: list(peers(checkpoint)),
    }
    path = results_path("volume")
    results = json.loads(path.read_text()) if path.exists() else {}
    for name in [asked.only] if asked.only else parts:
        with tempfile.TemporaryDirectory() as place:
            channels = TINY if name == "whole" else CHANNELS
            rows = parts[name](Path(place), str(trained(Path(place), channels)))
        printed(f"{name}: U-Net of {channels} channels, sections of {SIDE} x {SIDE} pixels", rows)
        results = {**results, **MACHINE, name: rows}
        save(path, results)
        if name == "memory":
            drawn(rows)


if __name__ == "__main__":
    main()
