"""The Lightning Trainer with bnadapt's own commands, such as `adapt`, beside Lightning's."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from torch.utils.data import IterableDataset

from bnadapt.adaptation import SCANNED_TILES, ClassProportions, Recipe
from bnadapt.batchnorm import Policy, PropagationName, UntilConverged
from bnadapt.callbacks import AppliedBank, BatchNormAdaptation, LatentDistance, PredictionFiles, SegmentationPictures
from bnadapt.callbacks.batchnorm_adaptation import adapted_files, save_adapted
from bnadapt.callbacks.preview import check_preview, preview_target
from bnadapt.callbacks.source_summary import add_source_summary
from bnadapt.callbacks.verdict import judge_target, recipe_of, target_change_of
from bnadapt.data import TargetChange
from bnadapt.errors import InputError
from bnadapt.exchange import FORMATS, About, FormatName, write_model
from bnadapt.files import refuse_existing, refuse_inputs, try_place
from bnadapt.gain import CANDIDATES, Trials, Verdict
from bnadapt.gain.verdict import verdict_on
from bnadapt.reports.preview import Preview
from bnadapt.reports.verdict_page import verdict_record
from bnadapt.volumes.blocks import blocks_for
from bnadapt.volumes.identity import identity_of
from bnadapt.volumes.unfinished import Unfinished
from bnadapt.volumes.workers import segmented_by_workers

AUTO = "auto"


class AdaptationTrainer(Trainer):
    """A Lightning Trainer that can also adapt a trained network to a target, and measure what that needs or leaves.

    Attributes:
        adapted_path: of the checkpoint that `adapt` has written.
        latent_distance: what `adapt` or `distances` has measured, on the first process.
        segmented: how many images `predict` has segmented.
        blank: how many of them had nothing to see.
        exported_path: of the file that `export` has written.
        judged: the verdict of `recommend`, and what it rests on.
        previewed: what `preview` has seen.
    """

    adapted_path: Path | None = None
    latent_distance: LatentDistance | None = None
    segmented: int = 0
    blank: int = 0
    exported_path: Path | None = None
    judged: tuple[Verdict, Trials] | None = None
    previewed: Preview | None = None

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
        probabilities: Literal["uint8", "uint16", "float16", "float32"] | None = None,
        sections: list[int] | None = None,
        scheduler: str | None = None,
    ) -> None:
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
            sections: numbers of those that this run segments, from 0, for jobs that share the work; when they have
                ended, the same command without it does what is left, and writes the files.
            scheduler: address of a dask scheduler, such as tcp://host:8786, whose workers do the work; they must find
                all files under the same paths.
        """
        if datamodule.target is None:
            raise InputError("predict: there is no target; give --data.target.")
        folder, target = Path(output), datamodule.target
        if target.reads(folder):
            raise InputError(f"{folder}: is read as an input; give another --output.")
        names = [section.name for section in target.to_predict()]
        names = names[: self._limit("predict", len(names))]
        if wrong := [number for number in sections or () if not 0 <= number < len(names)]:
            raise InputError(
                f"predict: there is no section {wrong[0]}; --sections are numbers from 0 to {len(names) - 1}."
            )
        blocks, options = blocks_for(model, datamodule), {"ckpt_path": ckpt_path, "bank": bank}
        stored = {"probabilities": probabilities or "as fine as the images"}
        identity = identity_of(model, datamodule, blocks, str(self.precision), **options) | stored
        unfinished = Unfinished(folder, identity, len(names), target.writer(folder).paths(names))
        unfinished.check_outputs(overwrite)
        files = PredictionFiles(
            target.writer(unfinished.results), unfinished, names, blocks, sections, overwrite, probabilities
        )
        try:
            if scheduler is not None:
                unfinished.begin(overwrite)
                options |= {"output": output, "overwrite": overwrite, "probabilities": probabilities}
                segmented_by_workers(scheduler, self._for_workers(), model, datamodule, options, unfinished.missing())
            with self._with([*_applied(bank), *self.callbacks, files]), self._without_limit():
                super().predict(model, datamodule=datamodule, ckpt_path=ckpt_path, return_predictions=False)
            self.strategy.barrier("segmented")
            if self.is_global_zero and sections is None and not unfinished.missing():
                files.publish(target.name)
                self.segmented, self.blank = len(names), len(files.blank)
        finally:
            if self.is_global_zero:
                files.leave()

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
    ) -> None:
        """Re-estimate the BatchNorm statistics on images of the target and write an adapted checkpoint.

        Args:
            model: the task.
            datamodule: its target is adapted to; with a source, latent distances are measured.
            ckpt_path: checkpoint of the trained network.
            output: the adapted checkpoint; by default CKPT_PATH with `-adapted` before its extension. Beside it are
                written its bank of statistics (.safetensors) and a record of what was done (.json).
            overwrite: whether to replace what an earlier run has written there.
            policy: how much of the source's statistics stays, and in which layers. By default that of a
                BatchNormAdaptation among the callbacks, else full replacement of all.
            propagation: `one_pass` (every layer normalises by the batch at hand), or `layer_consistent` (by its
                statistics over all tiles; exact, holds all tiles in memory). By default as with `policy`, `one_pass`.
            until: standard error of the statistics at which to stop reading. By default as with `policy`, and at most,
                the data's `adaptation_tiles` are read.
            class_proportions: of the target: `source` if they are the source's, `estimated`, or shares of the classes,
                such as [0.9, 0.1]; statistics are corrected for the difference from the source's. By default as with
                `policy`, `estimated` where the checkpoint holds class moments or `--data.source` is given.
            choose: `auto` takes what `recommend` recommends, a candidate's name that one: none, adapted, mixed,
                corrected, corrected-less, corrected-more, inverted, inverted-corrected, finer or coarser. What it does
                to images of the target holds for the adapted checkpoint, too.
        """
        _check_choice(choose, policy, class_proportions, datamodule.requested_change)
        self.judged = None
        path = _adapted_path(output, ckpt_path)
        refuse_existing(adapted_files(path), overwrite)
        adaptation = self._own(BatchNormAdaptation) or BatchNormAdaptation()
        asked = {"policy": policy, "propagation": propagation, "until": until, "class_proportions": class_proportions}
        recipe = replace(adaptation.recipe, **{name: value for name, value in asked.items() if value is not None})

        limit = self._limit("adapt")

        def work() -> None:
            datamodule.change_target(datamodule.requested_change or TargetChange())  # not that of another target
            self._adapt(model, self._chosen(model, choose, recipe) if choose else recipe, limit)

        try_place(path.parent, [each.name for each in adapted_files(path)])
        self._do(work, model, datamodule, ckpt_path)
        if self.judged:
            model.adaptation["verdict"] = verdict_record(self.judged[0])
        save_adapted(self, model, path)
        self.adapted_path = path

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
    ) -> None:
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
        try_place(Path(output))
        self._do(
            lambda: distance.measure(self, model), model, datamodule, ckpt_path, [*_applied(bank), *self.callbacks]
        )
        self.latent_distance = distance

    def recommend(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None = None,
        output: str = "recommendation",
        overwrite: bool = False,
        tiles: int = 8,
        annotated: int = 0,
    ) -> None:
        """Say whether and how to adapt the network to the target, and what IoU to expect, without any label of it.

        Args:
            model: the task.
            datamodule: its target is judged. A source is needed only if the checkpoint holds no summary of it.
            ckpt_path: checkpoint of the trained network.
            output: folder for a picture page and the record `verdict.json`.
            overwrite: whether to replace what an earlier run has written there.
            tiles: of the target that are looked at, drawn at random.
            annotated: labelled tiles of the target to score every candidate on, where it has masks; 0 predicts without.
        """
        self._check_one_process("recommend")
        refuse_existing([Path(output) / "verdict.json"], overwrite)
        try_place(Path(output))

        def work() -> None:
            self.judged = judge_target(self, model, tiles, annotated)

        self._do(work, model, datamodule, ckpt_path)

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
    ) -> None:
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
        try_place(Path(output))
        recipe = (self._own(BatchNormAdaptation) or BatchNormAdaptation()).recipe
        plain = Recipe(propagation=recipe.propagation, until=recipe.until)

        def work() -> None:
            shown = _progress(self, "Previewing")
            self.previewed = preview_target(self, model, regions, candidates, seed, plain, shown)

        self._do(work, model, datamodule, ckpt_path)

    def source_summary(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None = None,
        overwrite: bool = False,
    ) -> None:
        """Measure what is to be known of the source and add it to a checkpoint, as `fit` does at its end.

        Later commands then need no images of the source to correct statistics for class proportions, or to judge.

        Args:
            model: the task.
            datamodule: its source has the masks that the network was trained on.
            ckpt_path: checkpoint of the trained network, which is written anew; all else in it stays.
            overwrite: whether to replace a summary that it holds already.
        """
        if datamodule.source is None:
            raise InputError("source_summary: there is no source; give --data.source with masks.")
        path = Path(ckpt_path)
        try_place(path.parent, [path.name])

        def work() -> None:
            if model.source_summary is not None and not overwrite:
                raise InputError(f"{path}: holds a summary of its source already; give --overwrite to replace it.")
            add_source_summary(self, model, path)

        self._do(work, model, datamodule, ckpt_path)

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
    ) -> None:
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
        try_place(path.parent, [path.name])
        self._do(lambda: write_model(model, datamodule, format, path, about, template), model, datamodule, ckpt_path)
        self.exported_path = path

    def _chosen(self, task: LightningModule, choose: str, recipe: Recipe) -> Recipe:
        """The recipe of a candidate, whose change of images holds from now on."""
        verdict, trials = judge_target(self, task, SCANNED_TILES)
        if choose != AUTO:
            verdict = verdict_on(task.source_summary, trials, verdict.expected, choice=choose)
        self.judged = verdict, trials
        self.datamodule.change_target(target_change_of(verdict.choice, trials))
        return recipe_of(verdict.choice, trials, recipe)

    def _adapt(self, task: LightningModule, recipe: Recipe, limit: int | None) -> None:
        """Adapt, measure and draw, once the checkpoint is restored and all is on its device."""
        shown = _progress(self, "Adapting")
        adaptation = BatchNormAdaptation(recipe.policy, recipe.propagation, recipe.until, recipe.class_proportions)
        adaptation.adapt(self, task, lambda batches: islice(shown(batches), limit))
        if self.datamodule.source is not None:
            self.latent_distance = self._own(LatentDistance) or LatentDistance()
            self.latent_distance.measure(self, task)
        for pictures in (each for each in self.callbacks if isinstance(each, SegmentationPictures)):
            pictures.draw_target(self, task)

    def _do(
        self,
        work: Callable[[], None],
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None,
        callbacks: list[Callback] | None = None,
    ) -> None:
        """Do something where Lightning would predict: with checkpoint, device, precision and processes set up."""
        others = [each for each in callbacks or self.callbacks if not isinstance(each, ProgressBar)]
        self.datamodule, datamodule.trainer = datamodule, self
        with self._with([*others, _WhenReady(work)]), self._without_limit():
            super().predict(model, dataloaders=_NoBatches(), ckpt_path=ckpt_path, return_predictions=False)

    def _for_workers(self) -> Callable[[], Trainer]:
        """Makes a Trainer of a worker, whose results are those of this one."""
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        settings = {"precision": self.precision, "limit_predict_batches": self.limit_predict_batches}
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

    def _own(self, kind: type[Callback]) -> Any:
        """The callback of a kind among the configured ones."""
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
    """Works once the checkpoint is restored and the task is on its device."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.work()


def _applied(bank: str | None) -> list[Callback]:
    return [] if bank is None else [AppliedBank(bank)]


def _adapted_path(output: str | None, ckpt_path: str | None) -> Path:
    if output is None and ckpt_path is None:
        raise InputError("adapt: without --ckpt_path there is nothing to name the output after; give --output.")
    path = Path(output) if output else Path(ckpt_path).with_name(f"{Path(ckpt_path).stem}-adapted.ckpt")
    if path.suffix != ".ckpt" or path.is_dir():
        raise InputError(f"{path}: is no name for a checkpoint; give --output a file that ends in .ckpt.")
    return path


def _check_choice(
    choose: str | None,
    policy: Policy | None,
    class_proportions: ClassProportions | None,
    change: TargetChange | None,
) -> None:
    if choose is None:
        return
    if choose not in (AUTO, *CANDIDATES):
        raise InputError(f"adapt: there is no candidate {choose!r}; take {AUTO} or one of {', '.join(CANDIDATES)}.")
    if policy is not None or class_proportions is not None or change is not None:
        raise InputError(
            "adapt: --choose decides on policy, class proportions and --data.target_change; leave out these, or"
            " --choose."
        )


def _progress(trainer: Trainer, what: str) -> Callable[[Iterable], Iterable]:
    """Shows how much of something is done, where the Trainer shows progress at all."""
    if trainer.progress_bar_callback is None or not trainer.is_global_zero:
        return iter
    from rich.progress import track

    return lambda parts: track(parts, description=what, transient=True)
