"""What a recommendation costs beside an adaptation, side by side in one run.

Run by `make bench`; prints a table and writes benchmarks/results/verdict-DEVICE.json.
"""

import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from common import DEVICE, MACHINE, printed, results_path, save, synchronise
from torch import Tensor

from bnadapt.adaptation import SCANNED_TILES, NetworkRunner, Recipe
from bnadapt.batchnorm import ClassMoments, Policy
from bnadapt.data import Synthetic
from bnadapt.gain import judge, summarise_source
from bnadapt.networks import UNet

TILES, SIZE, BATCH, REPEATS = 64, 128, 8, 3


def tiles(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images (n, 1, h, w) and masks (n, h, w)."""
    sections = Synthetic(images=count, size=SIZE, seed=seed).labelled()
    images = torch.stack([torch.from_numpy(each.read_image()).float().unsqueeze(0) for each in sections])
    return images, torch.stack([torch.from_numpy(each.read_mask()).long() for each in sections])


def adapted(runner: NetworkRunner, images: Tensor, recipe: Recipe, moments: ClassMoments) -> None:
    """As `bnadapt adapt` does it."""
    batches = [{"image": part} for part in images.split(BATCH)]
    runner.adapt(batches, recipe, [{"image": images[:SCANNED_TILES]}], moments)


def seconds(function: Callable[[], object]) -> float:
    """That it takes."""
    synchronise()
    started = time.perf_counter()
    function()
    synchronise()
    return time.perf_counter() - started


def main() -> None:
    torch.manual_seed(0)
    network = UNet(base_channels=16).to(DEVICE, memory_format=torch.channels_last).eval()
    runner = NetworkRunner(network)
    images, masks = tiles(16, seed=1)
    moments = runner.class_moments([{"image": images, "mask": masks}], 2)
    source = summarise_source(runner, images, masks, moments)
    target, _ = tiles(TILES, seed=2)
    recipes = {
        "": Recipe(),
        ", all layers": Recipe(Policy()),
        ", all layers, class proportions estimated": Recipe(Policy(), class_proportions="estimated"),
    }
    ways: dict[str, Callable[[], object]] = {
        f"adaptation to {TILES} tiles{name}": partial(adapted, runner, target, recipe, moments)
        for name, recipe in recipes.items()
    }
    ways["recommendation"] = lambda: judge(runner, target[:SCANNED_TILES], source)
    rounds = [{name: seconds(way) for name, way in ways.items()} for _ in range(REPEATS)]
    taken = {name: median(each[name] for each in rounds) for name in ways}
    default = next(iter(taken.values()))
    rows = [
        {"what": name, "seconds": value, "over the default adaptation": value / default}
        for name, value in taken.items()
    ]
    printed(f"U-Net of 16 channels, tiles of {SIZE} pixels", rows)
    save(results_path("verdict"), {"machine": MACHINE, "rows": rows})


if __name__ == "__main__":
    main()
