"""How a network does on the target while it is trained; for the reader, never for a choice."""

import json
import time
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, no_grad

from bnadapt.batchnorm.isolation import isolated
from bnadapt.experiments.case import RunLocation
from bnadapt.experiments.evaluation import Evaluation, scored, tiles_of
from bnadapt.experiments.networks import SourceNetwork, fit, save
from bnadapt.experiments.specs import Spec, canonical, resolved
from bnadapt.files import atomic_write

POINTS = 5


@dataclass(frozen=True)
class History:
    """Foreground IoU on the target's test block along a training.

    Attributes:
        steps: after which it was measured; the last ones are those of the whole training.
        iou: then.
        seconds: that training took, without measuring this.
    """

    steps: list[int]
    iou: list[float]
    seconds: float


class TargetHistory(Callback):
    """Scores the network on the target a few times during training, which it does not disturb.

    Args:
        network: that is trained.
        target: with masks.
        evaluation: how to score.
    """

    def __init__(self, network: SourceNetwork, target: Spec, evaluation: Evaluation) -> None:
        self.network = network
        self.target = target
        self.evaluation = evaluation
        self.steps: list[int] = []
        self.iou: list[float] = []
        self._measuring = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the tiles."""
        state = trainer.datamodule.state_dict()
        self.tiles = tiles_of(self.network, self.evaluation, state)(self.target).labelled
        self._started = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Score the network, at a fifth of the way, two fifths, and so on."""
        step = trainer.global_step
        if step % max(1, trainer.max_steps // POINTS) and step != trainer.max_steps:
            return
        began = time.perf_counter()
        with isolated(pl_module.network):
            scores = scored(lambda images: _logits(pl_module, images), self.tiles)
        self.steps.append(step)
        self.iou.append(scores.iou)
        self._measuring += time.perf_counter() - began

    def history(self) -> History:
        """What was measured."""
        return History(self.steps, self.iou, round(time.perf_counter() - self._started - self._measuring, 1))


def trained_with_history(
    network: SourceNetwork, target: Spec, evaluation: Evaluation, location: RunLocation
) -> History:
    """The history of a network, which is trained first if there is none; the network is then in its folder, too."""
    path = network.path(location.networks)
    kept = path.with_name(f"{path.stem}-on-{_key(target, evaluation)}.json")
    if path.exists() and kept.exists():
        return History(**json.loads(kept.read_text(encoding="utf-8")))
    callback = TargetHistory(network, target, evaluation)
    task = fit(network, location.device, [callback])
    save(task, path)
    history = callback.history()
    with atomic_write(kept) as partial:
        partial.write_text(json.dumps(asdict(history)), encoding="utf-8")
    return history


def _key(target: Spec, evaluation: Evaluation) -> str:
    return sha256(canonical([resolved(target), evaluation.config]).encode()).hexdigest()[:8]


def _logits(task: LightningModule, images: Tensor) -> Tensor:
    with no_grad():
        return task(images.to(task.device)).float()
