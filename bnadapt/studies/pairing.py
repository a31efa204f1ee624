"""What studies of pairs of data sets share: the data sets of a task, and names and captions of pairs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Any

import pandas as pd

from bnadapt.errors import InputError
from bnadapt.experiments.evaluation import Evaluation
from bnadapt.experiments.networks import SourceNetwork, Training
from bnadapt.experiments.specs import Spec

PAIR = ["task", "source", "target"]


@dataclass(frozen=True)
class DataSetGroup:
    """Data sets that share a task, and how networks are trained and evaluated on it.

    Args:
        sets: domains by name, at least two.
        training: training of the networks; a study may set its intensity.
        evaluation: evaluation of them.
    """

    sets: Mapping[str, Spec]
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)

    def pairs(self) -> list[tuple[str, str]]:
        """Names of all ordered pairs of different sets, source first."""
        return list(permutations(self.sets, 2))

    def network(self, source: str, seed: int, **changes: Any) -> SourceNetwork:
        """The network of a set; `changes` are fields of its training."""
        return SourceNetwork(replace(self.training, **changes), self.sets[source], seed)


def check_pairs(tasks: Mapping[str, DataSetGroup]) -> None:
    """Refuse tasks without a pair.

    Raises:
        InputError: a task has a single data set.
    """
    for name, group in tasks.items():
        if len(group.sets) < 2:
            raise InputError(f"study.tasks: {name} has {len(group.sets)} data sets; a pair needs two.")


def across(table: pd.DataFrame) -> pd.DataFrame:
    """The rows between two different data sets."""
    return table[table["source"] != table["target"]]


def with_pairs(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the name of source and target in the column `pair`, in two lines."""
    return table.assign(pair=table["source"] + "\n-> " + table["target"])


def pair_name(pair: tuple[str, str, str]) -> str:
    """Source, target and task of a pair, as a group of the columns `PAIR`, in words."""
    task, source, target = pair
    return f"{source} -> {target} ({task})"


def picture_captions(table: pd.DataFrame, column: str, seed: int) -> dict[str, str]:
    """Captions of the pictures of a seed's records: the pair, and the IoU of every value of a column."""
    return {
        record: f"{rows.iloc[0].source} -> {rows.iloc[0].target}: "
        + ", ".join(f"{name} {iou:.2f}" for name, iou in zip(rows[column], rows["iou"], strict=True))
        for record, rows in table[table["seed"] == seed].groupby("record", sort=False)
    }
