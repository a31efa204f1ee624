"""The Lightning Trainer with `adapt` and `distances` beside fit, validate, test and predict."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer

from bnadapt.batchnorm import Policy, PropagationName, UntilKnown
from bnadapt.callbacks import AppliedBank, BatchNormAdaptation, LatentDistance, PredictionFiles, SegmentationPictures
from bnadapt.callbacks.batchnorm_adaptation import save_adapted
from bnadapt.errors import InputError
from bnadapt.files import filled_whole
from bnadapt.reports.console import print_adaptation, print_distances, print_prediction, print_scores
from bnadapt.reports.distance_page import write_distances

KINDS = (BatchNormAdaptation, LatentDistance, SegmentationPictures)


class AdaptationTrainer(Trainer):
    """A Lightning Trainer that can also adapt a trained network to a target, and measure how far it is.

    Attributes:
        command: which of the commands that Lightning does not know runs.
    """

    command: Literal["adapt", "distances"] | None = None

    def test(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        verbose: bool = True,
        datamodule: LightningDataModule | None = None,
        ckpt_path: str | None = None,
        bank: str | None = None,
    ) -> list[Mapping[str, float]]:
        """Score the network on the test blocks of source, target and all further test sets.

        Args:
            model: the task.
            dataloaders: not used; the data module has the test sets.
            verbose: whether to print the table of scores.
            datamodule: its test sets are scored.
            ckpt_path: checkpoint of the trained or adapted network.
            bank: BatchNorm statistics to hold the network to, as `adapt` writes them beside the checkpoint.
        """
        self._check_one_process("test")
        with self._with([*_applied(bank), *self.callbacks]):
            results = super().test(model, datamodule=datamodule, ckpt_path=ckpt_path, verbose=False)
        if verbose and self.is_global_zero:
            print_scores(results[0])
        return results

    def predict(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        ckpt_path: str | None = None,
        output: str = "predictions",
        bank: str | None = None,
    ) -> None:
        """Segment all images of the target: one mask and one probability image each.

        Args:
            model: the task.
            dataloaders: not used; the data module has the images.
            datamodule: its target is segmented.
            ckpt_path: checkpoint of the trained or adapted network.
            output: folder for the images; files of the same names are replaced, and nothing is written if
                one image cannot be segmented.
            bank: BatchNorm statistics to hold the network to, as `adapt` writes them beside the checkpoint.
        """
        self._check_one_process("predict")
        with (
            filled_whole(Path(output)) as folder,
            self._with([*_applied(bank), *self.callbacks, PredictionFiles(folder)]),
        ):
            super().predict(model, datamodule=datamodule, ckpt_path=ckpt_path, return_predictions=False)
        print_prediction(len(datamodule.to_predict), Path(output))

    def adapt(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None = None,
        output: str | None = None,
        policy: Policy = Policy(),  # noqa: B008 (immutable)
        propagation: PropagationName = "one_pass",
        until: UntilKnown | None = None,
    ) -> None:
        """Re-estimate the BatchNorm statistics on images of the target and write an adapted checkpoint.

        Args:
            model: the task.
            datamodule: its target is adapted to; with a source, latent distances are measured.
            ckpt_path: checkpoint of the trained network.
            output: the adapted checkpoint; by default CKPT_PATH with `-adapted` before its ending. Beside it are
                written its bank of statistics (.safetensors) and a record of what was done (.json).
            policy: how much of the source's statistics stays, and in which layers.
            propagation: `one_pass` (every layer normalises by the batch at hand), or `layer_consistent` (by its
                statistics over all tiles; exact, holds all tiles in memory).
            until: standard error of the statistics at which to stop reading; by default, and at most, the data's
                `adaptation_tiles` are read.
        """
        if output is None and ckpt_path is None:
            raise InputError("adapt: without --ckpt_path there is nothing to name the output after; give --output.")
        path = Path(output) if output else Path(ckpt_path).with_name(f"{Path(ckpt_path).stem}-adapted.ckpt")
        if path.suffix != ".ckpt" or path.is_dir():
            raise InputError(f"{path}: is no name for a checkpoint; give --output a file that ends in .ckpt.")
        callbacks = self._adaptation_callbacks(BatchNormAdaptation(policy, propagation, until))
        self._run_command("adapt", callbacks, model, datamodule, ckpt_path)
        if model.target_bank is None:
            raise InputError("adapt: no tile was read; leave out --trainer.limit_predict_batches.")
        save_adapted(self, model, path)
        if self.is_global_zero:
            print_adaptation(model.adaptation, path)
            self._write_distances(callbacks, path.with_name(f"{path.stem}-distances"))

    def distances(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None = None,
        output: str = "distances",
        bank: str | None = None,
        tiles: int = 32,
        places: int = 96,
        layers: list[str] | None = None,
        measures: list[str] | None = None,
    ) -> None:
        """Measure how far source and target lie apart in every latent space; nothing is adapted or trained.

        Args:
            model: the task.
            datamodule: its source and target are compared, without masks.
            ckpt_path: checkpoint of a network; of an adapted one, what adaptation leaves is measured too.
            output: folder for a picture page and the table `distances.csv`.
            bank: BatchNorm statistics of the adapted network, as `adapt` writes them beside its checkpoint; then
                CKPT_PATH may be that of the source network.
            tiles: of source and of target, drawn at random.
            places: latents that are taken at random from every layer of a tile.
            layers: names of the modules whose outputs are measured, `*` stands for anything; by default all BatchNorm
                layers and the modules that they stand in, such as the stages of the U-Net.
            measures: some of normalised_wasserstein, gaussian_wasserstein, diagonal_wasserstein, channel_wasserstein,
                sliced_wasserstein, max_sliced_wasserstein, energy, frechet, bhattacharyya, diagonal_bhattacharyya,
                histogram_bhattacharyya; all by default.
        """
        for which in ("source", "target"):
            if getattr(datamodule, which) is None:
                raise InputError(f"distances: there is no {which}; give --data.{which}.")
        others = [callback for callback in self.callbacks if not isinstance(callback, KINDS)]
        callbacks = [*_applied(bank), *others, LatentDistance(tiles, places, layers, measures)]
        self._run_command("distances", callbacks, model, datamodule, ckpt_path)
        if self.is_global_zero:
            self._write_distances(callbacks, Path(output))

    def _run_command(
        self,
        command: Literal["adapt", "distances"],
        callbacks: list[Callback],
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None,
    ) -> None:
        """Do a command of ours in Lightning's predict loop."""
        self.command = command
        try:
            with self._with(callbacks):
                super().predict(model, datamodule=datamodule, ckpt_path=ckpt_path, return_predictions=False)
        finally:
            self.command = None

    def _write_distances(self, callbacks: list[Callback], folder: Path) -> None:
        for callback in callbacks:
            if isinstance(callback, LatentDistance) and callback.findings:
                write_distances(callback.findings, callback.pictures, folder)
                print_distances(callback.findings, folder / "index.html")

    def _check_one_process(self, command: str) -> None:
        if self.world_size > 1:
            raise InputError(
                f"{command}: runs in one process and not in {self.world_size}; set --trainer.devices 1 and"
                " --trainer.num_nodes 1."
            )

    def _adaptation_callbacks(self, adaptation: BatchNormAdaptation) -> list[Callback]:
        """The Trainer's own, with exactly one adaptation, followed by the distances and pictures."""
        others = [callback for callback in self.callbacks if not isinstance(callback, KINDS)]
        own = [callback for callback in self.callbacks if isinstance(callback, KINDS[1:])]
        distance = [] if any(isinstance(callback, LatentDistance) for callback in own) else [LatentDistance()]
        return [*others, adaptation, *own, *distance]

    @contextmanager
    def _with(self, callbacks: list[Callback]) -> Iterator[None]:
        """Run with these callbacks for a while."""
        own, self.callbacks = self.callbacks, callbacks
        try:
            yield
        finally:
            self.callbacks = own


def _applied(bank: str | None) -> list[Callback]:
    return [] if bank is None else [AppliedBank(bank)]
