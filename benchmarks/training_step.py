"""Seconds of a training step and of a forward pass of the small U-Net: memory formats and precisions, side by side.

Run by `make bench`; prints a table of ratios to contiguous float32 and writes benchmarks/results/training_step.json.
"""

import time
from itertools import product
from pathlib import Path
from statistics import median

import torch
from common import DEVICE, console, save, synchronise
from rich.table import Table

from bnadapt.networks import UNet

CROP, BATCH, ROUNDS = 128, 8, 5
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
PRECISIONS = {"float32": False, "bfloat16 autocast": True}
RESULTS = Path(__file__).parent / "results" / "training_step.json"


class Contestant:
    """A network in one memory format and precision, and how long its steps took."""

    def __init__(self, memory_format: str, precision: str, device: torch.device) -> None:
        torch.manual_seed(0)
        self.name = f"{memory_format}, {precision}"
        self.device = device
        self.autocast = PRECISIONS[precision]
        self.network = UNet(base_channels=16).to(device, memory_format=FORMATS[memory_format])
        self.optimizer = torch.optim.AdamW(self.network.parameters())
        images = torch.randn(BATCH, 1, CROP, CROP, device=device)
        self.images = images.contiguous(memory_format=FORMATS[memory_format])
        self.masks = torch.randint(2, (BATCH, CROP, CROP), device=device)
        self.seconds: dict[str, list[float]] = {"training step": [], "forward pass": []}

    def step(self) -> None:
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            logits = self.network(self.images)
        torch.nn.functional.cross_entropy(logits.float(), self.masks).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    @torch.inference_mode()
    def forward(self) -> None:
        self.network.eval()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            self.network(self.images)

    def measure(self) -> None:
        for name, action in (("training step", self.step), ("forward pass", self.forward)):
            started = time.perf_counter()
            action()
            synchronise()
            self.seconds[name].append(time.perf_counter() - started)


def main() -> None:
    contestants = [Contestant(*pair, DEVICE) for pair in product(FORMATS, PRECISIONS)]
    for _ in range(ROUNDS + 1):
        for contestant in contestants:
            contestant.measure()
    reference = contestants[0].seconds
    table = Table("U-Net, 16 base channels, batch 8 of 128 x 128", "step / s", "ratio", "forward / s", "ratio")
    records = []
    for contestant in contestants:
        record = {"contestant": contestant.name, "device": str(DEVICE), "threads": torch.get_num_threads()}
        cells = []
        for name, seconds in contestant.seconds.items():
            ratios = [one / other for one, other in zip(seconds[1:], reference[name][1:], strict=True)]
            record[name] = {"seconds": median(seconds[1:]), "ratio": median(ratios)}
            cells += [f"{median(seconds[1:]):.3f}", f"{median(ratios):.2f}"]
        table.add_row(contestant.name, *cells)
        records.append(record)
    console.print(table)
    save(RESULTS, records)


if __name__ == "__main__":
    main()
