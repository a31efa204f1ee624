"""The page and the table of the distances between two domains."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from io import StringIO
from pathlib import Path

import numpy as np

from bnadapt.distances import MEASURES, LayerDistance
from bnadapt.reports.document import Answer, Bullets, Document, Folded, Heading, Link, Paragraph, Picture, Table
from bnadapt.reports.latent_findings import LatentFindings, answer, details
from bnadapt.reports.page import write_page

STATES = {"noise_floor": "two halves of the source", "unadapted": "without adaptation", "adapted": "with adaptation"}
PICTURES = ("depth", "map", "densities", "view", "agreement", "proportions")


def write_distances(
    findings: LatentFindings, pictures: Mapping[str, np.ndarray], folder: Path, verdict: str | None = None
) -> None:
    """Write `distances.csv`, figures, `index.html` and the same as `README.md` into a folder, all or nothing.

    Args:
        findings: what was measured.
        pictures: see `distance_figures.pictures`.
        folder: created if missing; files of these names are replaced, and figures of an earlier run removed.
        verdict: sentence that opens the page, if there is a verdict.
    """
    drawn = ((f"{name}.png", picture) for name, picture in pictures.items())
    page = document(findings, list(pictures), verdict)
    write_page(page, drawn, folder, {"distances.csv": _csv(findings)}, [f"{name}.png" for name in PICTURES])


def document(findings: LatentFindings, pictures: Sequence[str], verdict: str | None = None) -> Document:
    """The page: the answer, a figure, the main measure by layer, and the other figures of these names, folded."""
    measured = (
        f"Measured on {findings.tiles['source']} tiles of {findings.source} and {findings.tiles['target']} of"
        f" {findings.target}, without labels."
    )
    first, *others = (
        [Heading(title), Paragraph(text), Picture(f"{name}.png", title)]
        for name, title, text in ((name, *caption(name, findings)) for name in pictures)
    )
    sentences = details(findings)
    return Document(
        f"{findings.source} and {findings.target}, layer by layer",
        [
            *([Answer(verdict), Paragraph(answer(findings))] if verdict else [Answer(answer(findings))]),
            *([Bullets(sentences)] if sentences else []),
            Paragraph(measured),
            *first,
            Heading(f"{MEASURES[findings.main_measure()].title} by layer"),
            layer_table(findings, findings.main_measure()),
            Link("distances.csv", "All distances: distances.csv"),
            *([Folded("More pictures, for specialists", [part for each in others for part in each])] if others else []),
        ],
    )


def caption(name: str, findings: LatentFindings) -> tuple[str, str]:
    """Title of a figure, and what it shows."""
    left = (
        " Blue: source in the source network against target in the adapted one, the residual shift."
        if findings.adapted
        else ""
    )
    floor = (
        " Grey: one half of the source's tiles against the other, the noise floor." if findings.has_noise_floor else ""
    )
    adapted = " without and with adaptation" if findings.adapted else ""
    return {
        "depth": (
            "Along the network",
            "The distance in every latent space, in the order in which the network computes them. Red: source against"
            f" target, both in the source network.{left}{floor} Bands: one standard error over tiles.",
        ),
        "map": (
            "Where it stands out",
            "The same distances in units of the noise floor, so that measures and layers can be compared. Black: no"
            " difference.",
        ),
        "densities": (
            "What moves",
            "The most shifted channel of each of the most shifted layers: the density of its values in the source, and"
            f" in the target{adapted}. The number is the Wasserstein distance before adaptation, in standard"
            " deviations of the source.",
        ),
        "view": (
            "The widest latent space",
            "Latents of both domains in the plane of their greatest joint variance. Each dot is one position in one"
            " tile.",
        ),
        "agreement": (
            "Do the measures agree?",
            "Rank correlation over layers, without adaptation: 1 means that two measures rank the layers in the"
            " same order.",
        ),
        "proportions": (
            "Class proportions of the target",
            "The network is adapted to a few tiles for one trial share q of a class after another. Left: the share"
            " f(q) that it then predicts; on the dashed line, network and q agree. Right: the difference between its"
            " outputs and those of the source's classes in proportions q, over all pixels (distance) and with equal"
            " weight for every class (mismatch). The share that explains the outputs is used if no other one does and"
            " both halves of the tiles agree, otherwise the source's.",
        ),
    }[name]


def layer_table(findings: LatentFindings, measure: str) -> Table:
    """Every latent space in a measure, by state, with standard errors."""
    states = dict.fromkeys(row.state for row in findings.rows)
    columns = [findings.of(measure, state) for state in states]
    rows = [
        [layer, str(columns[0][depth].channels), *(_value(column[depth]) for column in columns)]
        for depth, layer in enumerate(findings.layers)
    ]
    return Table(["latent space", "channels", *(STATES[state] for state in states)], rows)


def _value(row: LayerDistance) -> str:
    return f"{row.value:.3f} ± {row.standard_error:.3f}"


def _csv(findings: LatentFindings) -> str:
    stream = StringIO(newline="")
    writer = csv.DictWriter(stream, [field.name for field in fields(LayerDistance)])
    writer.writeheader()
    writer.writerows(asdict(row) for row in findings.rows)
    return stream.getvalue()
