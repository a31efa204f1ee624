"""The page of a preview: some regions of a target under every candidate, and the commands that follow."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from bnadapt.data.drawn_tiles import Place
from bnadapt.gain import CANDIDATES
from bnadapt.reports.candidate_panels import LEGEND, MEANING, said_of_alike, tile_figure, tile_panels
from bnadapt.reports.document import Answer, Code, Document, Folded, Heading, Paragraph, Part, Picture, Table
from bnadapt.reports.page import rendered, write_page
from bnadapt.reports.panels import OF_CLASSES, Panel, grey_levels, share_panel
from bnadapt.reports.preview import Preview
from bnadapt.text import capitalised, counted


class Commands(NamedTuple):
    """Commands to type after a preview."""

    segmenting: Mapping[str, Sequence[str]]  # the whole target, by candidate
    self_training: Sequence[str]  # the same after self-training
    recommend: str | None  # None if there can be no verdict
    source_summary: str  # adds missing information on the source to the checkpoint


def write_preview(preview: Preview, commands: Commands, folder: Path) -> None:
    """Write figures, `index.html` and the same as `README.md` into a folder, all or nothing.

    The folder is created if missing; files of these names are replaced, and figures of further regions removed.
    """
    pictures = (picture for number in range(len(preview.places)) for picture in _pictures(preview, number))
    write_page(document(preview, commands), pictures, folder, replaced=["region-*.png", "probability-*.png"])


def foreground_sentence(preview: Preview) -> str:
    """Shares of foreground over all regions, in a sentence."""
    shares = {name: float(each.mean()) for name, each in preview.foreground.items()}
    least, most = min(shares, key=shares.get), max(shares, key=shares.get)
    label = {name: CANDIDATES[name].label for name in shares}
    where = f"{counted(len(preview.places), 'region')} of {preview.target}"
    if len(shares) == 1:
        return f"On {where}, {shares[most]:.1%} is foreground with {label[most]}."
    differing = float((preview.disagreement > 0).double().mean())
    apart = " (those aside that exchange bright and dark)" if len(preview.compared) < len(shares) else ""
    return (
        f"On {where}, foreground goes from {shares[least]:.1%} ({label[least]}) to {shares[most]:.1%} ({label[most]});"
        f" the candidates{apart} disagree on {differing:.1%} of the pixels."
    )


def document(preview: Preview, commands: Commands) -> Document:
    """The page: a sentence, what is left out, shares of foreground, a figure of every region, what to type next."""
    return Document(
        f"Preview of {preview.target}",
        [
            Answer(foreground_sentence(preview)),
            *_left_out(preview, commands.source_summary),
            Paragraph(MEANING),
            Heading("Share of foreground in every region"),
            _table(preview),
            Paragraph(
                f"BatchNorm statistics rest on the same {counted(preview.tiles, 'tile')} as those of bnadapt adapt."
            ),
            Heading("Regions"),
            Paragraph(
                f"{LEGEND}{_legend(preview)} Rows, columns and the sections of a volume are counted from 0, in pixels"
                " of the file."
            ),
            *(part for number in range(len(preview.places)) for part in _region(preview, number)),
            Heading("Segment all of it"),
            Paragraph("Take the candidate whose outlines follow what you see in most regions."),
            *_following(commands),
        ],
    )


def region_figure(preview: Preview, number: int) -> Figure:
    """A region: the image, where candidates disagree, and the predictions of those that look different."""
    disagreeing = preview.disagreement[number] if len(preview.classes) > 1 else None
    return tile_figure(tile_panels(preview.images[number], _classes(preview, number), disagreeing))


def probability_figure(preview: Preview, number: int) -> Figure:
    """A region: the probability of foreground under every candidate."""
    image = {"image": Panel(grey_levels(preview.images[number]), "gray", 0, 1)}
    maps = {CANDIDATES[name].label: each for name, each in preview.probabilities.items()}
    return tile_figure(image | {label: share_panel(1 - each[number, 0].numpy(), 1) for label, each in maps.items()})


def _pictures(preview: Preview, number: int) -> Iterator[tuple[str, np.ndarray]]:
    yield f"region-{number + 1}.png", rendered(region_figure(preview, number))
    yield f"probability-{number + 1}.png", rendered(probability_figure(preview, number))


def _region(preview: Preview, number: int) -> list[Part]:
    title = f"Region {number + 1}: {_where(preview.places[number])}"
    probability = Picture(f"probability-{number + 1}.png", f"Probability of foreground in region {number + 1}")
    return [
        Paragraph(title),
        Picture(f"region-{number + 1}.png", title),
        *said_of_alike(_classes(preview, number)),
        Folded(f"Probability of foreground in region {number + 1}: dark 0, bright 1", [probability]),
    ]


def _where(place: Place) -> str:
    rows, columns = (f"{each.start} to {each.stop - 1}" for each in (place.rows, place.columns))
    return f"{place.section}, rows {rows}, columns {columns}"


def _table(preview: Preview) -> Table:
    regions = [str(number + 1) for number in range(len(preview.places))]
    rows = [
        [CANDIDATES[name].label, name, *(f"{share:.1%}" for share in shares.tolist()), f"{float(shares.mean()):.1%}"]
        for name, shares in preview.foreground.items()
    ]
    return Table(["candidate", "its name in commands", *regions, "mean"], rows)


def _legend(preview: Preview) -> str:
    """Colours of the classes, if there are several above 0."""
    count = next(iter(preview.probabilities.values())).shape[1] - 1
    colours = ", ".join(f"{label} {name}" for label, name in zip(range(1, count + 1), OF_CLASSES, strict=False))
    return f" Colours: class {colours}." if count > 1 else ""


def _classes(preview: Preview, number: int) -> dict[str, Tensor]:
    """(h, w) predicted of a region, by the candidate's name."""
    return {name: each[number] for name, each in preview.classes.items()}


def _left_out(preview: Preview, command: str) -> list[Part]:
    """Candidates that are left out, why, and how to get them."""
    if not preview.left_out:
        return []
    missing: dict[str, list[str]] = {}
    for name, what in preview.left_out.items():
        missing.setdefault(what, []).append(name)
    why = "; ".join(f"{', '.join(names)} would need {what}" for what, names in missing.items())
    return [
        Paragraph(f"Left out, because the checkpoint does not hold what they need: {why}. This adds it:"),
        Code(command),
    ]


def _following(commands: Commands) -> Iterator[Part]:
    for name, lines in commands.segmenting.items():
        yield Folded(capitalised(CANDIDATES[name].title), [Code(line) for line in lines])
    yield Folded(
        "Adapt all layers, then self-train",
        [
            Paragraph(
                "This also trains the network, on its own confident predictions of the target; it is not drawn above."
            ),
            *map(Code, commands.self_training),
        ],
    )
    if commands.recommend:
        yield Paragraph("Which one to expect the best IoU of, without labels:")
        yield Code(commands.recommend)
