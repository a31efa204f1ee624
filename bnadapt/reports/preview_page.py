"""The page of a preview: some regions of a target under every candidate, and the commands that follow."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import imageio.v3
from matplotlib.figure import Figure

from bnadapt.data.drawn_tiles import Place
from bnadapt.files import atomic_folder
from bnadapt.gain import CANDIDATES
from bnadapt.reports.document import Answer, Code, Document, Folded, Heading, Paragraph, Part, Picture, Table
from bnadapt.reports.panels import OF_CLASSES, Panel, grey_levels, outlined_panel, panel_grid, share_panel
from bnadapt.reports.preview import Preview
from bnadapt.reports.rendering import rendered

COLUMNS, SIDE, DPI = 4, 2.6, 200


class Commands(NamedTuple):
    """What can be typed after a preview.

    Attributes:
        segmenting: all of the target under every candidate, by its name.
        recommend: for a verdict; None where there can be none.
        source_summary: that adds to the checkpoint what is not known of its source.
    """

    segmenting: Mapping[str, Sequence[str]]
    recommend: str | None
    source_summary: str


def write_preview(preview: Preview, commands: Commands, folder: Path) -> None:
    """Write pictures, `index.html` and the same as `README.md` into a folder, all or nothing.

    Args:
        preview: to show.
        commands: that follow.
        folder: made if need be; files of these names are replaced, pictures of further regions removed.
    """
    with atomic_folder(folder) as partial:
        for number in range(len(preview.places)):
            for name, figure in _figures(preview, number):
                imageio.v3.imwrite(partial / name, rendered(figure))
        page = document(preview, commands)
        (partial / "index.html").write_text(page.html(), encoding="utf-8")
        (partial / "README.md").write_text(page.markdown(), encoding="utf-8")
        written = {each.name for each in partial.iterdir()}
    for left in [*folder.glob("region-*.png"), *folder.glob("probability-*.png")]:
        if left.name not in written:
            left.unlink()


def foreground_sentence(preview: Preview) -> str:
    """What the candidates make of the regions together, in a sentence."""
    shares = {name: float(each.mean()) for name, each in preview.foreground.items()}
    least, most = min(shares, key=shares.get), max(shares, key=shares.get)
    where = f"{_counted(len(preview.places), 'region')} of {preview.target}"
    if len(shares) == 1:
        return f"On {where}, {shares[most]:.1%} is foreground under the candidate {most}."
    differing = float((preview.disagreement > 0).double().mean())
    apart = ", those that invert the images apart," if len(preview.compared) < len(shares) else ""
    return (
        f"On {where}, foreground goes from {shares[least]:.1%} ({least}) to {shares[most]:.1%} ({most}); the"
        f" candidates{apart} disagree on {differing:.1%} of the pixels."
    )


def document(preview: Preview, commands: Commands) -> Document:
    """The page: a sentence, what is left out, shares of foreground, a picture of every region, what to type next."""
    return Document(
        f"Preview of {preview.target}",
        [
            Answer(foreground_sentence(preview)),
            *_left_out(preview, commands.source_summary),
            Heading("Share of foreground in every region"),
            _table(preview),
            Paragraph(
                f"BatchNorm statistics rest on the same {_counted(preview.tiles, 'tile')} as those of bnadapt adapt."
            ),
            Heading("Regions"),
            Paragraph(
                f"Outlined and tinted is what is predicted as foreground{_legend(preview)}, with its share of the"
                " region."
                " Where candidates (those that invert the images apart) disagree, the last panel is bright: look there."
                " Rows, columns and the sections of a volume are counted from 0, in pixels of the file."
            ),
            *(part for number in range(len(preview.places)) for part in _region(preview, number)),
            Heading("Segment all of it"),
            Paragraph("Take the candidate whose outlines follow what you see in most regions."),
            *_following(commands),
        ],
    )


def region_figure(preview: Preview, number: int) -> Figure:
    """A region: the image, what every candidate predicts, and where they disagree."""
    grey = grey_levels(preview.images[number])
    panels = {"image": Panel(grey, "gray", 0, 1)}
    for name, classes in preview.classes.items():
        panels[f"{name}, {preview.foreground[name][number]:.1%}"] = outlined_panel(grey, classes[number].numpy())
    if len(preview.classes) > 1:
        panels["where they disagree"] = share_panel(preview.disagreement[number].numpy(), 0.5)
    return _grid(panels)


def probability_figure(preview: Preview, number: int) -> Figure:
    """A region: the probability of foreground under every candidate."""
    image = {"image": Panel(grey_levels(preview.images[number]), "gray", 0, 1)}
    maps = preview.probabilities.items()
    return _grid(image | {name: share_panel(1 - each[number, 0].numpy(), 1) for name, each in maps})


def _grid(panels: Mapping[str, Panel]) -> Figure:
    figure = panel_grid(panels, COLUMNS, SIDE)
    figure.set_dpi(DPI)
    return figure


def _figures(preview: Preview, number: int) -> Iterator[tuple[str, Figure]]:
    yield f"region-{number + 1}.png", region_figure(preview, number)
    yield f"probability-{number + 1}.png", probability_figure(preview, number)


def _region(preview: Preview, number: int) -> list[Part]:
    title = f"Region {number + 1}: {_where(preview.places[number])}"
    probability = Picture(f"probability-{number + 1}.png", f"Probability of foreground in region {number + 1}")
    return [
        Paragraph(title),
        Picture(f"region-{number + 1}.png", title),
        Folded(f"Probability of foreground in region {number + 1}: dark 0, bright 1", [probability]),
    ]


def _where(place: Place) -> str:
    rows, columns = (f"{each.start} to {each.stop - 1}" for each in (place.rows, place.columns))
    return f"{place.section}, rows {rows}, columns {columns}"


def _table(preview: Preview) -> Table:
    regions = [str(number + 1) for number in range(len(preview.places))]
    rows = [
        [name, CANDIDATES[name].title, *(f"{share:.1%}" for share in shares.tolist()), f"{float(shares.mean()):.1%}"]
        for name, shares in preview.foreground.items()
    ]
    return Table(["candidate", "what it does", *regions, "mean"], rows)


def _legend(preview: Preview) -> str:
    """Colours of the classes, where there are several above 0."""
    count = next(iter(preview.probabilities.values())).shape[1] - 1
    colours = ", ".join(f"{label} {name}" for label, name in zip(range(1, count + 1), OF_CLASSES, strict=False))
    return f" (class {colours})" if count > 1 else ""


def _left_out(preview: Preview, command: str) -> list[Part]:
    """Which candidates are, why, and how to get them."""
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
        yield Folded(f"{name}: {CANDIDATES[name].title}", [Code(line) for line in lines])
    if commands.recommend:
        yield Paragraph("Which one to expect the best IoU of, without labels:")
        yield Code(commands.recommend)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
