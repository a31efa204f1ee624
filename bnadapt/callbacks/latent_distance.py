"""Measure how far source and target lie apart in every latent space, before and after adaptation."""

import logging
from collections.abc import Mapping
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from bnadapt.actions.distances import latent_findings, measure_distances
from bnadapt.adaptation import NetworkRunner, beginning
from bnadapt.batchnorm.batches import batches_of
from bnadapt.callbacks.batchnorm_adaptation import BatchNormAdaptation
from bnadapt.callbacks.tensorboard import tensorboard_logger, writer_of
from bnadapt.distances import DistanceError
from bnadapt.distances.measures import measures_named
from bnadapt.errors import InputError
from bnadapt.reports.distance_figures import pictures, principal_components
from bnadapt.reports.distance_page import layer_table
from bnadapt.reports.latent_findings import LatentFindings, by_state

log = logging.getLogger(__name__)

PROJECTED, PROJECTED_AXES = 150, 50  # latents of each domain in TensorBoard's projector
PROJECTED_AS = {"source": "source", "target": "target", "adapted": "target, adapted"}


class LatentDistance(Callback):
    """Measures the distance between source and target in every latent space of the network, in up to three states.

    See `bnadapt.actions.distances`. It acts at the end of `fit`, and during training if `every_n_epochs` is set; it
    must come after BatchNormAdaptation in the list of callbacks. `bnadapt adapt` and `bnadapt distances` call
    `measure`. With `source` and `target` it works in any Lightning Trainer, on any LightningModule with BatchNorm.

    It logs to TensorBoard the figures `picture/distances/...`, a table of layers per measure, `distances/MEASURE`, and
    the widest layer's latents for the projector, and adds the distances to the record of the adaptation. During
    training it logs to all loggers the distance of source and target: its mean over layers, `latent/mean/MEASURE`, and
    the first measure of every layer, `latent/layer/LAYER`.

    Args:
        tiles: number of tiles of source and of target, drawn at random.
        positions_per_tile: latents that are taken at random from every layer of a tile.
        layers: names of the modules to measure at, as in `named_modules`, with `*` as wildcard; by default all
            BatchNorm layers and the modules that contain them, such as the stages of the U-Net.
        measures: some of `bnadapt.distances.MEASURES`; all by default.
        every_n_epochs: epochs between measurements during training; they do not affect it.
        source: images of the source: a DataLoader or batches, tensors (N, C, H, W), tuples with them in front, or dicts
            with `image`; the first `tiles` are read, once. By default those of the Trainer's DomainPair.
        target: the same of the target.

    Raises:
        DistanceError: a measure is unknown or a number is below 1; when it acts, if a name fits no layer or latents
            are not finite.
        InputError: at the start of a run, if BatchNormAdaptation comes after it.

    Examples:
        trainer = Trainer(callbacks=[LatentDistance(every_n_epochs=1, source=source_loader, target=target_loader)])
        trainer.fit(module, source_loader)
    """

    def __init__(
        self,
        tiles: int = 32,
        positions_per_tile: int = 96,
        layers: list[str] | None = None,
        measures: list[str] | None = None,
        every_n_epochs: int | None = None,
        source: Any = None,
        target: Any = None,
    ) -> None:
        self.tiles = tiles
        self.positions_per_tile = positions_per_tile
        self.layers = layers
        self.measures = measures_named(measures)
        if tiles < 1 or positions_per_tile < 1:
            raise DistanceError(f"tiles is {tiles}, positions_per_tile {positions_per_tile}; give at least 1 of both.")
        if every_n_epochs is not None and every_n_epochs < 1:
            raise DistanceError(f"every_n_epochs is {every_n_epochs}; give at least 1, or leave it out.")
        if (source is None) != (target is None):
            raise DistanceError("LatentDistance has images of one domain alone; give both source and target.")
        self.every_n_epochs = every_n_epochs
        self.images = None if source is None else {"source": source, "target": target}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        behind = trainer.callbacks[trainer.callbacks.index(self) :]
        if any(isinstance(callback, BatchNormAdaptation) for callback in behind):
            raise InputError("put LatentDistance behind BatchNormAdaptation in the list of callbacks.")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        domains = (getattr(trainer.datamodule, name, None) for name in ("source", "target"))
        self._is_possible = self.images is not None or all(each is not None for each in domains)
        if not self._is_possible:
            log.warning("No latent distances: they need both --data.source and --data.target.")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._is_possible and self.every_n_epochs and (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            pl_module.log_dict(_curves(self._findings(trainer, pl_module)))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._is_possible:
            self.measure(trainer, pl_module)

    def measure(self, trainer: Trainer, task: LightningModule) -> LatentFindings:
        """Measure the network of a task on source and target, and log what was found."""
        findings = self._findings(trainer, task)
        if getattr(task, "adaptation", None) is not None:
            task.adaptation["distances"] = by_state(findings.rows)
        log_distances(trainer, findings)
        return findings

    def _findings(self, trainer: Trainer, task: LightningModule) -> LatentFindings:
        if self.images is None:
            return measure_distances(
                task, trainer.datamodule, self.measures, self.tiles, self.positions_per_tile, self.layers
            )

        @torch.no_grad()
        def forward(images: Tensor) -> Any:
            with trainer.precision_plugin.forward_context():
                return task(images)

        runner = NetworkRunner(task, forward, None, self.positions_per_tile, self.layers)
        return latent_findings(
            runner, **self._tiles, names={name: name for name in self.images}, measures=self.measures
        )

    @cached_property
    def _tiles(self) -> dict[str, list[Mapping[str, Tensor]]]:
        """The tiles of the given images; reading them draws no random numbers that training would draw."""
        with isolate_rng():
            return {
                name: list(beginning(({"image": batch} for batch in batches_of(images)), self.tiles))
                for name, images in self.images.items()
            }


def _curves(findings: LatentFindings) -> dict[str, float]:
    """Distances of source and target by tag: means over layers, and the first measure in every layer."""
    first, *_ = findings.measures
    curves = {f"latent/layer/{row.layer}": row.value for row in findings.of(first, "unadapted")}
    for measure in findings.measures:
        curves[f"latent/mean/{measure}"] = fmean(row.value for row in findings.of(measure, "unadapted"))
    return curves


def log_distances(trainer: Trainer, findings: LatentFindings) -> None:
    """Figures, tables and the projector in TensorBoard; on the first process."""
    if not trainer.is_global_zero or tensorboard_logger(trainer) is None:
        return
    writer = writer_of(trainer)
    for name, picture in pictures(findings).items():
        writer.add_image(f"picture/distances/{name}", picture, trainer.global_step, dataformats="HWC")
    for measure in findings.measures:
        writer.add_text(f"distances/{measure}", layer_table(findings, measure).markdown(), trainer.global_step)
    clouds = {state: latents[findings.widest] for state, latents in findings.examples.items()}
    few = {state: cloud[:: -(-len(cloud) // PROJECTED)] for state, cloud in clouds.items()}
    labels = [PROJECTED_AS[state] for state, cloud in few.items() for _ in cloud]
    positions = np.concatenate(list(principal_components(few, PROJECTED_AXES).values()))
    writer.add_embedding(positions, metadata=labels, tag=f"latents/{findings.widest}")
