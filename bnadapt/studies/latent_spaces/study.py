"""Which distance, in which latent space, before or after adaptation, predicts its effect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bnadapt.errors import InputError
from bnadapt.experiments.case import Case
from bnadapt.experiments.study import Study, StudyFigure
from bnadapt.experiments.tables import Tables
from bnadapt.reports.document import Table
from bnadapt.studies.latent_spaces.correlations import interval, kendall, mean_over_parts, spearman
from bnadapt.studies.latent_spaces.figures import SCORES, draw_map, draw_transfer
from bnadapt.studies.latent_spaces.findings import closest_distances, sentences

FEWEST = 5  # records of a part
MAP = (
    "Spearman's rank correlation over records. From top to bottom: with the distance before adaptation; with the"
    " distance that is left after it; and, where there is more than one source network, as a control with the noise"
    " floor, the distance between two halves of the source, which knows no target. From left to right: with the IoU"
    " without adaptation, with the IoU with it, and with the gain. Blue: the larger the distance, the lower the score."
)


@dataclass
class LatentSpaces(Study):
    """Reads the tables of finished studies, and correlates every distance in every latent space with the scores.

    Args:
        studies: folders of finished studies, by name.
        split_by: columns that separate a study's records into separate parts, by name of the study.
        only: values that columns must have, by name of the study; records with others are left out.
    """

    name = "latent-spaces"
    title = "Latent spaces: which distance predicts what adaptation does?"
    question = (
        "Every record of the other studies has distances between source and target in all latent spaces of the network:"
        " in the source network, and what is left in the adapted one; and, as a noise floor, between two halves of the"
        " source. Which of them follow the score without adaptation, the score with it, and the gain?"
    )
    columns = ("part", "state", "score", "depth", "layer", "measure", "n", "spearman")

    studies: Mapping[str, str]
    split_by: Mapping[str, str] | None = None
    only: Mapping[str, Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        self.split_by, self.only = self.split_by or {}, self.only or {}
        for option, names in (("split_by", self.split_by), ("only", self.only)):
            if unknown := set(names) - set(self.studies):
                raise InputError(
                    f"study.{option}: {min(unknown)} is not one of study.studies ({', '.join(self.studies)})."
                )

    def cases(self) -> list[Case]:
        """No cases, since everything is measured already."""
        return []

    def tables(self, measured: Sequence) -> Tables:
        """Correlations: a row per part, state, latent space, measure and score."""
        return Tables(pd.DataFrame([row for part, data in self._parts().items() for row in _correlations(part, *data)]))

    def findings(self, tables: Tables) -> list[str]:
        """How closely distances follow every score."""
        return sentences(tables.table)

    def summary(self, tables: Tables) -> Table:
        """The closest distance of every part, score and state."""
        return closest_distances(tables.table)

    def figures(self, tables: Tables) -> dict[str, StudyFigure]:
        """Maps of correlations for every part, and how well the choice of a distance transfers."""
        figures = {}
        if tables.table["part"].nunique() > 1:
            figures["transfer"] = StudyFigure(
                "Chosen here, tested there",
                "For every part, the distance (state, latent space and measure) that follows the score most closely"
                " there, and Spearman's correlation of the same distance in all parts. On the diagonal the choice was"
                " made with the scores in view; beside it, it was not.",
                draw_transfer(tables.table),
            )
            figures["map"] = StudyFigure(
                "All parts: mean correlation by latent space and measure",
                f"The mean over parts of {MAP}",
                draw_map(mean_over_parts(tables.table)),
            )
        for part, rows in tables.table.groupby("part", sort=False):
            figures[f"map-{_slug(part)}"] = StudyFigure(
                f"{part}: correlation by latent space and measure",
                MAP,
                draw_map(rows),
            )
        return figures

    def _parts(self) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
        """Table and distances of every part."""
        parts = {}
        for name, folder in self.studies.items():
            table, distances = Tables.read(Path(folder))
            if "network" not in table:
                raise InputError(f"{folder}: its table has no column of networks; run that study again.")
            table = self._selected(name, table[table["record"].isin(distances["record"])])
            column = self.split_by.get(name)
            for value, rows in table.groupby(column, sort=False, dropna=False) if column else [("", table)]:
                part = f"{name}: {value}" if column else name
                if len(rows) < FEWEST:
                    raise InputError(
                        f"{folder}: {part} has {len(rows)} records with distances, but {FEWEST} are needed;"
                        " measure more, or choose others by study.only and study.split_by."
                    )
                parts[part] = rows, distances[distances["record"].isin(rows["record"])]
        return parts

    def _selected(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """The selected records of a study, without sources on themselves."""
        values = self.only.get(name, {})
        for column in (*values, *filter(None, [self.split_by.get(name)])):
            if column not in table:
                raise InputError(
                    f"{self.studies[name]}: has no column {column}; take one of {', '.join(table.columns)}."
                )
        for column, value in values.items():
            table = table[table[column] == value]
        return table[table["source"] != table["target"]] if "target" in table else table


def _correlations(part: str, table: pd.DataFrame, distances: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for state in distances["state"].drop_duplicates():
        wide = _wide(distances, state, table)
        wide = wide.dropna(axis=1)  # too few tiles have no noise floor
        wide = wide.loc[:, wide.nunique() > 1]  # a single source network has a single one
        if wide.empty:
            continue
        columns = wide.to_numpy(float)
        for score in SCORES:
            values = table[score].to_numpy(float)
            correlations = pd.DataFrame({"spearman": spearman(columns, values), "kendall": kendall(columns, values)})
            clusters = table["network"]
            correlations["low"], correlations["high"] = interval(spearman, columns, values, clusters)
            most = correlations["spearman"].abs().nlargest(12).index.to_numpy()  # tau takes long
            bounds = interval(kendall, columns[:, most], values, clusters, replicates=100)
            correlations.loc[most, "kendall_low"], correlations.loc[most, "kendall_high"] = bounds
            keys = [dict(zip(("depth", "layer", "measure"), key, strict=True)) for key in wide.columns]
            common = {"part": part, "state": state, "score": score, "n": len(table)}
            rows += [{**common, **key, **each} for key, each in zip(keys, correlations.to_dict("records"), strict=True)]
    return rows


def _wide(distances: pd.DataFrame, state: str, table: pd.DataFrame) -> pd.DataFrame:
    """Records, in the order of the table, by (depth, layer, measure)."""
    rows = distances[distances["state"] == state]
    wide = rows.pivot_table("value", "record", ["depth", "layer", "measure"], observed=True)
    return wide.reindex(table["record"])


def _slug(part: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in part.lower())
