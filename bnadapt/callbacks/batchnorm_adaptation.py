"""Adapt a network at the end of its training."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from bnadapt.actions.adapt import Adaptation, adapt_to_target, save_adapted
from bnadapt.adaptation import ClassProportions, Recipe
from bnadapt.batchnorm import Policy, PropagationName, UntilConverged, batchnorm_layers
from bnadapt.callbacks.tensorboard import writer_of
from bnadapt.errors import InputError
from bnadapt.reports.adaptation_figures import convergence_figure, proportions_figure
from bnadapt.reports.page import rendered


class BatchNormAdaptation(Callback):
    """Re-estimates the running statistics of BatchNorm layers on images of the target.

    At the end of `fit` it reads tiles of the target, without masks, and writes the adapted network as a separate
    checkpoint; best and last checkpoint stay unadapted. With several processes each passes its share through the
    network, and all hold the same statistics. All weights, and all buffers other than the running statistics, stay
    bit-identical. See `bnadapt.actions.adapt.adapt_to_target`, which `bnadapt adapt` calls, too.

    Args:
        policy: see `bnadapt.adaptation.Recipe`.
        propagation: see `Recipe`.
        until: see `Recipe`.
        class_proportions: see `Recipe`.
        output: name of the checkpoint that `fit` writes into the folder of its checkpoints.

    Raises:
        InputError: at the start of `fit`, without a target.
        NoBatchNormError: at the start of `fit`, if the network has no BatchNorm statistics.

    Examples:
        trainer = Trainer(callbacks=[BatchNormAdaptation()])
        trainer.fit(task, datamodule=DomainPair(source, target))
    """

    def __init__(
        self,
        policy: Policy | None = None,
        propagation: PropagationName = "one_pass",
        until: UntilConverged | None = None,
        class_proportions: ClassProportions = "source",
        output: str = "adapted.ckpt",
    ) -> None:
        self.recipe = Recipe(policy or Recipe().policy, propagation, until, class_proportions)
        self.output = output

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        layers = list(batchnorm_layers(pl_module.network))
        if not self.recipe.policy.is_of_group:
            self.recipe.policy.chosen(layers)
        if trainer.datamodule.target is None:
            raise InputError("BatchNormAdaptation: needs a target to adapt to; give --data.target.")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        adaptation = adapt_to_target(pl_module, trainer.datamodule, self.recipe)
        adaptation.apply(pl_module)
        log_adaptation(trainer, adaptation)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.fast_dev_run:
            return
        folder = getattr(trainer.checkpoint_callback, "dirpath", None) or trainer.default_root_dir
        save_adapted(trainer, pl_module, Path(folder) / self.output)


def log_adaptation(trainer: Trainer, adaptation: Adaptation) -> None:
    """Log to TensorBoard how an adaptation came about.

    Standard errors of the statistics in the worst layer against the number of tiles, `statistics/error_of_mean` and
    `statistics/error_of_log_variance`, those of all layers as a picture, `statistics/error_by_layer`, and how class
    proportions were estimated, `statistics/class_proportions`.
    """
    writer, convergence = writer_of(trainer), adaptation.statistics.estimate.convergence
    for which in ("mean", "log_variance"):
        for tiles, *errors in zip(convergence.tiles, *getattr(convergence, which).values(), strict=True):
            writer.add_scalar(f"statistics/error_of_{which}", max(errors), tiles)
    writer.add_image("statistics/error_by_layer", rendered(convergence_figure(convergence)), 0, dataformats="HWC")
    proportions = adaptation.record["class_proportions"]
    if proportions["estimated"]:
        writer.add_image(
            "statistics/class_proportions", rendered(proportions_figure(proportions)), 0, dataformats="HWC"
        )
