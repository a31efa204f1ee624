"""`bnadapt doctor`: report what this installation and machine have, and what is missing."""

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import torch
from packaging.requirements import Requirement

from bnadapt import __version__
from bnadapt.commands.precision import fastest_precision
from bnadapt.data.em import data_folder, registered
from bnadapt.networks import build_network
from bnadapt.reports.terminal import Console

SHOWN = ("torch", "lightning", "torchmetrics", "segmentation-models-pytorch", "albumentations", "pot", "tensorboard")
EXTRAS = {
    "studies": "studies",
    "share": "exchange",
    "fast": "speed",
}  # `exchange`: ONNX and bioimage.io; `speed`: OpenVINO
LITTLE_SPACE = 2e9  # bytes; a few runs with their checkpoints take that


def main() -> None:
    """Print what is installed, and last what is missing."""
    console = Console()
    for title, text in sections():
        console.print(f"{title + ':':11}{text}")
    problems = list(missing())
    console.print("missing:   " + ("\n           ".join(problems) if problems else "nothing"))


def sections() -> Iterator[tuple[str, str]]:
    """Titles and texts of what is installed."""
    yield "bnadapt", f"{__version__}, Python {platform.python_version()}, {platform.platform(terse=True)}"
    yield "packages", ", ".join(f"{name} {_version(name) or 'MISSING'}" for name in SHOWN)
    yield "devices", _devices()
    threads = os.environ.get("OMP_NUM_THREADS")
    setting = f"is {threads}" if threads else "is not set"
    yield "threads", f"{torch.get_num_threads()} that torch computes with (OMP_NUM_THREADS {setting})"
    yield "precision", _precision()
    yield "space", f"{shutil.disk_usage('.').free / 1e9:.0f} GB free where lightning_logs goes"
    yield "data sets", _data_sets()
    for extra, title in EXTRAS.items():
        lacking = [each.name for each in _required(extra) if _version(each.name) is None]
        yield title, f"needs {', '.join(lacking)}: pip install 'bnadapt[{extra}]'" if lacking else "installed"


def missing() -> Iterator[str]:
    """What is missing, each with its remedy."""
    for requirement in _required(""):
        installed = _version(requirement.name)
        if installed is None or not requirement.specifier.contains(installed, prereleases=True):
            have = f"{installed} is installed" if installed else "it is not installed"
            needed = f"{requirement.name}{requirement.specifier}"
            yield f"{needed}: {have}; pip install '{needed}'"
    if not torch.cuda.is_available() and shutil.which("nvidia-smi"):
        yield "GPU: present, but torch cannot use it; install a CUDA build of torch that matches the driver"
    if not os.access(".", os.W_OK):
        yield f"{Path.cwd()}: cannot be written to; work in a folder that you own"
    elif shutil.disk_usage(".").free < LITTLE_SPACE:
        yield f"{Path.cwd()}: the disk is nearly full; free some space, or work elsewhere"


def _required(extra: str) -> Iterator[Requirement]:
    """Requirements of the installed bnadapt, or of one of its extras."""
    for requirement in map(Requirement, requires("bnadapt") or ()):
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _devices() -> str:
    cores = f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} CPU cores"
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        return ", ".join([cores, *(f"{each.name} with {each.total_memory / 2**30:.0f} GiB" for each in names)])
    if torch.backends.mps.is_available():
        return f"{cores}, Apple GPU (--trainer.accelerator mps)"
    return f"{cores}, no GPU (a U-Net of 16 channels trains in minutes without)"


def _precision() -> str:
    """The precision that `fit` takes for a U-Net of 16 channels, and why."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = fastest_precision(build_network("unet", 1, 2, {"base_channels": 16}), (2, 1, 192, 192), 2, device)
    return f"fit takes {precision.name} for a U-Net of 16 channels ({device}; {precision.reason})"


def _data_sets() -> str:
    folder = data_folder()
    present = [each.name for each in registered() if all((folder / each.name / path).exists() for path in each.sha256)]
    absent = [each.name for each in registered() if each.name not in present]
    origin = "BNADAPT_DATA" if os.environ.get("BNADAPT_DATA") else "the cache; BNADAPT_DATA names another folder"
    to_fetch = f"; {', '.join(absent)} {'are' if len(absent) > 1 else 'is'} fetched on first use" if absent else ""
    return f"{', '.join(present) or 'none'} in {folder} ({origin}){to_fetch}"
