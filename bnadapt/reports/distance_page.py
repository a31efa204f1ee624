"""The picture page and the table of the distances between two domains."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

import imageio.v3
import numpy as np

from bnadapt.distances import LayerDistance
from bnadapt.files import atomic_folder
from bnadapt.reports.document import Bullets, Document, Heading, Link, Paragraph, Picture, Table
from bnadapt.reports.latents import LatentFindings, sentences

CAPTIONS = {
    "depth": (
        "Along the network",
        "Every distance in the latent spaces, in the order in which the network computes them. Red: source against"
        " target in the source network. Blue: source, in the source network, against target in the adapted one: what"
        " adaptation leaves. Grey: one half of the source's tiles against the other, the noise floor. Bands are one"
        " standard error, from tile to tile.",
    ),
    "map": (
        "Where it stands out",
        "The same distances in units of the noise floor, which makes measures and layers comparable. Black is no"
        " difference.",
    ),
    "densities": (
        "What moves",
        "In the layers that moved most, the channel that moved most: the density of its values in the source, and in"
        " the target without and with adaptation. The number is the Wasserstein distance before adaptation, in"
        " standard deviations of the source.",
    ),
    "view": (
        "The widest latent space",
        "Latents of both domains in the plane in which all of them together vary most. A dot is one position in"
        " one tile.",
    ),
    "agreement": (
        "Do the measures agree?",
        "Rank correlation over layers, without adaptation: 1 means that two measures put the layers into one order.",
    ),
    "proportions": (
        "Class proportions of the target",
        "The network is adapted to a few tiles for one share q of a class after the other. Left: the share f(q) that it"
        " then predicts; where it lies on the dashed line, network and q agree. Right: uncertain pixels per boundary,"
        " u(q). Of the shares that nearly agree, the one with the least u is taken.",
    ),
}


def write_distances(findings: LatentFindings, pictures: Mapping[str, np.ndarray], folder: Path) -> None:
    """Write `distances.csv`, pictures, `index.html` and the same as `README.md` into a folder, all or nothing.

    Args:
        findings: what was measured.
        pictures: see `distance_figures.pictures`.
        folder: made if need be; files of these names are replaced, pictures that an earlier run has left removed.
    """
    with atomic_folder(folder) as partial:
        with (partial / "distances.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, [field.name for field in fields(LayerDistance)])
            writer.writeheader()
            writer.writerows(asdict(row) for row in findings.rows)
        for name, drawn in pictures.items():
            imageio.v3.imwrite(partial / f"{name}.png", drawn)
        page = document(findings, list(pictures))
        (partial / "index.html").write_text(page.html(), encoding="utf-8")
        (partial / "README.md").write_text(page.markdown(), encoding="utf-8")
    for name in CAPTIONS.keys() - pictures.keys():
        (folder / f"{name}.png").unlink(missing_ok=True)


def document(findings: LatentFindings, pictures: Sequence[str]) -> Document:
    """The page: what was found in sentences, the pictures of these names, and a table of the main measure."""
    measured = (
        f"Measured on {findings.tiles['source']} tiles of {findings.source} and {findings.tiles['target']} of"
        f" {findings.target}, without labels."
    )
    illustrated = [
        part
        for name in pictures
        for title, caption in [CAPTIONS[name]]
        for part in (Heading(title), Paragraph(caption), Picture(f"{name}.png", title))
    ]
    return Document(
        f"{findings.source} and {findings.target}, layer by layer",
        [
            Bullets(sentences(findings)),
            Paragraph(measured),
            *illustrated,
            Heading(f"{findings.main_measure()} by layer"),
            summary_table(findings),
            Link("distances.csv", "All distances: distances.csv"),
        ],
    )


def summary_table(findings: LatentFindings) -> Table:
    """Every latent space in the main measure, by state, with standard errors."""
    measure = findings.main_measure()
    states = dict.fromkeys(row.state for row in findings.rows)
    columns = [findings.of(measure, state) for state in states]
    rows = [
        [layer, str(columns[0][depth].channels), *(_value(column[depth]) for column in columns)]
        for depth, layer in enumerate(findings.layers)
    ]
    return Table(["latent space", "channels", *states], rows)


def _value(row: LayerDistance) -> str:
    return f"{row.value:.3f} ± {row.standard_error:.3f}"
