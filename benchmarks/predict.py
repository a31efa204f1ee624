"""How fast `predict` is beside raw float32 forward passes of the same tiles, with its precisions, OpenVINO and peers.

Run by `make bench`; prints a table, writes benchmarks/results/predict-DEVICE.json and draws docs/predict-speed.svg.
After every section the same network runs on the same tiles as torch does it by itself, so that other work on the
machine slows both. `--before FOLDER` measures the package of another checkout, too. OpenVINO and MONAI are measured if
they are installed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from common import DEVICE, MACHINE, printed, results_path, save, synchronise
from lightning.pytorch import LightningModule, Trainer
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor, nn

from bnadapt.callbacks import PredictionFiles
from bnadapt.commands.cli import main as command
from bnadapt.commands.trainer import AdaptationTrainer
from bnadapt.data import Synthetic
from bnadapt.networks import UNet
from bnadapt.tasks import SegmentationTask

SIZES = {16: 1024, 64: 384}  # sides of sections, by channels of the network
SECTIONS = 5  # of which the first one is not counted
WINDOW, OVERLAP = 512, 0.25  # of MONAI, at most the section
FIGURE = Path(__file__).parents[1] / "docs" / "predict-speed.svg"
METHODS = {
    "before, default": ("before", []),
    "--trainer.precision 32-true": ("predict", ["--trainer.precision=32-true"]),
    "default, without OpenVINO": ("predict", []),
    "default, with OpenVINO": ("openvino", []),
    "MONAI, float32": ("monai", []),
    "MONAI, bfloat16": ("monai", ["bf16"]),
}


def files(folder: Path, channels: int) -> tuple[Path, Path]:
    """A checkpoint of a network that has not learned, with statistics of its images, and a volume."""
    side = SIZES[channels]
    sections = [np.clip(each.read_image(), 0, 1) for each in Synthetic(size=side, images=2, seed=1).labelled()]
    volume = folder / f"volume-{channels}.zarr"
    stored = zarr.create_array(volume, shape=(SECTIONS, side, side), dtype="uint8", chunks=(1, 256, 256))
    for index in range(SECTIONS):
        stored[index] = np.rint(255 * sections[index % 2])
    torch.manual_seed(0)
    task = SegmentationTask(network_args={"base_channels": channels})
    for module in task.network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        task.train()(torch.from_numpy(np.float32(sections[0][None, None, :256, :256])))
    trainer = AdaptationTrainer(logger=False, enable_checkpointing=False)
    trainer.strategy.connect(task)
    trainer.save_checkpoint(path := folder / f"network-{channels}.ckpt")
    return path, volume


class Clocks:
    """Processor and wall time of sections and of raw passes, which take turns."""

    def __init__(self) -> None:
        self.sections: list[tuple[float, float]] = []
        self.raw: list[tuple[float, float]] = []
        self._others = 0.0  # seconds of reading ahead while the raw pass ran
        self._mark = time.process_time(), time.perf_counter()

    def section_done(self, raw: Callable[[], Any]) -> None:
        """Stop the clocks of a section, and run and time a raw pass."""
        synchronise()
        processor, wall, thread = time.process_time(), time.perf_counter(), time.thread_time()
        self.sections.append((processor - self._mark[0] + self._others, wall - self._mark[1]))
        raw()
        synchronise()
        taken = time.thread_time() - thread if torch.get_num_threads() == 1 else time.process_time() - processor
        self.raw.append((taken, time.perf_counter() - wall))
        self._mark = time.process_time(), time.perf_counter()
        self._others = self._mark[0] - processor - taken

    def row(self) -> dict[str, float]:
        sections, raw = np.array(self.sections[1:]), np.array(self.raw[1:])
        ratios = np.median(raw / sections, axis=0)
        return {
            "section [processor s]": float(np.median(sections[:, 0])),
            "raw pass [processor s]": float(np.median(raw[:, 0])),
            "raw / section": float(ratios[0]),
            "raw / section, by the clock": float(ratios[1]),
        }


@torch.no_grad()
def raw_pass(network: nn.Module, tiles: Tensor, at_once: int = 1) -> None:
    for part in tiles.split(at_once):
        network(part.contiguous(memory_format=torch.channels_last))


def by_predict(checkpoint: str, volume: str, options: list[str], with_openvino: bool) -> dict[str, float]:
    """Measure the command in this process."""
    clocks, end = Clocks(), PredictionFiles.on_predict_batch_end

    def timed(
        files: PredictionFiles, trainer: Trainer, task: LightningModule, outputs: Tensor, batch: Any, *at: int
    ) -> None:
        end(files, trainer, task, outputs, batch, *at)
        files._finish_writing()
        clocks.section_done(lambda: raw_pass(task.network, batch["image"], batch["at_once"]))

    PredictionFiles.on_predict_batch_end = timed
    with suppress(ImportError):
        from bnadapt.networks import openvino_network
        from bnadapt.volumes import execution

        execution.ENOUGH = execution.LONG = 0  # the volume stands for a larger one
        if not with_openvino:
            openvino_network.is_installed = lambda: False
    asked = ["predict", "--ckpt_path", checkpoint, "--data.target=Stack", f"--data.target.images={volume}"]
    quiet = ["--trainer.logger=false", "--trainer.enable_progress_bar=false", "--data.intensity=dtype"]
    with tempfile.TemporaryDirectory() as output:
        command([*asked, *quiet, "--output", f"{output}/out", *options])
        record = next(Path(output).glob("out/*_segmentation.json"), None)
        execution = json.loads(record.read_text())["execution"] if record else {}
    return {
        **clocks.row(),
        "execution": " ".join((execution.get("library", "PyTorch"), execution.get("precision", "32-true"))),
    }


@torch.no_grad()
def by_monai(checkpoint: str, volume: str, in_bfloat16: bool) -> dict[str, float]:
    from monai.inferers import sliding_window_inference

    task = SegmentationTask.load_from_checkpoint(checkpoint, map_location=DEVICE).eval()
    model: UNet = task.network
    clocks = Clocks()

    def probabilities(images: Tensor) -> Tensor:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=in_bfloat16):
            return model(images.contiguous(memory_format=torch.channels_last)).float().softmax(1)

    for section in zarr.open_array(volume, mode="r")[:]:
        image = torch.from_numpy(np.float32(section) / 255)[None, None].to(DEVICE)
        window = min(WINDOW, image.shape[-1])
        sliding_window_inference(image, window, 4, probabilities, OVERLAP)
        clocks.section_done(lambda image=image: raw_pass(model, image))
    return {**clocks.row(), "execution": f"PyTorch {'bf16' if in_bfloat16 else '32-true'}"}


def measured(kind: str, checkpoint: str, volume: str, options: list[str]) -> dict[str, float]:
    if kind == "monai":
        return by_monai(checkpoint, volume, "bf16" in options)
    return by_predict(checkpoint, volume, options, kind == "openvino")


def rows(folder: Path, channels: int, before: str | None) -> Iterator[dict]:
    """A row for each method that can be measured here, in a process of its own."""
    checkpoint, volume = files(folder, channels)
    missing = {kind for kind in ("openvino", "monai") if find_spec(kind) is None} | ({"before"} - {before and "before"})
    for name, (kind, options) in METHODS.items():
        if kind in missing:
            continue
        package = Path(before) if kind == "before" else Path(__file__).parents[1]
        path = os.pathsep.join([str(package.resolve()), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, __file__, "--one", json.dumps([kind, str(checkpoint), str(volume), options])],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        yield {"channels": channels, "method": name, **json.loads(done.stdout.splitlines()[-1])}


def draw(results: list[dict]) -> None:
    """Bars of how many times faster than raw passes every method is."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    panels = figure.subplots(1, len(SIZES), sharey=True)
    for axes, channels in zip(panels, SIZES, strict=True):
        of_network = [row for row in results if row["channels"] == channels][::-1]
        bars = axes.barh([row["method"] for row in of_network], [row["raw / section"] for row in of_network])
        axes.bar_label(bars, fmt="%.2f", padding=2)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_title(f"U-Net of {channels} channels")
        axes.margins(x=0.2)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("times as fast as raw float32 passes", fontsize="medium")
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": FIGURE.stem}):
        figure.savefig(FIGURE, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--before", help="folder of another checkout")
    parser.add_argument("--channels", type=int, nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measured(*json.loads(asked.one))))
        return
    path = results_path("predict")
    results = json.loads(path.read_text())["predict"] if path.exists() else []
    for channels in asked.channels:
        with tempfile.TemporaryDirectory() as place:
            new_rows = list(rows(Path(place), channels, asked.before))
        printed(f"U-Net of {channels} channels, sections of {SIZES[channels]} x {SIZES[channels]} pixels", new_rows)
        results = [row for row in results if row["channels"] != channels] + new_rows
        save(path, {**MACHINE, "predict": results})
    if {row["channels"] for row in results} == set(SIZES):
        draw(results)


if __name__ == "__main__":
    main()
