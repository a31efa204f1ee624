"""Commands that write a changed network: `adapt` and `finetune`."""

from dataclasses import dataclass, replace
from pathlib import Path

from lightning.pytorch import LightningDataModule, LightningModule

from bnadapt.actions.adapt import adapted_files, save_adapted
from bnadapt.actions.choose import adapt_by_choice, check_choice
from bnadapt.actions.finetune import check_finetuning, finetune_to_target
from bnadapt.actions.recommend import Judgement
from bnadapt.actions.self_train import check_self_training, self_train_on_target
from bnadapt.adaptation import ClassProportions
from bnadapt.batchnorm import Policy, PropagationName, UntilConverged
from bnadapt.callbacks import BatchNormAdaptation, LatentDistance, SegmentationPictures
from bnadapt.callbacks.batchnorm_adaptation import log_adaptation
from bnadapt.commands.passes import passes_of_adapt, passes_of_finetune
from bnadapt.commands.trainer.base import CommandTrainer, checkpoint_path
from bnadapt.files import check_outputs
from bnadapt.gain.candidates import ADAPTED
from bnadapt.labels import FineTuning, LearnName, SelfTraining
from bnadapt.labels.drawing import listed_tiles
from bnadapt.reports.latent_findings import LatentFindings


@dataclass(frozen=True)
class AdaptedCheckpoint:
    """Results of `adapt`.

    Attributes:
        path: path of the checkpoint.
        judgement: judgement of the target, if a candidate was chosen.
        distances: distances of source and target before and after, if there is a source.
    """

    path: Path
    judgement: Judgement | None
    distances: LatentFindings | None


class AdaptingCommands(CommandTrainer):
    """The commands `adapt` and `finetune`."""

    def adapt(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None = None,
        output: str | None = None,
        overwrite: bool = False,
        policy: Policy | None = None,
        propagation: PropagationName | None = None,
        until: UntilConverged | None = None,
        class_proportions: ClassProportions | None = None,
        choose: str | None = None,
        self_training: int = 0,
    ) -> AdaptedCheckpoint:
        """Re-estimate the BatchNorm statistics on images of the target and write an adapted checkpoint.

        Args:
            model: the task.
            datamodule: has the target; with a source, latent distances are measured.
            ckpt_path: checkpoint of the trained network.
            output: the adapted checkpoint; by default CKPT_PATH with `-adapted` before its extension. Its bank of
                statistics (.safetensors) and the record of the adaptation (.json) are written beside it.
            overwrite: whether to replace results of an earlier run.
            policy: how much of the source's statistics stays, and in which layers. By default that of a
                BatchNormAdaptation among the callbacks, else the layers at the images' full resolution go
                halfway to the target's; `--policy.source_weight 0` replaces those of all layers.
            propagation: `one_pass` (every layer normalises by the current batch), or `layer_consistent` (by its
                statistics over all tiles; exact, holds all tiles in memory). By default as with `policy`, `one_pass`.
            until: standard error of the statistics at which to stop reading. By default as with `policy`, and at most,
                the data's `adaptation_tiles` are read.
            class_proportions: those of the target: `source` if they are the source's, `estimated`, or shares of the
                classes, such as [0.9, 0.1]; statistics are corrected for the difference from the source's. By default
                as with `policy`, `source`.
            choose: `auto` for what `recommend` recommends, or the name of a candidate: none, adapted,
                full-resolution-mixed, inverted or coarser. A change of the target's images that belongs to it is stored
                in the adapted checkpoint.
            self_training: steps in which the adapted network also learns from its own confident predictions of the
                target, which change all weights; 120 take half a minute of a core for a U-Net of 16 channels.
        """
        if self_training:
            self._check_one_process("adapt --self_training")
            check_self_training(datamodule, self_training)
        requested = {
            "policy": policy,
            "propagation": propagation,
            "until": until,
            "class_proportions": class_proportions,
        }
        if choose is not None:
            check_choice("adapt: --choose", choose, policy, class_proportions, datamodule.requested_change)
        path = checkpoint_path(output, ckpt_path, "adapted")
        limit = self._limit("adapt")
        check_outputs(adapted_files(path), overwrite, [Path(ckpt_path)])
        recipe = replace(
            self._configured(BatchNormAdaptation, BatchNormAdaptation()).recipe,
            **{name: value for name, value in requested.items() if value is not None},
        )

        def work() -> AdaptedCheckpoint:
            adapted = adapt_by_choice(model, datamodule, recipe, choose, self.progress_for, limit)
            log_adaptation(self, adapted.adaptation)
            distances = None
            if datamodule.source is not None:
                distances = self._configured(LatentDistance, LatentDistance()).measure(self, model)
            if self_training:
                settings = SelfTraining(steps=self_training)
                self_train_on_target(model, datamodule, settings, self.progress_for("Self-training"))
            for pictures in (each for each in self.callbacks if isinstance(each, SegmentationPictures)):
                pictures.draw_target(self, model)
            return AdaptedCheckpoint(path, adapted.judgement, distances)

        passes = passes_of_adapt(datamodule, choose is not None, self_training)
        result = self._run_ready(work, model, datamodule, ckpt_path, passes)
        save_adapted(self, model, path, self.command)
        return result

    def finetune(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None = None,
        output: str | None = None,
        overwrite: bool = False,
        labelled: int | None = None,
        proposed: str | None = None,
        start: str = ADAPTED,
        learn: LearnName = "all",
        steps: int = 100,
    ) -> Path:
        """Learn from a few labelled tiles of the target, under BatchNorm statistics of all of it.

        Args:
            model: the task.
            datamodule: its target is learnt from.
            ckpt_path: checkpoint of the trained network.
            output: the fine-tuned checkpoint; by default CKPT_PATH with `-finetuned` before its extension. Its bank of
                statistics (.safetensors) and the record of the fine-tuning (.json) are written beside it.
            overwrite: whether to replace results of an earlier run.
            labelled: number of tiles of the target's train block to learn from, drawn at random; needs
                --data.target.masks.
            proposed: folder of `propose` with tiles that were drawn on, in place of `labelled`.
            start: what to start from: `adapted`, the network with the target's statistics in all layers;
                `self-trained`, the same after it has learnt from its own confident predictions; `none`, the unchanged
                checkpoint; `auto`, what `recommend` recommends; or another candidate, such as
                `full-resolution-mixed`.
            learn: `mixing` (coefficients of source and target statistics), `affine` (scales and shifts of BatchNorm
                layers), `head` (the last layer) or `all` weights.
            steps: most steps of the optimizer; with three tiles or more, held-out ones decide how many.
        """
        self._check_one_process("finetune")
        check_finetuning(datamodule, labelled, proposed, start, steps)
        path = checkpoint_path(output, ckpt_path, "finetuned")
        check_outputs(adapted_files(path), overwrite, [Path(ckpt_path)])
        labels = labelled if proposed is None else Path(proposed)
        settings = FineTuning(learn, steps, augmentation=datamodule.augmentation)

        def work() -> None:
            adaptation = finetune_to_target(model, datamodule, labels, settings, start, self.progress_for)
            if adaptation:
                log_adaptation(self, adaptation)

        count = labelled if proposed is None else len(listed_tiles(labels))
        passes = passes_of_finetune(datamodule, count, steps, start)
        self._run_ready(work, model, datamodule, ckpt_path, passes)
        save_adapted(self, model, path, self.command)
        return path
