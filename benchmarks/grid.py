"""Adapting to the 81 targets of a two-mean grid, once the source network is trained: seconds, and against bare passes.

Run by `make bench`; prints a table and writes benchmarks/results/grid-DEVICE.json.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from common import DEVICE, MACHINE, printed, results_path, save, synchronise

from bnadapt.experiments.case import AdaptationCase, RunLocation
from bnadapt.experiments.evaluation import Evaluation, cached_network
from bnadapt.studies.two_mean_grid import TwoMeanGrid

RESULTS = results_path("grid")
FOLDER = Path("lightning_logs") / "bench"
SIZE, IMAGES = 128, 24


def cases(precision: str, latent_tiles: int) -> list[AdaptationCase]:
    """Of one source, as in configs/studies/two-mean-grid.yaml."""
    evaluation = Evaluation(tile_size=SIZE, tiles=None, latent_tiles=latent_tiles, precision=precision)
    study = TwoMeanGrid([(0.3, 0.7)], size=SIZE, images=IMAGES, seeds=[1], evaluation=evaluation)
    return study.cases()


def seconds(grid: Sequence[AdaptationCase], location: RunLocation) -> float:
    """To measure all cases; the network is loaded before."""
    cached_network(grid[0].network, location.networks, grid[0].evaluation, location.device).source.scores  # noqa: B018
    synchronise()
    started = time.perf_counter()
    for case in grid:
        case.measure(location)
    synchronise()
    return time.perf_counter() - started


def bare(grid: Sequence[AdaptationCase], location: RunLocation) -> float:
    """Of the forward passes that cannot be avoided: once over the tiles to adapt to, twice over those to score."""
    evaluated = cached_network(grid[0].network, location.networks, grid[0].evaluation, location.device)
    images = evaluated.on(grid[0].target).tiles
    tiles = images.unlabelled(None).split(8)
    synchronise()
    started = time.perf_counter()
    for _ in grid:
        for batch in [*tiles, *(batch for batch, _ in images.labelled * 2)]:
            evaluated.forward(batch)
    synchronise()
    return time.perf_counter() - started


def main() -> None:
    location = RunLocation(FOLDER / "networks", FOLDER / "pictures", FOLDER / "runs", DEVICE)
    rows = []
    for precision, latent_tiles in (("float32", 0), ("bfloat16", 0), ("bfloat16", 12)):
        grid = cases(precision, latent_tiles)
        spent, least = seconds(grid, location), bare(grid, location)
        rows.append(
            {
                "targets": len(grid),
                "precision": precision,
                "distances": "27 latent spaces x 11 measures" if latent_tiles else "none",
                "seconds": spent,
                "ratio to the bare forward passes": spent / least,
            }
        )
    printed("A two-mean grid, 12 tiles to adapt to and 12 to score", rows)
    save(RESULTS, {**MACHINE, "grid": rows})


if __name__ == "__main__":
    main()
