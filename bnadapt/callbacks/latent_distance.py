"""Measure how far source and target lie apart in every latent space, before and after adaptation."""

import logging
from difflib import get_close_matches
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader

from bnadapt.batchnorm import Bank
from bnadapt.callbacks.batchnorm_adaptation import BatchNormAdaptation
from bnadapt.callbacks.inference import adaptation_pass, shard
from bnadapt.callbacks.tensorboard import state_writer, writer_of
from bnadapt.distances import MEASURES, DistanceError, LayerDistance
from bnadapt.errors import InputError
from bnadapt.reports.distance_figures import pictures, principal_components
from bnadapt.reports.latents import LatentFindings, by_state

log = logging.getLogger(__name__)

PROJECTED, PROJECTED_AXES = 150, 50  # latents of each domain in TensorBoard's projector
PROJECTED_AS = {"source": "source", "target": "target", "adapted": "target, adapted"}


class LatentDistance(Callback):
    """Measures the distance between source and target in every latent space of the network, in up to three states.

    `unadapted` is source against target in the source network. `adapted`, once the network is
    adapted, is the residual shift: source features as the source network gives them against
    target features in the adapted one. `noise_floor` is one half of the source's tiles against the
    other. It acts at the end of `fit`, and must stand behind BatchNormAdaptation in the list of callbacks; `bnadapt
    adapt` and `bnadapt distances` do the same with `measure`. With several processes each passes its share of the
    tiles.

    In TensorBoard every measure has one curve through the network, `latent/depth/MEASURE` with the layer's
    index as its step, in one run for every state, and single values `latent/MEASURE/LAYER`; beside them
    stand the figures `picture/distances/...`, and the widest layer's latents in the projector. The
    distances are also put into the record of the adaptation.

    Args:
        tiles: of source and of target, drawn at random.
        positions_per_tile: latents that are taken at random from every layer of a tile.
        layers: names of the modules whose outputs are measured, as in `named_modules`, `*` stands for anything; by
            default all BatchNorm layers and the modules that they stand in, such as the stages of the U-Net.
        measures: names of those to take, of `bnadapt.distances.MEASURES`; all by default.

    Attributes:
        findings: what was measured, on the first process.
        pictures: of them, by name.

    Raises:
        DistanceError: a measure is not known, a number is below 1; when it acts, if a name fits no layer or latents
            are not finite.
        InputError: at the start of a run, if BatchNormAdaptation stands behind it.
    """

    def __init__(
        self,
        tiles: int = 32,
        positions_per_tile: int = 96,
        layers: list[str] | None = None,
        measures: list[str] | None = None,
    ) -> None:
        self.tiles = tiles
        self.positions_per_tile = positions_per_tile
        self.layers = layers
        names = list(MEASURES) if measures is None else measures
        if unknown := [name for name in names if name not in MEASURES]:
            near = get_close_matches(unknown[0], MEASURES, 1)
            raise DistanceError(
                f"There is no measure {unknown[0]!r}; {f'did you mean {near[0]}? T' if near else 't'}ake some of"
                f" {', '.join(MEASURES)}."
            )
        if tiles < 1 or positions_per_tile < 1:
            raise DistanceError(
                f"There are {tiles} tiles and {positions_per_tile} positions per tile; give at least 1 of both."
            )
        self.measures = {name: MEASURES[name] for name in names}
        self.findings: LatentFindings | None = None
        self.pictures: dict[str, np.ndarray] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        behind = trainer.callbacks[trainer.callbacks.index(self) :]
        if any(isinstance(callback, BatchNormAdaptation) for callback in behind):
            raise InputError("put LatentDistance behind BatchNormAdaptation in the list of callbacks.")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.measure(trainer, pl_module)

    def measure(self, trainer: Trainer, task: LightningModule) -> None:
        """Measure the task's network on source and target of the Trainer's data module.

        Without a source or a target it says so, and measures nothing.
        """
        datamodule = trainer.datamodule
        if datamodule.source is None or datamodule.target is None:
            log.warning("No latent distances: they need both --data.source and --data.target.")
            return
        runs = adaptation_pass(trainer, task, self.positions_per_tile, self.layers)
        adapted = Bank.of(task.network) if task.source_bank is not None else None
        states, sketched = runs.latent_states(*(self._tiles(trainer, which) for which in ("source", "target")), adapted)
        if not trainer.is_global_zero:
            return
        self.findings = LatentFindings(
            **_names(datamodule.source.name, datamodule.target.name),
            tiles={state: each.tiles for state, each in sketched.items()},
            states=states,
            rows=states.rows(self.measures),
            examples={state: each.examples for state, each in sketched.items()},
        )
        self.pictures = pictures(self.findings)
        if task.adaptation is not None:
            task.adaptation["distances"] = by_state(self.findings.rows)
        self._log(trainer, self.findings)

    def _tiles(self, trainer: Trainer, which: str) -> DataLoader:
        tiles = trainer.datamodule.unlabelled_tiles(which, self.tiles, shard(trainer))
        return DataLoader(tiles, batch_size=trainer.datamodule.batch_size)

    def _log(self, trainer: Trainer, findings: LatentFindings) -> None:
        states: dict[str, list[LayerDistance]] = {}
        for row in findings.rows:
            states.setdefault(row.state, []).append(row)
        for state, rows in states.items():
            with state_writer(trainer, state) as writer:
                for row in rows:
                    writer.add_scalar(f"latent/depth/{row.measure}", row.value, row.depth)
                    writer.add_scalar(f"latent/{row.measure}/{row.layer}", row.value, 0)
        writer = writer_of(trainer)
        for name, drawn in self.pictures.items():
            writer.add_image(f"picture/distances/{name}", drawn, trainer.global_step, dataformats="HWC")
        _log_projector(writer, findings)


def _names(source: str, target: str) -> dict[str, str]:
    """What sentences call two domains: their names, if these tell them apart."""
    if source != target:
        return {"source": source, "target": target}
    return {"source": f"{source} (source)", "target": f"{target} (target)"}


def _log_projector(writer: Any, findings: LatentFindings) -> None:
    """Latents of the widest layer, along at most 50 principal axes, for TensorBoard's projector."""
    clouds = {state: latents[findings.widest] for state, latents in findings.examples.items()}
    few = {state: cloud[:: -(-len(cloud) // PROJECTED)] for state, cloud in clouds.items()}
    labels = [PROJECTED_AS[state] for state, cloud in few.items() for _ in cloud]
    positions = np.concatenate(list(principal_components(few, PROJECTED_AXES).values()))
    writer.add_embedding(positions, metadata=labels, tag=f"latents/{findings.widest}")
