"""Measure how far source and target lie apart in every latent space, before and after adaptation."""

import logging
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

from bnadapt.actions.distances import measure_distances
from bnadapt.callbacks.batchnorm_adaptation import BatchNormAdaptation
from bnadapt.callbacks.tensorboard import writer_of
from bnadapt.distances import DistanceError
from bnadapt.distances.measures import measures_named
from bnadapt.errors import InputError
from bnadapt.reports.distance_figures import pictures, principal_components
from bnadapt.reports.distance_page import layer_table
from bnadapt.reports.latents import LatentFindings, by_state
from bnadapt.tasks import AdaptableTask

log = logging.getLogger(__name__)

PROJECTED, PROJECTED_AXES = 150, 50  # latents of each domain in TensorBoard's projector
PROJECTED_AS = {"source": "source", "target": "target", "adapted": "target, adapted"}


class LatentDistance(Callback):
    """Measures the distance between source and target in every latent space of the network, in up to three states.

    See `bnadapt.actions.measure_distances`. It acts at the end of `fit`, and must stand behind BatchNormAdaptation in
    the list of callbacks; `bnadapt adapt` and `bnadapt distances` do the same with `measure`.

    In TensorBoard stand the figures `picture/distances/...`, a table of layers for every measure among the texts,
    `distances/MEASURE`, and the widest layer's latents in the projector. The distances are also put into the record of
    the adaptation.

    Args:
        tiles: of source and of target, drawn at random.
        positions_per_tile: latents that are taken at random from every layer of a tile.
        layers: names of the modules whose outputs are measured, as in `named_modules`, `*` stands for anything; by
            default all BatchNorm layers and the modules that they stand in, such as the stages of the U-Net.
        measures: names of those to take, of `bnadapt.distances.MEASURES`; all by default.

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
        self.measures = measures_named(measures)
        if tiles < 1 or positions_per_tile < 1:
            raise DistanceError(
                f"There are {tiles} tiles and {positions_per_tile} positions per tile; give at least 1 of both."
            )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        behind = trainer.callbacks[trainer.callbacks.index(self) :]
        if any(isinstance(callback, BatchNormAdaptation) for callback in behind):
            raise InputError("put LatentDistance behind BatchNormAdaptation in the list of callbacks.")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.datamodule.source is None or trainer.datamodule.target is None:
            log.warning("No latent distances: they need both --data.source and --data.target.")
            return
        self.measure(trainer, pl_module)

    def measure(self, trainer: Trainer, task: AdaptableTask) -> LatentFindings:
        """Measure the task's network on source and target of the Trainer's data module, and log what was found."""
        findings = measure_distances(
            task, trainer.datamodule, self.measures, self.tiles, self.positions_per_tile, self.layers
        )
        if task.adaptation is not None:
            task.adaptation["distances"] = by_state(findings.rows)
        log_distances(trainer, findings)
        return findings


def log_distances(trainer: Trainer, findings: LatentFindings) -> None:
    """Figures, tables and the projector in TensorBoard; on the first process."""
    if not trainer.is_global_zero:
        return
    writer = writer_of(trainer)
    for name, drawn in pictures(findings).items():
        writer.add_image(f"picture/distances/{name}", drawn, trainer.global_step, dataformats="HWC")
    for measure in findings.measures:
        writer.add_text(f"distances/{measure}", layer_table(findings, measure).markdown(), trainer.global_step)
    _log_projector(writer, findings)


def _log_projector(writer: Any, findings: LatentFindings) -> None:
    """Latents of the widest layer, along at most 50 principal axes, for TensorBoard's projector."""
    clouds = {state: latents[findings.widest] for state, latents in findings.examples.items()}
    few = {state: cloud[:: -(-len(cloud) // PROJECTED)] for state, cloud in clouds.items()}
    labels = [PROJECTED_AS[state] for state, cloud in few.items() for _ in cloud]
    positions = np.concatenate(list(principal_components(few, PROJECTED_AXES).values()))
    writer.add_embedding(positions, metadata=labels, tag=f"latents/{findings.widest}")
