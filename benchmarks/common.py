"""What the benchmarks share: the device, clocks, peak memory, and where results go."""

import json
import multiprocessing
import platform
import re
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
NAME = torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"cpu-{torch.get_num_threads()}-threads"
MACHINE = {"device": NAME, "processor": platform.processor() or platform.machine(), "torch": torch.__version__}
console = Console(width=140)


def synchronise() -> None:
    """Wait until the device has done what it was given."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def clocked(action: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds of the wall clock and of the processor, which other programs hardly change, and the action's result."""
    synchronise()
    wall, processor = time.perf_counter(), time.process_time()
    result = action()
    synchronise()
    return time.perf_counter() - wall, time.process_time() - processor, result


def peak() -> float:
    """MiB that this process, or its GPU, has held at most so far."""
    if DEVICE.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent process once held
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def in_process_of_its_own(function: Callable, *arguments: Any) -> Any:
    """What a function gives in a fresh process, whose peak memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def results_path(benchmark: str) -> Path:
    """benchmarks/results/BENCHMARK-DEVICE.json."""
    return Path(__file__).parent / "results" / f"{benchmark}-{NAME.replace(' ', '-')}.json"


def save(path: Path, results: dict | list) -> None:
    """Write results as JSON."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")


def printed(title: str, rows: list[dict]) -> None:
    """Print rows as a table, numbers with three digits."""
    table = Table(*rows[0], title=title)
    for row in rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    console.print(table)
