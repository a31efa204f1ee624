"""Self-training and TENT on a target, compared with adaptation alone."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Literal

import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from bnadapt.batchnorm import minimise_entropy
from bnadapt.experiments.case import NetworkCase, RunLocation, TableRow
from bnadapt.experiments.network_evaluation import DomainEvaluation, NetworkEvaluation
from bnadapt.experiments.plots import bar_panels
from bnadapt.experiments.study import Study, StudyFigure
from bnadapt.experiments.tables import Tables
from bnadapt.gain.candidates import ADAPTED, CANDIDATES, DEFAULT
from bnadapt.labels import SelfTraining, self_train
from bnadapt.reports.document import Table
from bnadapt.studies.pairing import PAIR, DataSetGroup, check_pairs, pair_name, with_pairs

Start = Literal["adapted", "full-resolution-mixed"]
Method = Literal["statistics", "TENT", "self-training"]
STATISTICS, TENT, SELF_TRAINING = "statistics", "TENT", "self-training"
COLOURS = {STATISTICS: "#8a8a8a", TENT: "#edae49", SELF_TRAINING: "#00798c"}


@dataclass(frozen=True, eq=False)
class UnlabelledCase(NetworkCase):
    """A source network on a target that it has learnt from without labels.

    Args:
        network, target, evaluation, labels: see `NetworkCase`.
        start: candidate that provides the statistics to start from.
        method: how it learns; `statistics` does not.
        settings: settings of self-training, as plain values.
    """

    start: Start
    method: Method
    settings: Mapping[str, Any]

    def rows_on(self, target: DomainEvaluation, location: RunLocation) -> list[TableRow]:
        """One row."""
        network, images = target.network, target.adaptation_tiles()
        with network.restored():
            started = time.process_time()
            self._adapt(network, images)
            self._learn(network, images)
            seconds = round(time.process_time() - started, 3)
            scores = target.quick_scores()
        return [{"iou": scores.iou, "foreground": scores.true, "predicted": scores.predicted, "seconds": seconds}]

    def _adapt(self, network: NetworkEvaluation, images: Tensor) -> None:
        network.adapted(images, CANDIDATES[self.start].policy).bank.apply(network.network)

    def _learn(self, network: NetworkEvaluation, images: Tensor) -> None:
        if self.method == TENT:
            with network.precision():
                minimise_entropy(network.network, images.split(network.evaluation.batch_size))
            self._adapt(network, images)
        elif self.method == SELF_TRAINING:
            with network.precision():
                learnt = self_train(network.network, images, SelfTraining(**self.settings), network.bank)
            network.network.load_state_dict(learnt)


@dataclass
class SelfTrainingStudy(Study):
    """Every data set as a source for every other one of its task, adapted, and after it has learnt without labels.

    Args:
        tasks: tasks by name.
        starts: candidates to start from.
        methods: how to learn, besides not at all.
        settings: settings of self-training; the defaults if left out.
        seeds: seeds of training.

    Raises:
        InputError: a task has a single data set.
    """

    name = "self-training"
    title = "Self-training: what an adapted network learns from its own predictions"
    question = (
        "Adaptation leaves all weights as they are. Can an adapted network learn more of the target without a label,"
        " from its own confident predictions, and does it ever unlearn by that?"
    )
    columns = ("record", "task", "source", "target", "seed", "start", "method", "iou", "foreground", "predicted")

    tasks: Mapping[str, DataSetGroup]
    starts: Sequence[Start] = (ADAPTED, DEFAULT)
    methods: Sequence[Method] = (TENT, SELF_TRAINING)
    settings: SelfTraining | None = None
    seeds: Sequence[int] = (1, 2, 3)

    def __post_init__(self) -> None:
        check_pairs(self.tasks)

    def cases(self) -> list[UnlabelledCase]:
        """Every source on every target, from every start, by every method."""
        return [
            case
            for seed in self.seeds
            for task, group in self.tasks.items()
            for source, target in group.pairs()
            for case in self._cases(task, source, target, seed)
        ]

    def findings(self, tables: Tables) -> list[str]:
        """What the best method gains over its start, in the mean and at worst."""
        (start, method), gains = max(_gains(tables.table).items(), key=lambda each: each[1].mean())
        pairs, sources = gains.groupby(PAIR).mean(), gains.groupby(PAIR[:2]).mean()
        task, source = sources.idxmin()
        return [
            f"{method} from {start}: {pairs.mean():+.3f} IoU in the mean over {len(pairs)} pairs;"
            f" {(pairs > 0).sum()} gain. The worst pair is {pair_name(pairs.idxmin())} with {pairs.min():+.3f}, the"
            f" worst source {source} ({task}) with {sources.min():+.3f} over its targets."
        ]

    def summary(self, tables: Tables) -> Table:
        """IoU by task, start and method."""
        means = tables.table.pivot_table("iou", ["task", "start"], "method", sort=False)
        overall = tables.table.pivot_table("iou", "start", "method", sort=False)
        methods = [method for method in COLOURS if method in means]
        rows = [[*names, *(f"{each:.3f}" for each in values[methods])] for names, values in means.iterrows()]
        rows += [["all", start, *(f"{each:.3f}" for each in values[methods])] for start, values in overall.iterrows()]
        return Table(["task", "start", *methods], rows)

    def figures(self, tables: Tables) -> dict[str, StudyFigure]:
        """Bars for every ordered pair."""
        return {
            start: StudyFigure(
                f"Every ordered pair, from {CANDIDATES[start].title.replace('adapt', 'adapting', 1)}",
                "Foreground IoU on the target's test block; whiskers are one standard deviation over seeds.",
                self._draw(tables.table[tables.table["start"] == start]),
            )
            for start in self.starts
        }

    def _cases(self, task: str, source: str, target: str, seed: int) -> Iterator[UnlabelledCase]:
        group = self.tasks[task]
        for start, method in product(self.starts, (STATISTICS, *self.methods)):
            labels = {"task": task, "source": source, "target": target, "seed": seed}
            yield UnlabelledCase(
                group.network(source, seed),
                group.sets[target],
                group.evaluation,
                labels | {"start": start, "method": method},
                start,
                method,
                asdict(self.settings or SelfTraining()) if method == SELF_TRAINING else {},
            )

    def _draw(self, table: pd.DataFrame) -> Figure:
        wide = table.pivot_table("iou", [*PAIR, "seed"], "method", sort=False).reset_index()
        columns = {method: (method, colour) for method, colour in COLOURS.items() if method in wide}
        return bar_panels(dict(list(with_pairs(wide).groupby("task", sort=False))), "pair", columns, 2)


def _gains(table: pd.DataFrame) -> dict[tuple[str, str], pd.Series]:
    """IoU of learning minus that of its start, by start and method."""
    scores = table.pivot_table("iou", ["start", *PAIR, "seed"], "method", sort=False)
    gains = {
        (start, method): (rows[method] - rows[STATISTICS]).droplevel("start")
        for start, rows in scores.groupby(level="start", sort=False)
        for method in scores
        if method != STATISTICS
    }
    return {names: each.dropna() for names, each in gains.items()}
