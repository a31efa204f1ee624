"""The main job from end to end: train on a source, test, adapt to a target, test again, by the commands."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from bnadapt.callbacks.pictures import predictions_by_state
from bnadapt.commands.cli import BnadaptCLI, main
from bnadapt.errors import InputError
from bnadapt.experiments.case import Case, RunLocation, TableRow
from bnadapt.experiments.plots import IOU, bars, legend, panels
from bnadapt.experiments.study import Study, StudyFigure
from bnadapt.experiments.tables import Tables, mean_and_std
from bnadapt.reports.document import Table
from bnadapt.reports.panels import comparison
from bnadapt.text import shell_line

COLUMNS = {
    "iou_unadapted": "target, without adaptation",
    "iou_adapted": "target, with adaptation",
    "gain": "gain",
    "iou_source": "source, without adaptation",
    "iou_source_adapted": "source, with adaptation to the target",
}
TRANSFER, INTENSITY = "transfer", "intensity"


@dataclass(frozen=True, eq=False)
class DemoCase(Case):
    """One training and adaptation by the commands.

    Args:
        config_text: content of a config of bnadapt with source and target.
        intensity: scaling of intensities.
        seed: of training.
        options: further options of all commands.
        labels: see `Case`.
    """

    config_text: str
    intensity: str
    seed: int
    options: Sequence[str]
    labels: Mapping[str, Any]

    @property
    def needs(self) -> None:
        """It trains its own network."""

    def measure(self, location: RunLocation) -> list[TableRow]:
        """Do the four commands as a user would type them; what they print goes into a file beside their logs."""
        folder = location.runs / f"{self.labels[TRANSFER]}-{self.intensity}-seed{self.seed}".replace(" ", "-")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        config = folder / "commands.yaml"
        config.write_text(self.config_text, encoding="utf-8")
        with (folder / "commands.log").open("w", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
            row, figure = self._run(config, folder)
        self.save_picture(figure, location, dpi=110)
        return [row]

    def _run(self, config: Path, folder: Path) -> tuple[TableRow, Figure]:
        logger = ["--trainer.logger.save_dir", str(folder.parent), "--trainer.logger.name", folder.name]
        common = ["--config", str(config), "--data.intensity", self.intensity, *self.options, *logger]
        common += ["--trainer.enable_progress_bar", "false", "--trainer.logger.version"]
        best, adapted = (str(folder / "fit" / "checkpoints" / name) for name in ("best.ckpt", "adapted.ckpt"))
        fit = ["--trainer.enable_model_summary", "false", "--seed_everything", str(self.seed)]
        _command("fit", *common, "fit", *fit)
        before = _command("test", *common, "test-unadapted", "--ckpt_path", best)
        adaptation = _command("adapt", *common, "adapt", "--ckpt_path", best, "--output", adapted).model.adaptation
        after = _command("test", *common, "test-adapted", "--ckpt_path", adapted)
        unadapted, reached = (
            {name: cli.trainer.callback_metrics[f"test/{name}/iou"].item() for name in ("source", "target")}
            for cli in (before, after)
        )
        row = {
            "iou_source": unadapted["source"],
            "iou_unadapted": unadapted["target"],
            "iou_adapted": reached["target"],
            "gain": reached["target"] - unadapted["target"],
            "iou_source_adapted": reached["source"],
            "tiles": adaptation["tiles"],
            "seconds": adaptation["seconds"],
        }
        return row, _target_picture(after)


class Demo(Study):
    """Runs `fit`, `test`, `adapt` and `test` for every config, scaling of intensities and seed.

    Args:
        configs: files of bnadapt with source and target.
        intensities: scalings of intensities to compare.
        seeds: of training.
        options: further options of all commands, such as `--trainer.max_epochs=1`.

    Raises:
        InputError: a config is missing.
    """

    name = "demo"
    title = "BatchNorm adaptation, before and after"
    question = (
        "A network is trained on labelled images of one data set, the source, and is to segment another, the target."
        " Inside, it normalises images by means and variances that it has learnt from the source: its BatchNorm"
        " statistics. Adaptation re-estimates these on images of the target, without labels: in the layers that work at"
        " the images' full resolution, where it mixes both in equal parts. No weight changes. Scores are the IoU"
        " (intersection over union) of predicted and true foreground, 1 being perfect, on test images that neither"
        " training nor adaptation has read."
    )

    def __init__(
        self,
        configs: Sequence[str],
        intensities: Sequence[str] = ("zscore",),
        seeds: Sequence[int] = (1,),
        options: Sequence[str] = (),
    ) -> None:
        if missing := [path for path in configs if not Path(path).is_file()]:
            raise InputError(f"{missing[0]}: no such config; check study.configs.")
        self.configs = [Path(path) for path in configs]
        self.intensities = intensities
        self.seeds = seeds
        self.options = options
        spread = (
            "Numbers after ± are one standard deviation over networks that were trained anew." if len(seeds) > 1 else ""
        )
        described = (f"{_title(config)}: {_opening_comment(config)}" for config in self.configs)
        self.question = " ".join(filter(None, [Demo.question, spread, *described]))

    def cases(self) -> list[DemoCase]:
        """Every config with every scaling and seed."""
        return [
            DemoCase(
                config.read_text(encoding="utf-8"),
                intensity,
                seed,
                list(self.options),
                {TRANSFER: _title(config), INTENSITY: intensity, "seed": seed},
            )
            for seed in self.seeds
            for config in self.configs
            for intensity in self.intensities
        ]

    def findings(self, tables: Tables) -> list[str]:
        """What adaptation changes on the target, and what it costs on the source."""
        return [
            f"{name}: the target's IoU is {runs.iou_unadapted.mean():.3f} without and"
            f" {runs.iou_adapted.mean():.3f} with adaptation ({mean_and_std(runs.gain, signed=True)}), which took"
            f" {runs.seconds.mean():.1f} s; on the source it changes from {runs.iou_source.mean():.3f} to"
            f" {runs.iou_source_adapted.mean():.3f}."
            for name, runs in _by_name(tables.table).items()
        ]

    def summary(self, tables: Tables) -> Table:
        """A row per config and scaling: mean, and standard deviation over seeds where there are more."""
        rows = [
            [
                name,
                *(mean_and_std(runs[column], signed=column == "gain") for column in COLUMNS),
                f"{runs.seconds.mean():.1f}",
                str(runs["seed"].nunique()),
            ]
            for name, runs in _by_name(tables.table).items()
        ]
        return Table(["source to target", *COLUMNS.values(), "seconds to adapt", "trained networks"], rows)

    def figures(self, tables: Tables) -> dict[str, StudyFigure]:
        """Bars for every config and scaling."""
        several = tables.table["seed"].nunique() > 1
        whiskers = "; whiskers are one standard deviation over networks that were trained anew" if several else ""
        caption = f"On the target's test images, without and with adaptation{whiskers}."
        return {"iou": StudyFigure("IoU on the target", caption, _bars(tables.table))}

    def pictures(self, tables: Tables) -> dict[str, str]:
        """The first test tile of the target of every record."""
        return {
            row.record: f"{name}: IoU on the target {row.iou_unadapted:.3f} without, {row.iou_adapted:.3f} with"
            " adaptation."
            for name, runs in _by_name(tables.table).items()
            for row in runs.drop_duplicates(TRANSFER).itertuples()
        }


def _title(config: Path) -> str:
    return config.stem.replace("-", " ")


def _opening_comment(config: Path) -> str:
    """What a config says of itself in its first lines."""
    lines = takewhile(lambda line: line.startswith("#"), config.read_text(encoding="utf-8").splitlines())
    return " ".join(line.lstrip("# ") for line in lines)


def _bars(table: pd.DataFrame) -> Figure:
    """IoU on the target without and with adaptation, for every config and scaling."""
    groups = _by_name(table)
    series = {
        label: (
            [runs[column].mean() for runs in groups.values()],
            [runs[column].std() for runs in groups.values()],
            colour,
        )
        for column, (label, colour) in IOU.items()
    }
    figure, (panel,) = panels(1, 1, (1.8 * len(groups) + 2, 2.6))
    bars(panel, [name.replace(", ", "\n") for name in groups], series)
    panel.set_ylim(0, 1)
    panel.set_ylabel("IoU")
    legend(figure, panel)
    return figure


def _by_name(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows of every config and scaling, which is named where there are several."""
    several = table[INTENSITY].nunique() > 1
    return {
        f"{transfer}, {intensity}" if several else transfer: runs
        for (transfer, intensity), runs in table.groupby([TRANSFER, INTENSITY], sort=False)
    }


def _command(*arguments: str) -> BnadaptCLI:
    """Print a command of bnadapt, and do it."""
    print(f"\n$ bnadapt {shell_line(arguments)}", flush=True)
    return main(list(arguments))


def _target_picture(tested: BnadaptCLI) -> Figure:
    """Image, mask, predictions and their difference for the first test tile of the target."""
    item = next(each.dataset for each in tested.datamodule.test_dataloader() if each.dataset.name == "target").uncut(0)
    return comparison(item, predictions_by_state(tested.model, item["image"][None]))
