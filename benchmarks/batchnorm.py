"""BatchNorm re-estimation against its peers, side by side in one run: time, error, tiles needed, memory.

All methods run in float32 and under bfloat16 autocast. Run by `make bench`; prints tables and writes
benchmarks/results/batchnorm-DEVICE.json. It first trains U-Nets of 16 and 64 base channels (kept in
lightning_logs/bench), on synthetic images and, where BNADAPT_DATA is set, on flyem for vnc.
"""

import argparse
import copy
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import torch
from common import DEVICE, MACHINE, in_process_of_its_own, peak, printed, results_path, save, synchronise
from fvcore.nn.precise_bn import update_bn_stats
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader

from bnadapt.batchnorm import FULL_RESOLUTION, Bank, Policy, UntilConverged, batchnorm_layers, estimate
from bnadapt.batchnorm.policy import ENCODER
from bnadapt.commands.cli import BnadaptCLI, main
from bnadapt.networks import UNet
from bnadapt.tasks.metrics import segmentation_metrics

RESULTS = results_path("batchnorm")
BATCH, MANY = 8, 1000
TOLERANCES = {"one_pass": (0.3, 0.2, 0.1, 0.05), "layer_consistent": (0.3, 0.2, 0.1)}
FEW = {"one_pass": (0.3, 0.15)}  # for wide networks, of which every score takes a quarter of a minute


@dataclass(frozen=True)
class Case:
    """A network to train, and the tiles to adapt it to."""

    data: str
    base_channels: int
    config: str
    options: tuple[str, ...]
    fit: tuple[str, ...]
    timed_tiles: int
    repeats: int
    tolerances: Mapping[str, tuple[float, ...]]

    @property
    def name(self) -> str:
        return f"{self.data}, {self.base_channels} channels"


LARGE = ("--data.target.images", "200")
SHORT = ("--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", "0.003", "--trainer.max_epochs", "1")
CASES = [
    Case("synthetic", 16, "configs/synthetic.yaml", LARGE, (), 64, 5, TOLERANCES),
    Case("flyem to vnc", 16, "configs/flyem-to-vnc.yaml", (), (), 64, 5, TOLERANCES),
    Case("synthetic", 64, "configs/synthetic.yaml", LARGE, (*SHORT, "--data.crops_per_epoch", "320"), 16, 3, FEW),
    Case("flyem to vnc", 64, "configs/flyem-to-vnc.yaml", (), (*SHORT, "--data.crops_per_epoch", "320"), 16, 3, FEW),
]


def whole_eval(network: nn.Module, batches: list[Tensor]) -> None:
    network.eval()
    with torch.no_grad():
        for batch in batches:
            network(batch)


def with_update_bn(network: nn.Module, batches: list[Tensor]) -> None:
    update_bn(batches, network)


def with_fvcore(network: nn.Module, batches: list[Tensor]) -> None:
    network.train()
    update_bn_stats(network, batches, num_iters=len(batches), progress=None)


def one_pass(network: nn.Module, batches: list[Tensor]) -> None:
    estimate(network, batches).bank.apply(network)


def layer_consistent(network: nn.Module, batches: list[Tensor]) -> None:
    estimate(network, batches, propagation="layer_consistent").bank.apply(network)


Method = Callable[[nn.Module, list[Tensor]], None]
PEERS: dict[str, Method] = {"torch update_bn": with_update_bn, "fvcore update_bn_stats": with_fvcore}
OURS: dict[str, Method] = {"bnadapt one_pass": one_pass, "bnadapt layer_consistent": layer_consistent}


def by_policy(layers: Sequence[str] | str) -> Method:
    def run(network: nn.Module, batches: list[Tensor]) -> None:
        estimate(network, batches, policy=Policy(layers=layers)).bank.apply(network)

    return run


BY_POLICY: dict[str, Method] = {
    "bnadapt, all layers": by_policy(["*"]),
    "bnadapt, full resolution": by_policy(FULL_RESOLUTION),
    "bnadapt, encoder": by_policy(ENCODER),
    "bnadapt, first level": by_policy(["encoder.0.*"]),
}
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def in_precision(method: Method, precision: str) -> Method:
    def run(network: nn.Module, batches: list[Tensor]) -> None:
        with torch.autocast(DEVICE.type, PRECISIONS[precision], enabled=precision != "float32"):
            method(network, batches)

    return run


def seconds(method: Method, network: nn.Module, batches: list[Tensor]) -> float:
    network = copy.deepcopy(network)
    synchronise()
    started = time.perf_counter()
    method(network, batches)
    synchronise()
    return time.perf_counter() - started


def times(
    network: nn.Module, tiles: Tensor, rounds: int, ours: Mapping[str, Method] = OURS, batch: int = BATCH
) -> list[dict[str, float | str]]:
    """Seconds of a pass over the same tiles; the methods take turns, ratios are medians over rounds."""
    batches = [part.contiguous(memory_format=torch.channels_last) for part in tiles.split(batch)]
    methods = {"plain eval forward": whole_eval, **PEERS, **ours}
    taken: dict[tuple[str, str], list[float]] = {(name, each): [] for each in PRECISIONS for name in methods}
    for turn in range(rounds + 1):
        for name, precision in taken:
            spent = seconds(in_precision(methods[name], precision), network, batches)
            if turn:
                taken[name, precision].append(spent)

    def ratio(spent: list[float], names: Iterable[str], precision: str) -> float:
        """To the fastest of these."""
        others = [min(each) for each in zip(*(taken[name, precision] for name in names), strict=True)]
        return median(a / b for a, b in zip(spent, others, strict=True))

    return [
        {
            "method": name,
            "precision": precision,
            "seconds": median(spent),
            "ratio to plain eval forward": ratio(spent, ["plain eval forward"], precision),
            "to the faster peer": ratio(spent, PEERS, precision),
            "to the faster peer in float32": ratio(spent, PEERS, "float32"),
        }
        for (name, precision), spent in taken.items()
    ]


def fixed_point(network: nn.Module, tiles: Tensor) -> Bank:
    """The layer-consistent statistics by another way: all tiles as one batch in train mode, in float64."""
    network = copy.deepcopy(network).double().cpu().train()
    banks: dict[str, Tensor] = {}
    for name, layer in batchnorm_layers(network).items():
        layer.register_forward_pre_hook(lambda layer, inputs, name=name: banks.__setitem__(name, inputs[0].detach()))
    with torch.no_grad():
        network(tiles.double().cpu())
    return Bank(
        {name: features.mean((0, 2, 3)) for name, features in banks.items()},
        {name: features.var((0, 2, 3), correction=0) for name, features in banks.items()},
        dict.fromkeys(banks, 0),
    )


def errors(network: nn.Module, tiles: Tensor) -> list[dict[str, str | float]]:
    """Error of the statistics against the float64 fixed point, for several batch sizes."""
    reference = fixed_point(network, tiles)
    first = next(iter(reference.mean))
    rows = []
    for size in (1, 2, 8):
        batches = tiles.split(size)
        sizes = "+".join(str(len(batch)) for batch in batches) if size == 8 else f"{size} each"
        for (name, method), precision in product({**PEERS, **OURS}.items(), PRECISIONS):
            adapted = copy.deepcopy(network)
            in_precision(method, precision)(adapted, list(batches))
            shifts = Bank.of(adapted).compared(reference)
            rows.append(
                {
                    "method": name,
                    "precision": precision,
                    "batches": sizes,
                    "first layer, mean": shifts[first].mean,
                    "first layer, log-variance": shifts[first].log_variance,
                    "worst layer, mean": max(shift.mean for shift in shifts.values()),
                    "worst layer, log-variance": max(shift.log_variance for shift in shifts.values()),
                }
            )
    return rows


def iou(network: nn.Module, test: DataLoader) -> float:
    scores = segmentation_metrics(2)
    network.eval()
    with torch.no_grad():
        for batch in test:
            images = batch["image"].contiguous(memory_format=torch.channels_last).to(DEVICE)
            scores.update(network(images).argmax(1).cpu(), batch["mask"])
    return scores.compute()["iou"][1].item()


def needed(network: nn.Module, tiles: Tensor, test: DataLoader, case: Case) -> list[dict[str, float | str]]:
    """Tiles, seconds and IoU: all tiles by the peers, and by us until converged, mean and worst over several orders."""
    rows = []
    for precision, (name, method) in product(PRECISIONS, {**PEERS, "bnadapt one_pass": one_pass}.items()):
        adapted = copy.deepcopy(network)
        synchronise()
        started = time.perf_counter()
        in_precision(method, precision)(adapted, list(tiles.split(BATCH)))
        synchronise()
        spent = time.perf_counter() - started
        rows.append({"method": name, "precision": precision, "tiles": len(tiles), "seconds": spent})
        rows[-1] |= {"iou": iou(adapted, test), "iou sd": 0.0}
    complete = next(row["iou"] for row in rows if row["method"] == "bnadapt one_pass")  # in float32
    peer = min(row["seconds"] for row in rows if row["method"] in PEERS and row["precision"] == "float32")
    for row in rows:
        row |= {
            "worst |iou - iou of all|": abs(row["iou"] - complete),
            "times faster than a peer's pass": peer / row["seconds"],
        }
    for propagation, tolerances in case.tolerances.items():
        for tolerance in tolerances:
            repeats = [stopped(network, tiles, test, propagation, tolerance, order) for order in range(case.repeats)]
            tiles_read, spent, scores = zip(*repeats, strict=True)
            rows.append(
                {
                    "method": f"{propagation} until {tolerance}",
                    "precision": "float32",
                    "tiles": mean(tiles_read),
                    "seconds": mean(spent),
                    "iou": mean(scores),
                    "iou sd": stdev(scores),
                    "worst |iou - iou of all|": max(abs(score - complete) for score in scores),
                    "times faster than a peer's pass": peer / mean(spent),
                }
            )
    return rows


def stopped(
    network: nn.Module, tiles: Tensor, test: DataLoader, propagation: str, tolerance: float, seed: int
) -> tuple[int, float, float]:
    """Tiles read, seconds and IoU of an adaptation that stops when the statistics are known."""
    order = torch.randperm(len(tiles), generator=torch.Generator().manual_seed(seed))
    adapted = copy.deepcopy(network)
    started = time.perf_counter()
    statistics = estimate(
        adapted,
        (tiles[chosen] for chosen in order.split(BATCH)),
        propagation=propagation,
        until=UntilConverged(tolerance),
    )
    statistics.bank.apply(adapted)
    synchronise()
    spent = time.perf_counter() - started
    return statistics.tiles, spent, iou(adapted, test)


def peak_of(propagation: str, tiles: int) -> float:
    """MiB that an estimation over tiles that are made on the fly adds to the peak."""
    network = UNet(base_channels=16).to(DEVICE, memory_format=torch.channels_last)
    made = (torch.randn(4, 1, 128, 128).contiguous(memory_format=torch.channels_last) for _ in range(tiles // 4))
    estimate(network, [next(made)])
    before = peak()
    estimate(network, made, propagation=propagation)
    return peak() - before


def memory() -> list[dict[str, str | float]]:
    return [
        {"method": f"bnadapt {propagation}", "tiles": tiles, "MiB": in_process_of_its_own(peak_of, propagation, tiles)}
        for propagation in ("one_pass", "layer_consistent")
        for tiles in (16, 64, 256)
    ]


def policies(base_channels: int, tiles: int, rounds: int) -> list[dict[str, float | str]]:
    """Seconds of a pass in 8 batches if some layers adapt, of an untrained network."""
    network = UNet(base_channels=base_channels).to(DEVICE, memory_format=torch.channels_last)
    rows = times(network, torch.randn(tiles, 1, 128, 128, device=DEVICE), rounds, BY_POLICY, tiles // 8)
    return [{"base channels": base_channels, **row} for row in rows]


def trained(case: Case) -> BnadaptCLI:
    """The case's source network, from an earlier run or trained now, and its data."""
    folder = Path("lightning_logs") / "bench" / f"{case.data.replace(' ', '-')}-{case.base_channels}"
    checkpoint = folder / "default" / "fit" / "checkpoints" / "best.ckpt"
    quiet = ["--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"]
    width = ["--model.network_args.base_channels", str(case.base_channels)]
    place = ["--trainer.logger.save_dir", str(folder), "--trainer.logger.version"]
    common = ["--config", case.config, *case.options, *quiet, *width, *place]
    if not checkpoint.exists():
        main(["fit", *common, "fit", *case.fit, "--trainer.precision", precision()])
    cli = main(["validate", *common, "validate", "--ckpt_path", str(checkpoint)])
    cli.model.to(DEVICE)
    return cli


def precision() -> str:
    return "bf16-mixed" if DEVICE.type == "cuda" or "avx512_bf16" in Path("/proc/cpuinfo").read_text() else "32-true"


def drawn(cli: BnadaptCLI, count: int, tile_size: int, overlap: int = 0) -> Tensor:
    """Tiles of the target without masks, on the device."""
    data = cli.datamodule
    data.tile_size, data.overlap = tile_size, overlap
    tiles = torch.stack([item["image"] for item in data.unlabelled_tiles("target", count)])
    return tiles.contiguous(memory_format=torch.channels_last).to(DEVICE)


def measured(case: Case) -> Iterator[tuple[str, list[dict]]]:
    """Tables of a case, as they come."""
    cli = trained(case)
    network = cli.model.network
    names = cli.datamodule.test_domains()
    cli.datamodule.tile_size = min(cli.datamodule.tile_size, 240)
    test = cli.datamodule.test_dataloader()[list(names).index("target")]
    yield "seconds per pass", times(network, drawn(cli, case.timed_tiles, 240), case.repeats)
    yield "error of the statistics", errors(network, drawn(cli, 20, 96))
    yield "tiles until converged", needed(network, drawn(cli, MANY, 96, overlap=60), test, case)


def run(cases: list[Case], parts: list[str]) -> None:
    results: dict[str, Any] = {"cases": {}, **(json.loads(RESULTS.read_text()) if RESULTS.exists() else {}), **MACHINE}
    if "policies" in parts:
        results["policies"] = policies(16, tiles=32, rounds=3) + policies(64, tiles=8, rounds=2)
        printed("8 batches of tiles of 128 x 128: seconds of a pass by policy", results["policies"])
        save(RESULTS, results)
    if "memory" in parts:
        results["peak memory"] = memory()
        printed("16 channels, batches of 4 tiles of 128 x 128: memory added to the peak", results["peak memory"])
        save(RESULTS, results)
    for case in cases:
        results["cases"][case.name] = {}
        for title, rows in measured(case):
            printed(f"{case.name}: {title}", rows)
            results["cases"][case.name][title] = rows
            save(RESULTS, results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=[case.name for case in CASES], help="names, such as %(default)s")
    parser.add_argument("--parts", nargs="+", default=["policies", "memory", "cases"], help="what to measure")
    asked = parser.parse_args()
    asked_cases = asked.cases if "cases" in asked.parts else []
    run(
        [
            case
            for case in CASES
            if case.name in asked_cases and (case.data == "synthetic" or "BNADAPT_DATA" in os.environ)
        ],
        asked.parts,
    )
