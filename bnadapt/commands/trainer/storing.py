"""Commands that store an unchanged network: `source_summary` adds to its checkpoint, `export` converts it."""

from functools import partial
from pathlib import Path

from lightning.pytorch import LightningDataModule, LightningModule

from bnadapt.actions.summarise import add_source_summary
from bnadapt.adaptation import LABELLED_TILES
from bnadapt.commands.trainer.base import CommandTrainer, checkpoint_path
from bnadapt.errors import InputError
from bnadapt.exchange import FORMATS, About, FormatName, write_model
from bnadapt.files import check_outputs
from bnadapt.gain import SourceSummary
from bnadapt.gain.source_summary import SUMMARY_TILES


class StoringCommands(CommandTrainer):
    """The commands `source_summary` and `export`."""

    def source_summary(
        self,
        model: LightningModule,
        datamodule: LightningDataModule,
        ckpt_path: str | None = None,
        output: str | None = None,
        overwrite: bool = False,
    ) -> SourceSummary:
        """Summarise the source and add the summary to a checkpoint, as `fit` does at its end.

        Later commands then need no images of the source to correct statistics for class proportions, or to recommend.

        Args:
            model: the task.
            datamodule: its source has the masks that the network was trained on.
            ckpt_path: checkpoint of the trained network; all else in it stays.
            output: the checkpoint with the summary; by default CKPT_PATH is written anew.
            overwrite: whether to replace a summary that it holds already, or an earlier OUTPUT.
        """
        if datamodule.source is None:
            raise InputError("source_summary: needs a source; give --data.source with masks.")
        path = Path(ckpt_path)
        destination = checkpoint_path(output, ckpt_path, "summarised") if output else path
        is_own = destination.resolve() == path.resolve()
        check_outputs([destination], overwrite or is_own)

        def work() -> SourceSummary:
            if model.source_summary is not None and is_own and not overwrite:
                raise InputError(f"{path}: holds a summary of its source already; give --overwrite to replace it.")
            return add_source_summary(model, datamodule, path, destination)

        return self._run_ready(work, model, datamodule, ckpt_path, LABELLED_TILES + SUMMARY_TILES)

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
            datamodule: its target provides the fixed numbers of the scaling and a test image.
            ckpt_path: checkpoint of the trained or adapted network.
            format: `torchscript`, `onnx`, `bioimageio` (a package with a state dict and TorchScript, or TorchScript
                alone if the class is your own; tested by bioimageio.core), or `state_dict` (weights alone, which need
                no target).
            output: file to write; by default CKPT_PATH with the format's extension.
            overwrite: whether to replace results of an earlier run.
            about: description in a package; --about.authors '["NAME"]' and --about.license are required.
            like: file of weights, or package, such as the one that `import` read; `state_dict` or `bioimageio` write a
                copy of it with the network's weights.
        """
        path = Path(output) if output else Path(ckpt_path).with_suffix(FORMATS[format].extension)
        template = Path(like) if like else None
        if template and format not in ("state_dict", "bioimageio"):
            raise InputError(f"export: --like is for state_dict and bioimageio; leave it out for {format}.")
        check_outputs([path], overwrite, [Path(each) for each in (ckpt_path, like) if each])
        work = partial(write_model, model, datamodule, format, path, about, template)
        self._run_ready(work, model, datamodule, ckpt_path)
        return path
