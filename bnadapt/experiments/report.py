"""A study's page, figures and TensorBoard logs, drawn from its tables alone."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bnadapt.errors import InputError
from bnadapt.experiments.study import Study, StudyFigure
from bnadapt.experiments.tables import Tables
from bnadapt.files import atomic_write
from bnadapt.reports.document import Answer, Bullets, Code, Document, Heading, Link, Paragraph, Part, Picture

DPI = 110  # of figures; their smallest text has 6 points
SESSIONS = 39  # hyper-parameter sets in TensorBoard, one run each; of more than 40 runs it shows none at first


def report(study: Study, folder: Path, command: str) -> Document:
    """Draw a study's figures and page into its folder, and log them for TensorBoard.

    Args:
        study: study of the folder.
        folder: folder of the tables.
        command: command that made them, for the page.

    Raises:
        InputError: the tables are missing, broken or of another study.
    """
    tables = Tables.read(folder)
    _check_columns(folder / "table.parquet", tables.table, study)
    figures = study.figures(tables)
    findings = study.findings(tables)
    page = _page(study, tables, findings, figures, folder, command)
    shutil.rmtree(folder / "figures", ignore_errors=True)  # figures of other options would stay
    (folder / "figures").mkdir()
    for name, each in figures.items():
        with atomic_write(folder / "figures" / f"{name}.png") as partial:
            each.figure.savefig(partial, dpi=DPI)
    for name, text in (("index.html", page.html()), ("README.md", page.markdown())):
        with atomic_write(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")
    _log(study, tables, findings, figures, folder / "tensorboard")
    return page


def _check_columns(path: Path, table: pd.DataFrame, study: Study) -> None:
    """Refuse a table of another study.

    Raises:
        InputError: the table lacks a column.
    """
    if missing := set(study.columns) - set(table):
        raise InputError(
            f"{path}: is not a table of {study.name}, it has no column {min(missing)}; run the study again."
        )


def _page(
    study: Study,
    tables: Tables,
    findings: Sequence[str],
    figures: Mapping[str, StudyFigure],
    folder: Path,
    command: str,
) -> Document:
    """The answer, the question, a figure, all findings in numbers, and the rest."""
    answer, *further = findings
    sections = [
        [Heading(each.title), Paragraph(each.caption), Picture(f"figures/{name}.png", each.title)]
        for name, each in figures.items()
    ]
    parts: list[Part] = [Answer(answer), Paragraph(study.question), *(sections[0] if sections else [])]
    parts += [Heading("What else was found"), Bullets(further)] if further else []
    parts += filter(None, [study.summary(tables)])
    parts += [part for figure in sections[1:] for part in figure]
    pictures = {
        record: caption
        for record, caption in study.pictures(tables).items()
        if (folder / "pictures" / f"{record}.png").exists()
    }
    if pictures:
        parts += [
            Heading("Predictions"),
            Paragraph("On the first tile of the test images; the IoU is that of all test images."),
        ]
    for record, caption in pictures.items():
        parts += [Paragraph(caption), Picture(f"pictures/{record}.png", caption)]
    parts += [
        Heading("How to run it again"),
        Code(command),
        Paragraph(
            f"Rows of the table: {len(tables.table)}; random seeds: {_seeds(tables.table)}. Columns are explained in"
            f" bnadapt/experiments/tables.py; the settings are in study.yaml.{_distances(tables)}"
        ),
        Link("table.parquet", "All numbers: table.parquet"),
    ]
    return Document(study.title, parts)


def _seeds(table: pd.DataFrame) -> str:
    return (
        ", ".join(map(str, sorted(table["seed"].dropna().astype(int).unique())))
        if "seed" in table
        else "of the studies that it reads"
    )


def _distances(tables: Tables) -> str:
    sentence = " Distances are in distances.parquet, which the command leaves in its folder."
    return sentence if len(tables.distances) else ""


def _log(
    study: Study, tables: Tables, findings: Sequence[str], figures: Mapping[str, StudyFigure], folder: Path
) -> None:
    """Figures as images, and labels against gain as hyper-parameters."""
    from torch.utils.tensorboard import SummaryWriter

    shutil.rmtree(folder, ignore_errors=True)
    with SummaryWriter(folder) as writer:
        for name, each in figures.items():
            writer.add_figure(f"{study.name}/{name}", each.figure)
        writer.add_text(f"{study.name}/findings", "\n".join(f"- {each}" for each in findings))
        if "gain" in tables.table:
            for labels, scores in _sessions(tables.table):
                writer.add_hparams(labels, scores, run_name=_run_name(labels))


def _sessions(table: pd.DataFrame) -> list[tuple[dict[str, Any], dict[str, float]]]:
    """Means over seeds of every set of labels, at most so many, evenly spread."""
    scores = ["iou_unadapted", "iou_adapted", "gain"]
    first = next(number for number, column in enumerate(table.columns) if column.startswith("iou_"))
    measured = list(table.columns[first:])
    labels = [column for column in table.columns if column not in (*measured, "seed")]
    means = table.groupby(labels, dropna=False, observed=True)[scores].mean().reset_index()
    selected = means.iloc[np.unique(np.linspace(0, len(means) - 1, SESSIONS).astype(int))]
    return [
        (
            {label: row[label] if isinstance(row[label], str | float | int) else str(row[label]) for label in labels},
            {f"hp/{score}": float(row[score]) for score in scores},
        )
        for row in selected.to_dict("records")
    ]


def _run_name(labels: Mapping[str, Any]) -> str:
    return " ".join(str(value).replace("/", "-") for value in labels.values() if value == value)
