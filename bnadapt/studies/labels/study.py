"""IoU over labelled tiles of the target, for everything that can be learnt from them, and from several starts."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from bnadapt.errors import InputError
from bnadapt.experiments.networks import SourceNetwork
from bnadapt.experiments.plots import legend, panels, spread
from bnadapt.experiments.study import Study, StudyFigure
from bnadapt.experiments.tables import Tables
from bnadapt.gain.candidates import ADAPTED, NONE
from bnadapt.labels import LearnName
from bnadapt.reports.document import Table
from bnadapt.studies.labels.case import SCRATCH, STATISTICS, LabelsCase, ScratchCase, Start
from bnadapt.studies.pairs import DataSetGroup

STARTS = {ADAPTED: "#00798c", NONE: "#d1495b", SCRATCH: "#8a8a8a"}
LEARNT = {"mixing": "#edae49", "affine": "#66a182", "head": "#8d96a3", "all": "#00798c"}
ALL = "all tiles"


class Labels(Study):
    """Every data set as a source for every other one of its task, with ever more labelled tiles of the target.

    Args:
        tasks: tasks by name.
        tiles: numbers of labelled tiles.
        learn: what is learnt, in turn; see `bnadapt.labels.FineTuning`.
        starts: what it is learnt from.
        ceilings: whether to learn from all labelled tiles of the target's train block, too.
        steps: steps of learning.
        scratch_steps: steps of networks that learn from labelled tiles alone.
        seeds: seeds of training.
        draws: seeds of labelled tiles.

    Raises:
        InputError: a task has a single data set.
    """

    name = "labels"
    title = "Labels: what a few labelled tiles of the target are worth, and adaptation in labelled tiles"
    question = (
        "Whoever adapts a network can label one to ten tiles. What is gained by that, what should be learnt from so"
        " few, and how many labelled tiles does it take without adaptation to be as good as with it?"
    )
    columns = ("record", "task", "source", "target", "seed", "draw", "start", "tiles", "learn", "iou")

    def __init__(
        self,
        tasks: Mapping[str, DataSetGroup],
        tiles: Sequence[int] = (1, 2, 5, 10, 20),
        learn: Sequence[LearnName] = ("mixing", "affine", "head", "all"),
        starts: Sequence[Start] = (NONE, ADAPTED),
        ceilings: bool = True,
        steps: int = 100,
        scratch_steps: int = 400,
        seeds: Sequence[int] = (1,),
        draws: Sequence[int] = (1, 2, 3),
    ) -> None:
        for name, group in tasks.items():
            if len(group.sets) < 2:
                raise InputError(f"study.tasks: {name} has {len(group.sets)} data sets; a pair needs two.")
        self.tasks = tasks
        self.counts: Sequence[int | None] = (*tiles, *([None] if ceilings else []))
        self.learn = learn
        self.starts = starts
        self.steps = steps
        self.scratch_steps = scratch_steps
        self.seeds = seeds
        self.draws = draws

    def cases(self) -> list[LabelsCase | ScratchCase]:
        """Every source on every target from every start with every number of tiles, and every target from scratch."""
        return [
            case
            for name, group in self.tasks.items()
            for target in group.sets
            for cases in (self._from_scratch(name, group, target), self._from_sources(name, group, target))
            for case in cases
        ]

    def findings(self, tables: Tables) -> list[str]:
        """What one tile gives, what should be learnt from it, and what adaptation is worth in labelled tiles."""
        mean = _means(tables.table)
        adapted, sentences = mean.loc[ADAPTED], []
        before = adapted.loc[(STATISTICS, 0)]
        for count in self.counts:
            scores = {learn: adapted.loc[(learn, _of(count))] for learn in self.learn}
            best = max(scores, key=lambda learn: scores[learn].mean())
            gain = scores[best] - before
            sentences.append(
                f"{_named(count)}: best is to learn {best}, with a mean IoU of {scores[best].mean():.3f} where"
                f" adaptation alone has {before.mean():.3f}, {gain.min():+.3f} in the worst pair; "
                + ", ".join(f"{learn} {rows.mean():.3f}" for learn, rows in scores.items())
                + "."
            )
        for start in (NONE, SCRATCH):
            if (start, "all") in mean.index:
                sentences.append(_worth(start, before.mean(), mean.loc[(start, "all")].mean(axis=1)))
        return sentences

    def summary(self, tables: Tables) -> Table:
        """A row for every start and everything that is learnt, means over pairs."""
        means = _means(tables.table).mean(axis=1)
        heads = ["from", "learnt", "0", *(_named(count) for count in self.counts)]
        rows = []
        for start in (start for start in STARTS if start in means.index):
            group = means.loc[start]
            zero = f"{group.loc[(STATISTICS, 0)]:.3f}" if STATISTICS in group.index else ""
            for learn in (learn for learn in self.learn if learn in group.index):
                rows.append([start, learn, zero, *(f"{group.loc[(learn, _of(count))]:.3f}" for count in self.counts)])
        return Table(heads, rows)

    def figures(self, tables: Tables) -> dict[str, StudyFigure]:
        """Curves over labelled tiles: of starts, and of what is learnt."""
        return {
            "worth": StudyFigure(
                "What adaptation is worth in labelled tiles",
                "Foreground IoU on the target's test block over labelled tiles that all weights have learnt from: from"
                " the adapted network, from the unadapted one, and from scratch. Dashed: adaptation without a label."
                " Bands are one standard deviation over seeds and draws of tiles.",
                self._draw(tables.table, "start", STARTS),
            ),
            "learnt": StudyFigure(
                "What so many tiles can carry",
                "The same from the adapted network, of everything that can be learnt.",
                self._draw(tables.table, "learn", LEARNT),
            ),
        }

    def _from_sources(self, task: str, group: DataSetGroup, target: str) -> Iterator[LabelsCase]:
        for seed in self.seeds:
            for source in (each for each in group.sets if each != target):
                network = SourceNetwork(group.training, group.sets[source], seed)
                for start in self.starts:
                    for count in (0, *self.counts):
                        for draw in self.draws if count else self.draws[:1]:
                            labels = {"task": task, "source": source, "target": target, "seed": seed}
                            labels |= {"draw": draw, "start": start, "tiles": _of(count)}
                            yield LabelsCase(
                                network,
                                group.sets[target],
                                group.evaluation,
                                labels,
                                start,
                                count,
                                draw,
                                self.learn,
                                self.steps,
                            )

    def _from_scratch(self, task: str, group: DataSetGroup, target: str) -> Iterator[ScratchCase]:
        for count in self.counts:
            for draw in self.draws:
                labels = {"task": task, "source": SCRATCH, "target": target, "seed": draw, "draw": draw}
                labels |= {"start": SCRATCH, "tiles": _of(count)}
                yield ScratchCase(
                    group.training, group.sets[target], group.evaluation, labels, count, draw, self.scratch_steps
                )

    def _draw(self, table: pd.DataFrame, varied: str, colours: Mapping[str, str]) -> Figure:
        """A panel for every target; curves over labelled tiles by one column, all else by default."""
        targets = list(table[["task", "target"]].drop_duplicates().itertuples(index=False))
        figure, axes = panels(len(targets), 4, (2.8, 2.3))
        default = {"start": ADAPTED, "learn": "all"}
        for panel, (task, target) in zip(axes, targets, strict=True):
            rows = table[(table["task"] == task) & (table["target"] == target)]
            for column in default.keys() - {varied}:
                rows = rows[rows[column].isin([default[column], STATISTICS])]
            known = rows[(rows["start"] == ADAPTED) & (rows["learn"] == STATISTICS)]["iou"].mean()
            panel.axhline(known, color=STARTS[ADAPTED], linewidth=1, linestyle="--")
            for value in (value for value in colours if (rows[varied] == value).any()):
                learnt = rows[(rows[varied] == value) & (rows["learn"] != STATISTICS)]
                spread(
                    panel, learnt.assign(place=learnt["tiles"].map(self._place)), "place", "iou", value, colours[value]
                )
            panel.set_xticks(range(len(self.counts)), [ALL if count is None else str(count) for count in self.counts])
            panel.set_title(f"{task}, {target}", fontsize=9)
            panel.set_ylim(0, 1)
            panel.grid(alpha=0.3)
            panel.tick_params(labelsize=7)
        legend(figure, axes[0])
        return figure

    def _place(self, tiles: int) -> int:
        return [_of(count) for count in self.counts].index(tiles)


def _of(count: int | None) -> int:
    """A number of tiles in a table, where -1 is all."""
    return -1 if count is None else count


def _named(count: int | None) -> str:
    return ALL if count is None else f"{count} tile{'s' if count > 1 else ''}"


def _means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean IoU over draws and seeds: by start, what is learnt and tiles (rows), by pair (columns)."""
    pair = table["task"] + ", " + table["source"] + " -> " + table["target"]
    return table.assign(pair=pair).pivot_table("iou", ["start", "learn", "tiles"], "pair")


def _worth(start: str, adapted: float, means: pd.Series) -> str:
    """From how many tiles on another start is as good as adaptation alone."""
    from_start = "the unadapted network" if start == NONE else "scratch"
    enough = [tiles for tiles, iou in means.items() if tiles > 0 and iou >= adapted]
    said = f"{enough[0]} labelled tiles" if enough else f"more than {max(means.index)} labelled tiles"
    return f"From {from_start}, adaptation without a label is worth {said} in the mean over pairs."
