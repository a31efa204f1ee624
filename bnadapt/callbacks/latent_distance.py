"""Measure how far source and target lie apart in every latent space, before and after adaptation."""

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from bnadapt.batchnorm import batchnorm_layers
from bnadapt.callbacks.batchnorm_adaptation import BatchNormAdaptation
from bnadapt.callbacks.inference import logits_of
from bnadapt.callbacks.tensorboard import state_writer
from bnadapt.distances import MEASURES, draw_latents
from bnadapt.errors import InputError
from bnadapt.stage import is_adapting

log = logging.getLogger(__name__)


class LatentDistance(Callback):
    """Logs the distance between source and target at the output of every BatchNorm layer.

    `unadapted` is source against target in the source network. `adapted`, known once the network is
    adapted, is the residual shift: source features as the source network gives them against
    target features in the adapted one. It acts at the end of `fit` and in `bnadapt adapt`, and must
    stand behind BatchNormAdaptation in the list of callbacks.

    In TensorBoard every measure has one curve through the network, `depth/MEASURE` with the layer's
    index as its step, in the runs `unadapted` and `adapted`, and single values
    `latent/MEASURE/LAYER`. The distances are also put into the record of the adaptation.

    Args:
        tiles: of source and of target, drawn at random.
        per_tile: places drawn at random in every layer of a tile.
        measures: which of `gaussian_wasserstein`, `sliced_wasserstein`, `bhattacharyya`; all by default.

    Raises:
        ValueError: a measure is not known.
        InputError: at the start of a run, if BatchNormAdaptation stands behind it.
    """

    def __init__(self, tiles: int = 16, per_tile: int = 256, measures: list[str] | None = None) -> None:
        self.tiles = tiles
        self.per_tile = per_tile
        names = list(MEASURES) if measures is None else measures
        if strange := [name for name in names if name not in MEASURES]:
            raise ValueError(f"There is no measure {strange[0]!r}; take some of {', '.join(MEASURES)}.")
        self.measures = {name: MEASURES[name] for name in names}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        behind = trainer.callbacks[trainer.callbacks.index(self) :]
        if any(isinstance(callback, BatchNormAdaptation) for callback in behind):
            raise InputError("put LatentDistance behind BatchNormAdaptation in the list of callbacks.")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        was_training = pl_module.network.training
        self._measure(trainer, pl_module)
        pl_module.network.train(was_training)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if is_adapting(trainer):
            self._measure(trainer, pl_module)

    def _measure(self, trainer: Trainer, task: LightningModule) -> None:
        if trainer.datamodule.source is None or trainer.datamodule.target is None:
            log.warning("No latent distances: they need both --data.source and --data.target.")
            return
        distances = self._distances(trainer, task)
        if task.adaptation is not None:
            task.adaptation["distances"] = distances
        for state, layers in distances.items():
            self._log(trainer, state, layers)

    def _distances(self, trainer: Trainer, task: LightningModule) -> dict[str, dict[str, dict[str, float]]]:
        """Distance by state, layer and measure."""
        adapted = task.source_bank is not None
        with task.source_bank.applied(task.network) if adapted else nullcontext():
            source, target = (self._latents(trainer, task, which) for which in ("source", "target"))
        found = {"unadapted": self._between(source, target)}
        if adapted:
            found["adapted"] = self._between(source, self._latents(trainer, task, "target"))
        return found

    def _latents(self, trainer: Trainer, task: LightningModule, which: str) -> dict[str, Tensor]:
        task.network.eval()
        datamodule = trainer.datamodule
        tiles = DataLoader(datamodule.unlabelled_tiles(which, self.tiles), batch_size=datamodule.batch_size)
        images = (batch["image"] for batch in tiles)
        return draw_latents(partial(logits_of, task), batchnorm_layers(task.network), images, self.per_tile)

    def _between(self, source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, dict[str, float]]:
        return {
            layer: {name: measure(source[layer], target[layer]) for name, measure in self.measures.items()}
            for layer in source
        }

    def _log(self, trainer: Trainer, state: str, layers: Mapping[str, Mapping[str, float]]) -> None:
        with state_writer(trainer, state) as writer:
            for depth, (layer, distances) in enumerate(layers.items()):
                for name, distance in distances.items():
                    writer.add_scalar(f"depth/{name}", distance, depth)
                    writer.add_scalar(f"latent/{name}/{layer}", distance, 0)
