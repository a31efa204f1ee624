"""Measure how far source and target lie apart in every latent space of a task's network."""

from collections.abc import Mapping

from torch.utils.data import DataLoader

from bnadapt.adaptation import Batches, NetworkRunner
from bnadapt.batchnorm import Bank
from bnadapt.data import DomainPair
from bnadapt.distances import Measure
from bnadapt.reports.latent_findings import LatentFindings
from bnadapt.tasks import AdaptableTask


def measure_distances(
    task: AdaptableTask,
    data: DomainPair,
    measures: Mapping[str, Measure],
    tiles: int = 32,
    positions_per_tile: int = 96,
    layers: list[str] | None = None,
) -> LatentFindings:
    """Distances of source and target of a data module in up to three states of a network.

    `unadapted` is source against target in the source network; `adapted`, of an adapted one, the residual shift: source
    features as the source network gives them against target features in the adapted one; `noise_floor` one half of the
    source's tiles against the other. Each process passes its share of the tiles.

    Args:
        task: with the network.
        data: its source and target are read, without masks.
        measures: some of `bnadapt.distances.MEASURES`.
        tiles: number of tiles of source and of target, drawn at random.
        positions_per_tile: latents that are taken at random from every layer of a tile.
        layers: see `bnadapt.distances.latent_spaces`.

    Raises:
        InputError: source or target are missing, or cannot be read.
        DistanceError: a name fits no layer, or latents are not finite.
    """
    runner = task.runner(positions_per_tile, layers)
    source, target = (
        DataLoader(data.unlabelled_tiles(which, tiles, runner.shard), batch_size=data.batch_size)
        for which in ("source", "target")
    )
    adapted = Bank.of(task.network) if task.source_bank is not None else None
    names = {which: getattr(data, which).name for which in ("source", "target")}
    if data.source.name == data.target.name:
        names = {which: f"{name} ({which})" for which, name in names.items()}
    return latent_findings(runner, source, target, names, measures, adapted)


def latent_findings(
    runner: NetworkRunner,
    source: Batches,
    target: Batches,
    names: Mapping[str, str],
    measures: Mapping[str, Measure],
    adapted: Bank | None = None,
) -> LatentFindings:
    """Distances of two domains in up to three states of a network, see `measure_distances`.

    Args:
        runner: the network.
        source: tiles.
        target: tiles.
        names: what sentences call `source` and `target`.
        measures: measures to take.
        adapted: the adapted statistics, if there are some.

    Raises:
        DistanceError: a name fits no layer, or latents are not finite.
    """
    states, sketched = runner.latent_states(source, target, adapted)
    return LatentFindings(
        **names,
        tiles={state: each.tiles for state, each in sketched.items()},
        states=states,
        rows=states.rows(measures),
        examples={state: each.examples for state, each in sketched.items()},
    )
