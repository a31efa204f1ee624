"""How long to train a source network, and with which augmentation, if it is to work on other data sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd
from matplotlib.axes import Axes

from bnadapt.errors import InputError
from bnadapt.experiments.case import AdaptationCase
from bnadapt.experiments.evaluation import Evaluation
from bnadapt.experiments.networks import SourceNetwork, Training
from bnadapt.experiments.plots import legend, panels, spread
from bnadapt.experiments.specs import Spec
from bnadapt.experiments.study import Study, StudyFigure
from bnadapt.experiments.tables import Tables, mean_and_std
from bnadapt.reports.document import Table
from bnadapt.studies.pairing import across

CURVES = {
    "own test block": ("own", "iou_unadapted", "#888888"),
    "other data sets, not adapted": ("foreign", "iou_unadapted", "#d1495b"),
    "other data sets, AdaBN": ("foreign", "iou_adapted", "#00798c"),
}


@dataclass
class Recipes(Study):
    """Networks of several lengths of training and augmentations, each on its own data set and on all others.

    Args:
        sets: data sets of one task, by name.
        sources: names of those that networks are trained on; all by default.
        training: training of the networks, except for what is varied.
        evaluation: evaluation of them.
        augmentations: names, see `bnadapt.data.augmentation`.
        steps: lengths of training; each is a separate training with its own schedule.
        seeds: seeds of training.

    Raises:
        InputError: a source is not one of the sets.
    """

    name = "recipes"
    title = "Recipes: how long to train, and with which augmentation"
    question = (
        "A network that will segment other data sets, adapted or not, may need another training than one that is scored"
        " on its own. What do longer training and stronger augmentation give on the source, and on other data sets?"
    )
    columns = ("record", "augmentation", "steps", "source", "target", "seed", "iou_unadapted", "iou_adapted")

    sets: Mapping[str, Spec]
    sources: Sequence[str] | None = None
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)
    augmentations: Sequence[str] = ("flips", "moderate", "strong")
    steps: Sequence[int] = (200, 400, 1000, 2000, 4000)
    seeds: Sequence[int] = (1, 2, 3)

    def __post_init__(self) -> None:
        self.sources = self.sources or list(self.sets)
        if unknown := [name for name in self.sources if name not in self.sets]:
            raise InputError(
                f"study.sources: {unknown[0]} is not one of study.sets; take some of {', '.join(self.sets)}."
            )

    def cases(self) -> list[AdaptationCase]:
        """Every network on every data set, its own included."""
        return [
            AdaptationCase(
                SourceNetwork(replace(self.training, steps=steps, augmentation=name), self.sets[source], seed),
                self.sets[target],
                self.evaluation,
                {"augmentation": name, "steps": steps, "source": source, "target": target, "seed": seed},
            )
            for seed in self.seeds
            for steps in self.steps
            for name in self.augmentations
            for source in self.sources
            for target in self.sets
        ]

    def findings(self, tables: Tables) -> list[str]:
        """Which recipe is best on other data sets."""
        means = across(tables.table).groupby(["augmentation", "steps"], sort=False)["iou_adapted"].mean()
        if means.empty:
            return []
        name, steps = means.idxmax()
        return [
            f"On other data sets, adapted, networks of {steps} steps with the augmentation {name} are best: mean IoU"
            f" {means.max():.3f}."
        ]

    def summary(self, tables: Tables) -> Table:
        """Mean IoU of every recipe, with the standard deviation over seeds of that mean."""
        rows = [
            [name, str(steps), *(_mean(group, *CURVES[curve][:2]) for curve in CURVES)]
            for (name, steps), group in tables.table.groupby(["augmentation", "steps"], sort=False)
        ]
        return Table(["augmentation", "steps", *CURVES], rows)

    def figures(self, tables: Tables) -> dict[str, StudyFigure]:
        """Curves of IoU against steps, a panel for each source and augmentation."""
        table = tables.table
        keys = [(source, name) for name in self.augmentations for source in self.sources]
        figure, axes = panels(len(keys), len(self.sources), (3.4, 2.4))
        for panel, (source, name) in zip(axes, keys, strict=True):
            _draw(panel, table[(table["source"] == source) & (table["augmentation"] == name)])
            panel.set_title(f"{source}, {name}", fontsize=9)
        legend(figure, axes[0])
        caption = (
            "Foreground IoU on test blocks against steps of training: of the source, and mean over the other data sets,"
            " without and with full replacement of the BatchNorm statistics. Bands: one standard deviation over seeds."
        )
        return {"steps": StudyFigure("IoU against steps", caption, figure)}


def _where(table: pd.DataFrame, where: str) -> pd.DataFrame:
    return across(table) if where == "foreign" else table[table["source"] == table["target"]]


def _mean(rows: pd.DataFrame, where: str, column: str) -> str:
    return mean_and_std(_where(rows, where).groupby("seed")[column].mean())


def _draw(panel: Axes, rows: pd.DataFrame) -> None:
    for label, (where, column, colour) in CURVES.items():
        by_seed = _where(rows, where).groupby(["steps", "seed"])[column].mean().reset_index()
        spread(panel, by_seed, "steps", column, label, colour)
    panel.set_xscale("log")
    panel.set_xticks(sorted(rows["steps"].unique()), [str(each) for each in sorted(rows["steps"].unique())], fontsize=7)
    panel.minorticks_off()
    panel.set_ylim(0, 1)
    panel.grid(alpha=0.3)
