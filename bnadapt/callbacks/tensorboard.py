"""TensorBoard beyond scalars: an ordered layout, hyper-parameters with scores.

A run that logs nothing leaves no folder.
"""

from collections.abc import Callable, Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loggers.logger import DummyLogger, rank_zero_experiment
from lightning.pytorch.utilities.rank_zero import rank_zero_only

LAYOUT = {
    "1 Does it learn?": {
        "loss": ["Multiline", [r"train/source/loss", r"val/source/loss"]],
        "IoU on the source": ["Multiline", [r"val/source/iou"]],
        "learning rate": ["Multiline", [r"train/learning_rate"]],
    },
    "2 Does it segment? At 0 without adaptation, at 1 with it": {
        "IoU on the target": ["Multiline", [r"iou/target"]],
        "IoU on the source": ["Multiline", [r"iou/source"]],
    },
    "3 How many tiles does adaptation need?": {
        "standard error in the worst layer": [
            "Multiline",
            [r"statistics/error_of_mean", r"statistics/error_of_log_variance"],
        ],
    },
}
"""Custom scalars; distances by layer are pictures and texts, since TensorBoard smooths curves by default."""
SCORES = ("iou/target", "iou/source", "val/source/iou")  # beside hyper-parameters


class RunLogger(TensorBoardLogger):
    """TensorBoardLogger that creates its folder when something is logged, not before."""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The SummaryWriter, created on first use: Lightning asks for it before every run."""
        return _WhenUsed(lambda: TensorBoardLogger.experiment.fget(self))

    @property
    def has_logged(self) -> bool:
        """Whether anything was logged."""
        return self._experiment is not None

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log all metrics except the epoch that Lightning adds: TensorBoard would open on it."""
        without_epoch = {name: value for name, value in metrics.items() if name != "epoch"}
        if without_epoch:
            super().log_metrics(without_epoch, step)

    @rank_zero_only
    def save(self) -> None:
        if self.has_logged:
            super().save()


class _WhenUsed:
    """Proxy that creates an object when an attribute of it is used."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> Any:
        return getattr(self._make(), name)


def tensorboard_logger(trainer: Trainer) -> TensorBoardLogger | None:
    """The run's TensorBoard logger on the first process, if it has one."""
    if not trainer.is_global_zero:
        return None
    return next((each for each in trainer.loggers if isinstance(each, TensorBoardLogger)), None)


def writer_of(trainer: Trainer) -> Any:
    """The run's SummaryWriter; without one, a dummy that accepts the same calls."""
    logger = tensorboard_logger(trainer)
    return logger.experiment if logger else DummyLogger().experiment


class TensorBoardOverview(Callback):
    """Writes the layout of the custom scalars, and hyper-parameters with the final scores."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._lay_out(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _log_hyper_parameters(trainer, pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        is_adapted = int(pl_module.is_adapted)  # the step, so that charts show both side by side
        for tag, value in trainer.callback_metrics.items():
            stage, *name, measure = tag.split("/")
            if stage == "test" and measure == "iou":
                writer_of(trainer).add_scalar(f"iou/{name[0]}", value.item(), is_adapted)
        _log_hyper_parameters(trainer, pl_module)
        self._lay_out(trainer)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if any(isinstance(each, RunLogger) and each.has_logged for each in trainer.loggers):
            self._lay_out(trainer)

    def _lay_out(self, trainer: Trainer) -> None:
        writer_of(trainer).add_custom_scalars(LAYOUT)


def _log_hyper_parameters(trainer: Trainer, task: LightningModule) -> None:
    """All runs name the same scores, since TensorBoard shows only those of the first run."""
    logger = tensorboard_logger(trainer)
    if logger:
        from torch.utils.tensorboard.summary import hparams

        for summary in hparams(_hyper_parameters(trainer, task), dict.fromkeys(SCORES)):
            logger.experiment._get_file_writer().add_summary(summary)  # as Lightning does


def _hyper_parameters(trainer: Trainer, task: LightningModule) -> dict[str, str | int]:
    """TensorBoard shows the first five by name."""
    datamodule = trainer.datamodule
    arguments = (f"{key} {value}" for key, value in (task.hparams.network_args or {}).items())
    return {
        "adapted": "yes" if task.is_adapted else "no",
        "intensity": datamodule.intensity,
        "network": ", ".join([task.hparams.network, *arguments]),
        "source": datamodule.source.name if datamodule.source else "none",
        "target": datamodule.target.name if datamodule.target else "none",
        "training/batch_size": datamodule.batch_size,
        "training/crop_size": datamodule.crop_size,
    }
