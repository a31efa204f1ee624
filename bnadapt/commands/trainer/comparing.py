"""Commands that examine a target and change nothing: `recommend`, `preview`, `propose` and `distances`."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from lightning.pytorch import LightningDataModule, LightningModule

from bnadapt.actions.checks import require_domains
from bnadapt.actions.preview import check_preview, preview_target
from bnadapt.actions.propose import Proposal, propose_tiles
from bnadapt.actions.recommend import Judgement, check_recommendation, judge_target
from bnadapt.batchnorm import Policy
from bnadapt.callbacks import BatchNormAdaptation, LatentDistance
from bnadapt.commands.passes import COMPARED, STATES, TRIED, adaptation_tiles, passes_of_preview
from bnadapt.commands.trainer.base import CommandTrainer, applied
from bnadapt.files import check_outputs
from bnadapt.labels.drawing import LIST
from bnadapt.reports.latent_findings import LatentFindings
from bnadapt.reports.preview import Preview


class ComparingCommands(CommandTrainer):
    """The commands `recommend`, `preview`, `propose` and `distances`."""

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
        """Recommend whether and how to adapt the network to the target, and predict the gain, without labels.

        Args:
            model: the task.
            datamodule: has the target. A source is needed only if the checkpoint lacks its summary.
            ckpt_path: checkpoint of the trained network.
            output: folder for a picture page and the record `recommendation.json`.
            overwrite: whether to replace results of an earlier run.
            tiles: number of tiles of the target to examine, drawn at random.
            annotated: number of labelled tiles of the target to score every candidate on; 0 predicts without labels.
            proposed: folder of `propose` with drawn masks, in place of `annotated`.
        """
        self._check_one_process("recommend")
        check_recommendation(tiles, annotated, proposed)
        check_outputs([Path(output) / "recommendation.json"], overwrite)
        folder = Path(proposed) if proposed else None
        progress = self.announced(self.progress_for("Trying candidates"), TRIED * tiles)
        work = partial(judge_target, model, datamodule, tiles, annotated, folder, progress)
        return self._run_ready(work, model, datamodule, ckpt_path)

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
            datamodule: has the target; masks are not read.
            ckpt_path: checkpoint of the trained network.
            output: folder for the page and its pictures.
            overwrite: whether to replace results of an earlier run.
            regions: number of tiles to show, drawn at random from non-blank tiles that `adapt` may read.
            candidates: names of candidates to show, such as '[none, adapted]'; by default all that the checkpoint's
                summary of its source allows, except `corrected` and `inverted-corrected`.
            seed: seed of the draw; another seed shows other regions.
        """
        self._check_one_process("preview")
        check_preview(datamodule, regions, candidates)
        check_outputs([Path(output) / "index.html"], overwrite)
        configured = self._configured(BatchNormAdaptation, BatchNormAdaptation()).recipe
        recipe, progress = (
            replace(configured, policy=Policy(), class_proportions="source"),
            self.progress_for("Previewing"),
        )
        work = partial(preview_target, model, datamodule, recipe, regions, candidates, seed, progress)
        passes = passes_of_preview(datamodule, regions, candidates)
        return self._run_ready(work, model, datamodule, ckpt_path, passes)

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
            datamodule: has the target; masks are not read.
            ckpt_path: checkpoint of the trained network.
            output: folder for images, empty masks of the same names (128 where nothing is drawn), and predictions to
                correct.
            overwrite: whether to replace results of an earlier run, including drawn masks.
            tiles: number of tiles, spread over the target.
        """
        self._check_one_process("propose")
        check_outputs([Path(output) / LIST], overwrite)
        work = partial(propose_tiles, model, datamodule, tiles, Path(output), self.progress_for("Comparing"))
        return self._run_ready(work, model, datamodule, ckpt_path, COMPARED * adaptation_tiles(datamodule))

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
            overwrite: whether to replace results of an earlier run.
            bank: BatchNorm statistics of the adapted network, as `adapt` writes them beside its checkpoint; then
                CKPT_PATH may be that of the source network.
            tiles: number of tiles of source and of target, drawn at random.
            positions_per_tile: latents to sample at random from every layer of a tile.
            layers: names of the modules to measure at, with `*` as wildcard; by default all BatchNorm layers and the
                modules that contain them, such as the stages of the U-Net.
            measures: names of distances, such as energy or frechet; all by default.
        """
        require_domains(datamodule, "distances", "source", "target")
        check_outputs([Path(output) / "distances.csv"], overwrite)
        work = partial(LatentDistance(tiles, positions_per_tile, layers, measures).measure, self, model)
        with self._with([*applied(bank), *self.callbacks]):
            return self._run_ready(work, model, datamodule, ckpt_path, STATES * tiles)
