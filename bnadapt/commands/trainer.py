"""The Lightning Trainer with bnadapt's own commands, such as `adapt`, beside Lightning's."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from torch.utils.data import IterableDataset

from bnadapt.actions.adapt import adapt_to_target, adapted_files, save_adapted
from bnadapt.actions.finetune import (
    bank_or_none,
    check_finetuning,
    finetune_to_target,
    labelled_by_hand,
    labelled_of_train_block,
)
from bnadapt.actions.preview import check_preview, preview_target
from bnadapt.actions.propose import Proposal, propose_tiles
from bnadapt.actions.recommend import Judgement, judge_target
from bnadapt.actions.self_train import check_self_training, self_train_on_target
from bnadapt.actions.summarise import add_source_summary
from bnadapt.adaptation import SCANNED_TILES, ClassProportions, Recipe
from bnadapt.batchnorm import Policy, PropagationName, UntilConverged
from bnadapt.callbacks import AppliedBank, BatchNormAdaptation, LatentDistance, SegmentationPictures
from bnadapt.callbacks.batchnorm_adaptation import log_adaptation
from bnadapt.commands.passes import (
    passes_of_adapt,
    passes_of_distances,
    passes_of_finetune,
    passes_of_preview,
    passes_of_propose,
    passes_of_recommend,
    passes_of_summary,
    seconds_of_tile,
)
from bnadapt.commands.prediction import ProbabilityType, Segmented, VolumeFormatName, prediction_files
from bnadapt.data import DomainPair, InputChange
from bnadapt.errors import InputError
from bnadapt.exchange import FORMATS, About, FormatName, write_model
from bnadapt.files import check_writable, refuse_existing, refuse_inputs
from bnadapt.gain import RECOMMENDABLE, SourceSummary
from bnadapt.gain.candidates import ADAPTED, FULL_REPLACEMENT, NONE
from bnadapt.labels import FineTuning, LearnName, SelfTraining
from bnadapt.labels.drawing import LIST
from bnadapt.labels.self_training import SELF_TRAINED
from bnadapt.reports.latents import LatentFindings
from bnadapt.reports.preview import Preview
from bnadapt.reports.terminal import Console
from bnadapt.reports.time_left import LinesOnTimeLeft, duration
from bnadapt.reports.verdict_page import verdict_record
from bnadapt.tasks import AdaptableTask
from bnadapt.volumes.workers import segmented_by_workers

AUTO = "auto"
Result = TypeVar("Result")


@dataclass(frozen=True)
class AdaptedCheckpoint:
    """What `adapt` has written and found.

    Attributes:
        path: of the checkpoint.
        judgement: of the target, if a candidate was chosen.
        distances: of source and target before and after, if there is a source.
    """

    path: Path
    judgement: Judgement | None
    distances: LatentFindings | None


@dataclass(frozen=True)
class FineTunedCheckpoint:
    """What `finetune` has written.

    Attributes:
        path: of the checkpoint.
        record: of what was learnt, and from what.
    """

    path: Path
    record: Mapping[str, Any]


class AdaptationTrainer(Trainer):
    """A Lightning Trainer that can also adapt a trained network to a target, and measure what that needs or leaves.

    Commands do the work where Lightning would predict, so that checkpoint, device, precision and processes are set up
    as there, and return what they found.

    Args:
        **settings: see `lightning.pytorch.Trainer`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.asked_precision = settings.get("precision") or (self.precision if settings.get("plugins") else None)

    def test(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        verbose: bool = False,
        datamodule: LightningDataModule | None = None,
        ckpt_path: str | None = None,
        bank: str | None = None,
    ) -> list[Mapping[str, float]]:
        """Score the network on the test blocks of source, target and all further test sets.

        Args:
            model: the task.
            dataloaders: not used; the data module has the test sets.
            verbose: whether Lightning prints its own table of scores.
            datamodule: its test sets are scored.
            ckpt_path: checkpoint of the trained or adapted network.
            bank: BatchNorm statistics to hold the network to, as `adapt` writes them beside the checkpoint.
        """
        with self._with([*_applied(bank), *self.callbacks]):
            return super().test(model, datamodule=datamodule, ckpt_path=ckpt_path, verbose=verbose)

    def predict(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        ckpt_path: str | None = None,
        output: str = "predictions",
        overwrite: bool = False,
        bank: str | None = None,
        probabilities: ProbabilityType | None = None,
        format: VolumeFormatName | None = None,
        sections: list[int] | None = None,
        scheduler: str | None = None,
    ) -> Segmented | None:
        """Segment all images of the target: one mask and one probability image each.

        Args:
            model: the task.
            dataloaders: not used; the data module has the images.
            datamodule: its target is segmented.
            ckpt_path: checkpoint of the trained or adapted network.
            output: folder for the images, which appear there together when all are segmented. If the command is cut
                off, the same one goes on; till then what is segmented waits in a hidden folder of it.
            overwrite: whether to replace files of the same names.
            bank: BatchNorm statistics to hold the network to, as `adapt` writes them beside the checkpoint.
            probabilities: type in which they are stored, 1 as its greatest integer; by default as fine as that of the
                images. PNG takes no floating point, MRC no uint8; uint16 is taken then.
            format: of the volumes that are written, such as ome.zarr; by default that of the images.
            sections: numbers of those that this run segments, from 0, for jobs that share the work; when they have
                ended, the same command without it does what is left, and writes the files.
            scheduler: address of a dask scheduler, such as tcp://host:8786, whose workers do the work; they must find
                all files under the same paths.
        """
        statistics = {"ckpt_path": ckpt_path, "bank": bank}
        limit = self._limit("predict", len(datamodule.target.all_sections()) if datamodule.target else 0)
        files = prediction_files(
            model,
            datamodule,
            Path(output),
            limit,
            sections,
            overwrite,
            probabilities,
            self.asked_precision,
            format,
            statistics,
        )
        try:
            if scheduler is not None:
                files.unfinished.begin(overwrite)
                written = {"output": output, "overwrite": overwrite, "probabilities": probabilities, "format": format}
                options = {**statistics, **written}
                missing = files.unfinished.missing()
                segmented_by_workers(scheduler, self._for_workers(), model, datamodule, options, missing)
            with self._with([*_applied(bank), *self.callbacks, files]), self._without_limit():
                super().predict(model, datamodule=datamodule, ckpt_path=ckpt_path, return_predictions=False)
            self.strategy.barrier("segmented")
            if not self.is_global_zero or sections is not None or files.unfinished.missing():
                return None
            files.publish(datamodule.target.name)
            return Segmented(len(files.names), len(datamodule.target.all_sections()), len(files.blank))
        finally:
            model.execution = None
            if self.is_global_zero:
                files.keep_partial()

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
            datamodule: its target is adapted to; with a source, latent distances are measured.
            ckpt_path: checkpoint of the trained network.
            output: the adapted checkpoint; by default CKPT_PATH with `-adapted` before its extension. Beside it are
                written its bank of statistics (.safetensors) and a record of what was done (.json).
            overwrite: whether to replace what an earlier run has written there.
            policy: how much of the source's statistics stays, and in which layers. By default that of a
                BatchNormAdaptation among the callbacks, else the layers at the images' full resolution mix both in
                equal parts; `--policy.source_weight 0` replaces those of all layers.
            propagation: `one_pass` (every layer normalises by the batch at hand), or `layer_consistent` (by its
                statistics over all tiles; exact, holds all tiles in memory). By default as with `policy`, `one_pass`.
            until: standard error of the statistics at which to stop reading. By default as with `policy`, and at most,
                the data's `adaptation_tiles` are read.
            class_proportions: of the target: `source` if they are the source's, `estimated`, or shares of the classes,
                such as [0.9, 0.1]; statistics are corrected for the difference from the source's. By default as with
                `policy`, `source`.
            choose: `auto` takes what `recommend` recommends, a candidate's name that one: none, adapted, mixed,
                mixed-less, full-resolution, full-resolution-mixed, corrected, inverted, inverted-corrected or coarser.
                What it does to images of the target holds for the adapted checkpoint, too.
            self_training: steps in which the adapted network also learns from its own confident predictions of the
                target, by which all weights change; 120 take half a minute of a core for a U-Net of 16 channels.
        """
        if self_training:
            self._check_one_process("adapt --self_training")
            check_self_training(datamodule, self_training)
        _check_choice(choose, policy, class_proportions, datamodule.requested_change, "adapt: --choose")
        path = _output_path(output, ckpt_path, "adapted")
        refuse_existing(adapted_files(path), overwrite)
        configured = self._configured(BatchNormAdaptation)
        asked = {"policy": policy, "propagation": propagation, "until": until, "class_proportions": class_proportions}
        recipe = replace(
            configured.recipe if configured else Recipe(),
            **{name: value for name, value in asked.items() if value is not None},
        )
        limit = self._limit("adapt")
        check_writable(path.parent, [each.name for each in adapted_files(path)])
        judgement, findings = self._where_ready(
            lambda: self._adapt(model, datamodule, recipe, choose, limit, self_training),
            model,
            datamodule,
            ckpt_path,
            passes=passes_of_adapt(datamodule, choose is not None, self_training),
        )
        save_adapted(self, model, path, self.command)
        return AdaptedCheckpoint(path, judgement, findings)

    def finetune(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None = None,
        output: str | None = None,
        overwrite: bool = False,
        labelled: int | None = None,
        proposed: str | None = None,
        start: str = SELF_TRAINED,
        learn: LearnName | None = None,
        steps: int = 100,
    ) -> FineTunedCheckpoint:
        """Learn from a few labelled tiles of the target, under BatchNorm statistics of all of it.

        Args:
            model: the task.
            datamodule: its target is learnt from.
            ckpt_path: checkpoint of the trained network.
            output: the fine-tuned checkpoint; by default CKPT_PATH with `-finetuned` before its extension. Beside it
                are written its bank of statistics (.safetensors) and a record of what was done (.json).
            overwrite: whether to replace what an earlier run has written there.
            labelled: tiles to learn from, of the target's train block, drawn at random. It needs --data.target.masks.
            proposed: folder of `propose` with tiles that were drawn on, in place of `labelled`.
            start: what to start from: `self-trained`, the network with the target's statistics in all layers after it
                has learnt from its own confident predictions; `adapted`, before that; `none`, the checkpoint as it is;
                or another candidate, such as `full-resolution`.
            learn: `mixing` (coefficients of source and target statistics), `affine` (scales and shifts of BatchNorm
                layers), `head` (the last layer) or `all` weights. By default `affine` of a single tile, else `all`.
            steps: of the optimizer, at most; with three tiles or more, held-out ones decide.
        """
        self._check_one_process("finetune")
        check_finetuning(datamodule, labelled, proposed, steps)
        choose = None if start in (ADAPTED, SELF_TRAINED, NONE) else start
        _check_choice(choose, None, None, datamodule.requested_change, "finetune: --start")
        path = _output_path(output, ckpt_path, "finetuned")
        refuse_existing(adapted_files(path), overwrite)
        check_writable(path.parent, [each.name for each in adapted_files(path)])
        settings = FineTuning(learn, steps, augmentation=datamodule.augmentation)

        @torch.inference_mode(False)
        def work() -> None:
            begun = start if start == SELF_TRAINED or bank_or_none(model.network) else NONE
            if start != NONE and bank_or_none(model.network):
                self._start_from(model, datamodule, Recipe(FULL_REPLACEMENT), choose, None)
            if start == SELF_TRAINED:
                self_train_on_target(model, datamodule, SelfTraining())
            if proposed is None:
                tiles = labelled_of_train_block(datamodule, labelled)
            else:
                tiles = labelled_by_hand(datamodule, Path(proposed), model.hparams.num_classes)
            finetune_to_target(model, datamodule, tiles, settings, begun, self.shown("Learning"))

        self._where_ready(work, model, datamodule, ckpt_path, passes=passes_of_finetune(datamodule, labelled, steps))
        save_adapted(self, model, path, self.command)
        return FineTunedCheckpoint(path, model.adaptation)

    def propose(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None = None,
        output: str = "proposed",
        overwrite: bool = False,
        tiles: int = 5,
    ) -> Proposal:
        """Choose the tiles of the target that are most worth labelling, and write them to be drawn on.

        Args:
            model: the task.
            datamodule: its target is looked at, without masks.
            ckpt_path: checkpoint of the trained network.
            output: folder for images, empty masks of the same names (128 where nothing is drawn), and predictions to
                correct.
            overwrite: whether to replace what an earlier run has written there, masks that were drawn included.
            tiles: how many, spread over the target.
        """
        self._check_one_process("propose")
        refuse_existing([Path(output) / LIST], overwrite)
        check_writable(Path(output))
        shown = self.shown("Comparing")
        return self._where_ready(
            lambda: propose_tiles(model, datamodule, tiles, Path(output), progress=shown),
            model,
            datamodule,
            ckpt_path,
            passes=passes_of_propose(datamodule),
        )

    def distances(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None = None,
        output: str = "distances",
        overwrite: bool = False,
        bank: str | None = None,
        tiles: int = 32,
        positions_per_tile: int = 96,
        layers: list[str] | None = None,
        measures: list[str] | None = None,
    ) -> LatentFindings:
        """Measure how far source and target lie apart in every latent space; nothing is adapted or trained.

        Args:
            model: the task.
            datamodule: its source and target are compared, without masks.
            ckpt_path: checkpoint of a network; of an adapted one, what adaptation leaves is measured too.
            output: folder for a picture page and the table `distances.csv`.
            overwrite: whether to replace what an earlier run has written there.
            bank: BatchNorm statistics of the adapted network, as `adapt` writes them beside its checkpoint; then
                CKPT_PATH may be that of the source network.
            tiles: of source and of target, drawn at random.
            positions_per_tile: latents that are taken at random from every layer of a tile.
            layers: names of the modules whose outputs are measured, `*` stands for anything; by default all BatchNorm
                layers and the modules that they stand in, such as the stages of the U-Net.
            measures: some of normalised_wasserstein, gaussian_wasserstein, diagonal_wasserstein, channel_wasserstein,
                sliced_wasserstein, max_sliced_wasserstein, energy, frechet, bhattacharyya, diagonal_bhattacharyya,
                histogram_bhattacharyya; all by default.
        """
        for which in ("source", "target"):
            if getattr(datamodule, which) is None:
                raise InputError(f"distances: there is no {which}; give --data.{which}.")
        refuse_existing([Path(output) / "distances.csv"], overwrite)
        distance = LatentDistance(tiles, positions_per_tile, layers, measures)
        check_writable(Path(output))
        callbacks = [*_applied(bank), *self.callbacks]
        return self._where_ready(
            lambda: distance.measure(self, model), model, datamodule, ckpt_path, callbacks, passes_of_distances(tiles)
        )

    def recommend(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None = None,
        output: str = "recommendation",
        overwrite: bool = False,
        tiles: int = 8,
        annotated: int = 0,
        proposed: str | None = None,
    ) -> Judgement:
        """Say whether and how to adapt the network to the target, and whether that helps, without any label of it.

        Args:
            model: the task.
            datamodule: its target is looked at. A source is needed only if the checkpoint holds no summary of it.
            ckpt_path: checkpoint of the trained network.
            output: folder for a picture page and the record `recommendation.json`.
            overwrite: whether to replace what an earlier run has written there.
            tiles: of the target that are looked at, drawn at random.
            annotated: labelled tiles of the target to score every candidate on, where it has masks; 0 predicts without.
            proposed: folder of `propose` with tiles that were drawn on, in place of `annotated`.
        """
        self._check_one_process("recommend")
        if annotated and proposed:
            raise InputError("recommend: there are --annotated and --proposed; leave out one of them.")
        refuse_existing([Path(output) / "recommendation.json"], overwrite)
        check_writable(Path(output))

        def work() -> Judgement:
            datamodule.target_change = datamodule.requested_change or InputChange()  # not that of another target
            classes = model.hparams.num_classes
            labelled = labelled_by_hand(datamodule, Path(proposed), classes) if proposed else None
            return judge_target(model, datamodule, tiles, annotated, labelled, self.shown("Trying candidates"))

        return self._where_ready(work, model, datamodule, ckpt_path, passes=passes_of_recommend(tiles))

    def preview(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None = None,
        output: str = "preview",
        overwrite: bool = False,
        regions: int = 6,
        candidates: list[str] | None = None,
        seed: int = 0,
    ) -> Preview:
        """Show some regions of the target under every candidate on a page, before all of it is segmented.

        Args:
            model: the task.
            datamodule: its target is looked at, without masks.
            ckpt_path: checkpoint of the trained network.
            output: folder for the page and its pictures.
            overwrite: whether to replace what an earlier run has written there.
            regions: tiles that are shown, drawn at random from what `adapt` may read and is not blank.
            candidates: names of those to show, such as '[none, adapted]'; by default all that need no more than what
                the checkpoint holds of its source. See `adapt --choose`.
            seed: of the draw; another one shows other regions.
        """
        self._check_one_process("preview")
        check_preview(datamodule, regions, candidates)
        refuse_existing([Path(output) / "index.html"], overwrite)
        check_writable(Path(output))
        configured = self._configured(BatchNormAdaptation)
        recipe = replace(configured.recipe if configured else Recipe(), policy=Policy(), class_proportions="source")
        shown = self.shown("Previewing")
        return self._where_ready(
            lambda: preview_target(model, datamodule, recipe, regions, candidates, seed, shown),
            model,
            datamodule,
            ckpt_path,
            passes=passes_of_preview(datamodule, regions, candidates),
        )

    def source_summary(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None = None,
        output: str | None = None,
        overwrite: bool = False,
    ) -> SourceSummary:
        """Measure what is to be known of the source and add it to a checkpoint, as `fit` does at its end.

        Later commands then need no images of the source to correct statistics for class proportions, or to recommend.

        Args:
            model: the task.
            datamodule: its source has the masks that the network was trained on.
            ckpt_path: checkpoint of the trained network; all else in it stays.
            output: the checkpoint with the summary; by default CKPT_PATH is written anew.
            overwrite: whether to replace a summary that it holds already, or an earlier OUTPUT.
        """
        if datamodule.source is None:
            raise InputError("source_summary: there is no source; give --data.source with masks.")
        path = Path(ckpt_path)
        written = _output_path(output, ckpt_path, "summarised") if output else path
        if written.resolve() != path.resolve():
            refuse_existing([written], overwrite)
        check_writable(written.parent, [written.name])

        def work() -> SourceSummary:
            if model.source_summary is not None and written.resolve() == path.resolve() and not overwrite:
                raise InputError(f"{path}: holds a summary of its source already; give --overwrite to replace it.")
            return add_source_summary(model, datamodule, path, written)

        return self._where_ready(work, model, datamodule, ckpt_path, passes=passes_of_summary())

    def export(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None = None,
        format: FormatName = "torchscript",
        output: str | None = None,
        overwrite: bool = False,
        about: About | None = None,
        like: str | None = None,
    ) -> Path:
        """Write the network for other programs, which run it without bnadapt.

        Args:
            model: the task.
            datamodule: the numbers of its target's scaling, and an image to test with, are the model's.
            ckpt_path: checkpoint of the trained or adapted network.
            format: `torchscript`, `onnx`, `bioimageio` (a package with both weights of torch, or TorchScript alone of a
                class of your own; tested by bioimageio.core), or `state_dict` (weights alone, which need no target).
            output: file to write; by default CKPT_PATH with the format's extension.
            overwrite: whether to replace what an earlier run has written there.
            about: what a package says of itself: --about.authors '["NAME"]' and --about.license are needed.
            like: file of weights, or package, that `state_dict` or `bioimageio` write anew with the network's weights,
                such as what `import` has read; all else in it stays.
        """
        path = Path(output) if output else Path(ckpt_path).with_suffix(FORMATS[format].extension)
        template = Path(like) if like else None
        if template and format not in ("state_dict", "bioimageio"):
            raise InputError(f"export: --like is for state_dict and bioimageio; leave it out for {format}.")
        refuse_inputs(path, [Path(each) for each in (ckpt_path, like) if each])
        refuse_existing([path], overwrite)
        check_writable(path.parent, [path.name])
        self._where_ready(
            lambda: write_model(model, datamodule, format, path, about, template), model, datamodule, ckpt_path
        )
        return path

    @property
    def command(self) -> Sequence[str]:
        """What stands behind `bnadapt`, for the record of what was done."""
        return sys.argv[1:]

    def shown(self, what: str) -> Callable[[Iterable], Iterable]:
        """Wraps the parts of some work, to show how much of it is done: by a bar on a terminal, else in lines.

        Args:
            what: is done, such as `Adapting`.
        """
        if not self.is_global_zero:
            return iter
        if Console().is_terminal and self.progress_bar_callback is not None:
            from rich.progress import track

            return lambda parts: track(parts, description=what, transient=True)

        def in_lines(parts: Iterable) -> Iterator:
            try:
                lines = LinesOnTimeLeft(what, "steps", len(parts), announces=False)
            except TypeError:  # tiles are drawn until there are enough
                yield from parts
                return
            for part in parts:
                yield part
                lines.advance()

        return in_lines

    def _adapt(
        self,
        task: AdaptableTask,
        data: DomainPair,
        recipe: Recipe,
        choose: str | None,
        limit: int | None,
        self_training: int,
    ) -> tuple[Judgement | None, LatentFindings | None]:
        """Judge if a candidate is to be chosen, adapt, measure, learn without labels if asked to, and draw."""
        judgement = self._start_from(task, data, recipe, choose, limit)
        findings = None
        if data.source is not None:
            findings = (self._configured(LatentDistance) or LatentDistance()).measure(self, task)
        if self_training:
            with torch.inference_mode(False):
                self_train_on_target(task, data, SelfTraining(steps=self_training))
        for pictures in (each for each in self.callbacks if isinstance(each, SegmentationPictures)):
            pictures.draw_target(self, task)
        if judgement:
            task.adaptation["recommendation"] = verdict_record(judgement.verdict)
        return judgement, findings

    def _start_from(
        self, task: AdaptableTask, data: DomainPair, recipe: Recipe, choose: str | None, limit: int | None
    ) -> Judgement | None:
        """Judge if a candidate is to be chosen, and adapt the task's network."""
        judgement = None
        data.target_change = data.requested_change or InputChange()  # not that of another target
        if choose is not None:
            judgement = judge_target(task, data, SCANNED_TILES, progress=self.shown("Trying candidates"))
            judgement = judgement if choose == AUTO else judgement.choosing(choose)
            task.source_summary = judgement.summary
            recipe, data.target_change = judgement.recipe(recipe), judgement.change
        shown = self.shown("Adapting")
        adaptation = adapt_to_target(
            task, data, recipe, lambda batches: islice(shown(batches), limit), str(self.precision)
        )
        adaptation.apply(task)
        log_adaptation(self, adaptation)
        return judgement

    def _where_ready(
        self,
        work: Callable[[], Result],
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None,
        callbacks: list[Callback] | None = None,
        passes: int = 0,
    ) -> Result:
        """Do something where Lightning would predict: with checkpoint, device, precision and processes set up.

        Args:
            work: what to do.
            model: the task.
            datamodule: its data.
            ckpt_path: checkpoint of the network.
            callbacks: instead of the Trainer's.
            passes: tiles that pass through the network, to say how long that takes.
        """
        others = [each for each in callbacks or self.callbacks if not isinstance(each, ProgressBar)]
        self.datamodule, datamodule.trainer = datamodule, self
        ready = _WhenReady(work, passes)
        with self._with([*others, ready]), self._without_limit():
            super().predict(model, dataloaders=_NoBatches(), ckpt_path=ckpt_path, return_predictions=False)
        return ready.result

    def _for_workers(self) -> Callable[[], Trainer]:
        """Makes a Trainer of a worker, whose results are those of this one."""
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        settings = {"precision": self.asked_precision, "limit_predict_batches": self.limit_predict_batches}
        return partial(type(self), devices=1, **quiet, **settings)

    def _limit(self, command: str, count: int | None = None) -> int | None:
        """How many batches, or of so many images, are wanted at most."""
        limit = self.limit_predict_batches
        if limit == 0:
            raise InputError(f"{command}: --trainer.limit_predict_batches 0 leaves nothing to read; leave it out.")
        if isinstance(limit, int):
            return limit
        return None if count is None else max(1, int(limit * count))

    @contextmanager
    def _without_limit(self) -> Iterator[None]:
        """Have Lightning count no batches, whose number is not that of what is limited."""
        limit, self.limit_predict_batches = self.limit_predict_batches, 1.0
        try:
            yield
        finally:
            self.limit_predict_batches = limit

    def _configured(self, kind: type[Callback]) -> Any:
        """The callback of a kind, if there is one."""
        return next((each for each in self.callbacks if isinstance(each, kind)), None)

    def _check_one_process(self, command: str) -> None:
        if self.world_size > 1:
            raise InputError(
                f"{command}: runs in one process, {self.world_size} were asked for; set --trainer.devices 1."
            )

    @contextmanager
    def _with(self, callbacks: list[Callback]) -> Iterator[None]:
        """Run with these callbacks for a while."""
        own, self.callbacks = self.callbacks, callbacks
        try:
            yield
        finally:
            self.callbacks = own


class _NoBatches(IterableDataset):
    """Lets Lightning's predict loop end at once."""

    def __iter__(self) -> Iterator[None]:
        return iter(())


class _WhenReady(Callback):
    """Works once the checkpoint is restored and the task is on its device; says before how long that takes."""

    def __init__(self, work: Callable[[], Any], passes: int) -> None:
        self.work = work
        self.passes = passes
        self.result: Any = None

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.passes and trainer.is_global_zero:
            seconds = self.passes * seconds_of_tile(pl_module, trainer.datamodule.tile_size) / trainer.world_size
            Console().print(f"This takes {duration(seconds)} at most: up to {self.passes} passes of a tile.")
        self.result = self.work()


def _applied(bank: str | None) -> list[Callback]:
    return [] if bank is None else [AppliedBank(bank)]


def _output_path(output: str | None, ckpt_path: str | None, done: str) -> Path:
    """The checkpoint that is asked for, or named after the one that is read and what was done with it."""
    if output is None and ckpt_path is None:
        raise InputError("without --ckpt_path there is nothing to name the output after; give --output.")
    path = Path(output) if output else Path(ckpt_path).with_name(f"{Path(ckpt_path).stem}-{done}.ckpt")
    if path.suffix != ".ckpt" or path.is_dir():
        raise InputError(f"{path}: is not a name of a checkpoint; give --output a file that ends in .ckpt.")
    return path


def _check_choice(
    choose: str | None,
    policy: Policy | None,
    class_proportions: ClassProportions | None,
    change: InputChange | None,
    option: str,
) -> None:
    if choose is None:
        return
    if choose not in (AUTO, *RECOMMENDABLE):
        raise InputError(f"{option} {choose} is unknown; take {AUTO} or one of {', '.join(RECOMMENDABLE)}.")
    if policy is not None or class_proportions is not None or change is not None:
        raise InputError(
            f"{option} decides on policy, class proportions and --data.target_change; leave out these, or it."
        )
