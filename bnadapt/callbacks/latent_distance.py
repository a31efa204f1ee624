"""Measure how far source and target lie apart in every latent space, before and after adaptation."""

import logging
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, distributed
from torch.utils.data import DataLoader

from bnadapt.callbacks.batchnorm_adaptation import BatchNormAdaptation
from bnadapt.callbacks.inference import logits_of
from bnadapt.callbacks.tensorboard import state_writer, writer_of
from bnadapt.distances import MEASURES, DistanceError, LatentStates, Row, Sketch, Sketching, latent_spaces
from bnadapt.errors import InputError
from bnadapt.reports.distance_figures import pictures, principal_components
from bnadapt.reports.latents import LatentFindings, by_state
from bnadapt.stage import is_adapting, is_measuring

log = logging.getLogger(__name__)

STATES = ("source", "target", "adapted")
PROJECTED, PROJECTED_AXES = 150, 50  # latents of each domain in TensorBoard's projector
PROJECTED_AS = {"source": "source", "target": "target", "adapted": "target, adapted"}


class LatentDistance(Callback):
    """Measures the distance between source and target in every latent space of the network, in up to three states.

    `unadapted` is source against target in the source network. `adapted`, once the network is
    adapted, is the residual shift: source features as the source network gives them against
    target features in the adapted one. `noise_floor` is one half of the source's tiles against the
    other. It acts at the end of `fit`, in `bnadapt adapt` and in `bnadapt distances`, and must
    stand behind BatchNormAdaptation in the list of callbacks. With several processes each reads its share.

    In TensorBoard every measure has one curve through the network, `depth/MEASURE` with the layer's
    index as its step, in one run for every state, and single values `latent/MEASURE/LAYER`; beside them
    stand the figures `distances/...`, and the widest layer's latents in the projector. The
    distances are also put into the record of the adaptation.

    Args:
        tiles: of source and of target, drawn at random.
        places: latents that are taken at random from every layer of a tile.
        layers: names of the modules whose outputs are measured, as in `named_modules`, `*` stands for anything; by
            default all BatchNorm layers and the modules that they stand in, such as the stages of the U-Net.
        measures: names of those to take, of `bnadapt.distances.MEASURES`; all by default.

    Attributes:
        findings: what was measured, on the first process.
        pictures: of them, by name.

    Raises:
        ValueError: a measure is not known.
        InputError: at the start of a run, if BatchNormAdaptation stands behind it.
        DistanceError: when it acts, if a name fits no layer or latents are not finite.
    """

    def __init__(
        self,
        tiles: int = 32,
        places: int = 96,
        layers: list[str] | None = None,
        measures: list[str] | None = None,
    ) -> None:
        self.tiles = tiles
        self.places = places
        self.layers = layers
        names = list(MEASURES) if measures is None else measures
        if strange := [name for name in names if name not in MEASURES]:
            raise DistanceError(f"There is no measure {strange[0]!r}; take some of {', '.join(MEASURES)}.")
        if tiles < 1 or places < 1:
            raise DistanceError(f"There are {tiles} tiles and {places} places; give at least 1 of both.")
        self.measures = {name: MEASURES[name] for name in names}
        self.findings: LatentFindings | None = None
        self.pictures: dict[str, np.ndarray] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        behind = trainer.callbacks[trainer.callbacks.index(self) :]
        if any(isinstance(callback, BatchNormAdaptation) for callback in behind):
            raise InputError("put LatentDistance behind BatchNormAdaptation in the list of callbacks.")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        was_training = pl_module.network.training
        self._measure(trainer, pl_module)
        pl_module.network.train(was_training)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if is_adapting(trainer) or is_measuring(trainer):
            self._measure(trainer, pl_module)

    def _measure(self, trainer: Trainer, task: LightningModule) -> None:
        datamodule = trainer.datamodule
        if datamodule.source is None or datamodule.target is None:
            log.warning("No latent distances: they need both --data.source and --data.target.")
            return
        passes = self._passes(trainer, task)
        if not trainer.is_global_zero:
            return
        states = LatentStates(*(passes[state].sketches if state in passes else None for state in STATES))
        self.findings = LatentFindings(
            source=datamodule.source.name,
            target=datamodule.target.name,
            tiles={state: each.tiles for state, each in passes.items()},
            states=states,
            rows=states.rows(self.measures),
            shown={state: each.shown for state, each in passes.items()},
        )
        self.pictures = pictures(self.findings)
        if task.adaptation is not None:
            task.adaptation["distances"] = by_state(self.findings.rows)
        self._log(trainer, self.findings)

    def _passes(self, trainer: Trainer, task: LightningModule) -> dict[str, "_Pass"]:
        """One pass over the source and one over the target in the source network; one in the adapted one."""
        if task.source_bank is None:
            return {domain: self._pass(trainer, task, domain) for domain in ("source", "target")}
        with task.source_bank.applied(task.network):
            passes = {domain: self._pass(trainer, task, domain) for domain in ("source", "target")}
        return passes | {"adapted": self._pass(trainer, task, "target")}

    def _pass(self, trainer: Trainer, task: LightningModule, domain: str) -> "_Pass":
        task.network.eval()
        share = (trainer.global_rank, trainer.world_size)
        drawn = trainer.datamodule.unlabelled_tiles(domain, self.tiles, share)
        layers = latent_spaces(task.network, self.layers)
        with Sketching(partial(logits_of, task), layers, self.places) as sketching:
            for batch in DataLoader(drawn, batch_size=trainer.datamodule.batch_size):
                sketching.add(batch["image"], batch["number"])
        group = distributed.group.WORLD if trainer.world_size > 1 else None
        tiles = trainer.strategy.reduce(torch.tensor(sketching.tiles, device=task.device), reduce_op="sum")
        return _Pass(sketching.sketches(group), sketching.shown, int(tiles))

    def _log(self, trainer: Trainer, findings: LatentFindings) -> None:
        states: dict[str, list[Row]] = {}
        for row in findings.rows:
            states.setdefault(row.state, []).append(row)
        for state, rows in states.items():
            with state_writer(trainer, state) as writer:
                for row in rows:
                    writer.add_scalar(f"depth/{row.measure}", row.value, row.depth)
                    writer.add_scalar(f"latent/{row.measure}/{row.layer}", row.value, 0)
        writer = writer_of(trainer)
        for name, drawn in self.pictures.items():
            writer.add_image(f"distances/{name}", drawn, trainer.global_step, dataformats="HWC")
        _log_projector(writer, findings)


class _Pass(NamedTuple):
    """What a pass over a domain gave: sketches and some latents by layer, and how many tiles all processes read."""

    sketches: dict[str, Sketch]
    shown: dict[str, Tensor]
    tiles: int


def _log_projector(writer: Any, findings: LatentFindings) -> None:
    """Latents of the widest layer, along at most 50 principal axes, for TensorBoard's projector."""
    clouds = {state: latents[findings.widest] for state, latents in findings.shown.items()}
    few = {state: cloud[:: -(-len(cloud) // PROJECTED)] for state, cloud in clouds.items()}
    labels = [PROJECTED_AS[state] for state, cloud in few.items() for _ in cloud]
    places = np.concatenate(list(principal_components(few, PROJECTED_AXES).values()))
    writer.add_embedding(places, metadata=labels, tag=f"latents/{findings.widest}")
