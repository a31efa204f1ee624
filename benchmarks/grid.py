"""Adapting to the 81 targets of a two-mean grid, once the source network is trained: seconds, and against bare passes.

Times of the processor are those of all its threads; other programs change them less than the wall clock.

Run by `make bench`; prints a table and writes benchmarks/results/grid-DEVICE.json.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from common import DEVICE, MACHINE, clocked, printed, results_path, save

from bnadapt.experiments.case import AdaptationCase, RunLocation
from bnadapt.experiments.evaluation import Evaluation
from bnadapt.experiments.network_evaluation import DomainEvaluation
from bnadapt.experiments.trained_networks import cached_network
from bnadapt.studies.two_mean_grid import TwoMeanGrid

RESULTS = results_path("grid")
FOLDER = Path("lightning_logs") / "bench"
SIZE, IMAGES = 128, 24


def cases(precision: str, latent_tiles: int) -> list[AdaptationCase]:
    """Of one source, as in configs/studies/two-mean-grid.yaml."""
    evaluation = Evaluation(tile_size=SIZE, tiles=None, latent_tiles=latent_tiles, precision=precision)
    study = TwoMeanGrid([(0.3, 0.7)], size=SIZE, images=IMAGES, seeds=[1], evaluation=evaluation)
    return study.cases()


def measured(grid: Sequence[AdaptationCase], location: RunLocation) -> None:
    """Measure all cases."""
    for case in grid:
        case.measure(location)


def bare(target: DomainEvaluation, times: int, latent_tiles: int) -> None:
    """Forward passes: once over the tiles to adapt to, twice over those to score, twice over those for latents."""
    tiles = target.tiles
    batches = [*tiles.unlabelled(None).split(8), *(batch for batch, _ in tiles.labelled * 2)]
    batches += tiles.unlabelled(latent_tiles).split(8) * 2 if latent_tiles else ()
    for batch in batches * times:
        target.network.forward(batch)


def row(precision: str, latent_tiles: int, location: RunLocation) -> dict[str, str | int | float]:
    """Times of a grid, and ratios to bare passes."""
    grid = cases(precision, latent_tiles)
    network = cached_network(grid[0].network, location.networks, grid[0].evaluation, DEVICE)
    network.source.scores  # noqa: B018, so that the network is trained
    target = network.on(grid[0].target)
    bare(target, 1, latent_tiles)
    wall, processor, _ = clocked(partial(measured, grid, location))
    least_wall, least, _ = clocked(partial(bare, target, len(grid), 0))
    *_, with_latents, _ = clocked(partial(bare, target, len(grid), latent_tiles))
    return {
        "targets": len(grid),
        "precision": precision,
        "distances": "27 latent spaces x 11 measures" if latent_tiles else "none",
        "seconds": wall,
        "of the processor": processor,
        "ratio to the bare forward passes": wall / least_wall,
        "ratio of the processor": processor / least,
        "of the processor, where passes for latents are bare ones": processor / with_latents,
    }


def main() -> None:
    location = RunLocation(FOLDER / "networks", FOLDER / "pictures", FOLDER / "runs", DEVICE)
    rows = [row(*each, location) for each in (("float32", 0), ("bfloat16", 0), ("bfloat16", 12))]
    printed("A two-mean grid, 12 tiles to adapt to and 12 to score", rows)
    save(RESULTS, {**MACHINE, "grid": rows})


if __name__ == "__main__":
    main()
