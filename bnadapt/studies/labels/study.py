"""IoU over labelled tiles of the target, for everything that can be learnt from them, and from several starts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import pandas as pd
from matplotlib.figure import Figure

from bnadapt.experiments.plots import legend, panels, spread
from bnadapt.experiments.study import Study, StudyFigure
from bnadapt.experiments.tables import Tables
from bnadapt.gain.candidates import ADAPTED, NONE
from bnadapt.labels import FineTuning, LearnName
from bnadapt.labels.self_training import SELF_TRAINED
from bnadapt.reports.document import Table
from bnadapt.studies.labels.case import (
    PROPOSED,
    RANDOM,
    SCRATCH,
    STATISTICS,
    Choice,
    LabelsCase,
    ScratchCase,
    Start,
    StartCase,
)
from bnadapt.studies.pairing import DataSetGroup, check_pairs

STARTS = {ADAPTED: "#00798c", SELF_TRAINED: "#66a182", NONE: "#d1495b", SCRATCH: "#8a8a8a"}
LEARNT = {"mixing": "#edae49", "affine": "#66a182", "head": "#8d96a3", "all": "#00798c"}
ALL = "all tiles"
DEFAULT: LearnName = FineTuning().learn


@dataclass
class Labels(Study):
    """Every data set as a source for every other one of its task, with ever more labelled tiles of the target.

    Args:
        tasks: tasks by name.
        tiles: numbers of labelled tiles.
        learn: what is learnt from the adapted network, besides the default; see `bnadapt.labels.FineTuning`.
        starts: what the default is learnt from: statistics of the source (`none`), of the target (`adapted`), the
            adapted network after self-training (`self-trained`), or new weights (`scratch`), all of which are learnt.
        proposed: numbers of tiles that are also chosen as `bnadapt propose` does.
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
    columns = ("record", "task", "source", "target", "seed", "draw", "start", "tiles", "choice", "learn", "iou")

    tasks: Mapping[str, DataSetGroup]
    tiles: Sequence[int] = (1, 2, 5, 10, 20)
    learn: Sequence[LearnName] = ("mixing", "affine", "head", "all")
    starts: Sequence[Start] = (NONE, ADAPTED, SELF_TRAINED, SCRATCH)
    proposed: Sequence[int] = ()
    ceilings: bool = True
    steps: int = 100
    scratch_steps: int = 400
    seeds: Sequence[int] = (1,)
    draws: Sequence[int] = (1, 2, 3)

    def __post_init__(self) -> None:
        check_pairs(self.tasks)
        self.counts: Sequence[int | None] = (*self.tiles, *([None] if self.ceilings else []))

    def cases(self) -> list[StartCase | LabelsCase | ScratchCase]:
        """Every source on every target with every number of tiles, and every target from scratch."""
        targets = [(name, group, target) for name, group in self.tasks.items() for target in group.sets]
        cases: list[StartCase | LabelsCase | ScratchCase] = []
        for each in targets:
            cases += [*(self._from_scratch(*each) if SCRATCH in self.starts else ()), *self._from_sources(*each)]
        return cases

    def findings(self, tables: Tables) -> list[str]:
        """What every number of tiles gives the adapted network, and what adaptation is worth in labelled tiles."""
        means = _means(_by_default(tables.table), ["start", "tiles"])
        before = means.loc[(ADAPTED, 0)].dropna()
        gains = {_named(count): (means.loc[(ADAPTED, _of(count))] - before).dropna() for count in self.counts}
        listed = ", ".join(f"{name} {each.mean():+.3f} ({each.min():+.3f})" for name, each in gains.items())
        answer = f"The adapted network gains, in the mean over {len(before)} pairs (and at worst), from {listed}."
        if NONE not in means.index:
            return [answer]
        worth = _worth(before.mean(), means.loc[NONE].mean(axis=1))
        return [
            answer,
            f"To the unadapted network, adaptation without a label is worth {worth}, in the mean over pairs.",
        ]

    def summary(self, tables: Tables) -> Table:
        """A row for every start and everything that is learnt, means over pairs."""
        means = _means(tables.table, ["start", "learn", "choice", "tiles"]).mean(axis=1)
        heads = ["from", "learnt", "tiles", "0", *(_named(count) for count in self.counts)]
        rows = []
        for (start, learn, choice), group in means.groupby(level=[0, 1, 2], sort=False):
            if learn != STATISTICS:
                scores = group.droplevel([0, 1, 2])
                zero = means.get((start, STATISTICS, RANDOM, 0))
                cells = [zero, *(scores.get(_of(count)) for count in self.counts)]
                rows.append([start, learn, choice, *("" if each is None else f"{each:.3f}" for each in cells)])
        return Table(heads, rows)

    def figures(self, tables: Tables) -> dict[str, StudyFigure]:
        """Curves over labelled tiles: of starts, and of what is learnt."""
        return {
            "worth": StudyFigure(
                "What adaptation is worth in labelled tiles",
                "Foreground IoU on the target's test block over labelled tiles, mean over sources, by what is learnt"
                " from: the adapted network, with and without self-training, the unadapted one, and nothing. Dashed:"
                " adaptation without a label. Bands are one standard deviation over sources, seeds and draws of tiles.",
                self._draw(tables.table, "start", STARTS),
            ),
            "learnt": StudyFigure(
                "What so many tiles can carry",
                "The same from the adapted network, of everything that can be learnt.",
                self._draw(tables.table, "learn", LEARNT),
            ),
        }

    @property
    def _source_starts(self) -> list[Start]:
        return [start for start in self.starts if start != SCRATCH]

    def _from_sources(self, task: str, group: DataSetGroup, target: str) -> Iterator[StartCase | LabelsCase]:
        for seed in self.seeds:
            for source in (each for each in group.sets if each != target):
                labels = {"task": task, "source": source, "target": target, "seed": seed}
                common = (group.network(source, seed), group.sets[target], group.evaluation)
                for start in dict.fromkeys((*self._source_starts, ADAPTED)):
                    of_start = {"draw": 0, "start": start, "tiles": 0, "choice": RANDOM}
                    yield StartCase(*common, labels | of_start, start)
                for count, draw in product(self.counts, self.draws):
                    for start, learn, choice in self._ways(count):
                        of_way = {"draw": draw, "start": start, "tiles": _of(count), "choice": choice}
                        yield LabelsCase(*common, labels | of_way, start, count, draw, choice, learn, self.steps)

    def _ways(self, count: int | None) -> Iterator[tuple[Start, LearnName, Choice]]:
        """One thing at a time: from which start, what is learnt, and which tiles are labelled."""
        ways = [(start, DEFAULT, RANDOM) for start in (*self._source_starts, ADAPTED)]
        ways += [(ADAPTED, learn, RANDOM) for learn in self.learn]
        if count in self.proposed:
            ways.append((ADAPTED, DEFAULT, PROPOSED))
        yield from dict.fromkeys(ways)

    def _from_scratch(self, task: str, group: DataSetGroup, target: str) -> Iterator[ScratchCase]:
        for count, draw in product(self.counts, self.draws):
            labels = {"task": task, "source": SCRATCH, "target": target, "seed": draw, "draw": draw}
            labels |= {"start": SCRATCH, "tiles": _of(count), "choice": RANDOM}
            common = (group.training, group.sets[target], group.evaluation)
            yield ScratchCase(*common, labels, count, draw, self.scratch_steps)

    def _draw(self, table: pd.DataFrame, varied: str, colours: Mapping[str, str]) -> Figure:
        """A panel for every target; curves over labelled tiles by `start` or `learn`, all else by default."""
        targets = list(table[["task", "target"]].drop_duplicates().itertuples(index=False))
        places = [_of(count) for count in self.counts]
        figure, axes = panels(len(targets), 4, (2.8, 2.3))
        table = _by_default(table) if varied == "start" else table[table["choice"] == RANDOM]
        known = table[(table["start"] == ADAPTED) & (table["learn"] == STATISTICS)]
        table = table[table["start"].eq(ADAPTED) | (varied == "start")]
        for panel, (task, target) in zip(axes, targets, strict=True):
            rows = table[(table["task"] == task) & (table["target"] == target)]
            adapted = known[(known["task"] == task) & (known["target"] == target)]["iou"].mean()
            panel.axhline(adapted, color=STARTS[ADAPTED], linewidth=1, linestyle="--")
            for value in (value for value in colours if (rows[varied] == value).any()):
                learnt = rows[(rows[varied] == value) & (rows["learn"] != STATISTICS)]
                placed = learnt.assign(place=learnt["tiles"].map(places.index))
                spread(panel, placed, "place", "iou", value, colours[value])
            panel.set_xticks(range(len(self.counts)), [ALL if count is None else str(count) for count in self.counts])
            panel.set_title(f"{task}, {target}", fontsize=9)
            panel.set_ylim(0, 1)
            panel.grid(alpha=0.3)
            panel.tick_params(labelsize=7)
        legend(figure, axes[0])
        return figure


def _of(count: int | None) -> int:
    """A number of tiles in a table, where -1 is all."""
    return -1 if count is None else count


def _by_default(table: pd.DataFrame) -> pd.DataFrame:
    """The rows in which the default is learnt, or nothing."""
    return table[(table["choice"] == RANDOM) & table["learn"].isin([DEFAULT, STATISTICS])]


def _named(count: int | None) -> str:
    return ALL if count is None else f"{count} tile{'s' if count > 1 else ''}"


def _means(table: pd.DataFrame, index: list[str]) -> pd.DataFrame:
    """Mean IoU over draws and seeds: by the columns of the index (rows), by pair (columns)."""
    pair = table["task"] + ", " + table["source"] + " -> " + table["target"]
    return table.assign(pair=pair).pivot_table("iou", index, "pair", sort=False)


def _worth(adapted: float, means: pd.Series) -> str:
    """Between which measured numbers of tiles the mean IoU of another start reaches that of adaptation alone."""
    counts = sorted(tiles for tiles in means.index if tiles > 0)
    enough = next((place for place, tiles in enumerate(counts) if means[tiles] >= adapted), None)
    if enough is None:
        return f"more than {_named(counts[-1])}"
    if enough == 0:
        return f"at most {_named(counts[0])}"
    return f"more than {counts[enough - 1]} and at most {_named(counts[enough])}"
