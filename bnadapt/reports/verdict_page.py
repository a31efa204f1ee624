"""The page of a recommendation: what to do, whether it helps, and the same tiles under every candidate."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from bnadapt.gain import CANDIDATES, CandidateResults, Verdict
from bnadapt.gain.agreement import disagreement
from bnadapt.gain.candidates import NONE
from bnadapt.reports.candidate_panels import LEGEND, MEANING, said_of_alike, tile_figure, tile_panels
from bnadapt.reports.document import (
    Answer,
    Bullets,
    Code,
    Document,
    Folded,
    Heading,
    Link,
    Paragraph,
    Part,
    Picture,
    Table,
)
from bnadapt.reports.page import rendered, write_page
from bnadapt.reports.panels import Panel
from bnadapt.text import capitalised

TILES = 3


def write_verdict(
    verdict: Verdict, results: CandidateResults, target: str, folder: Path, commands: Mapping[str, str]
) -> None:
    """Write `recommendation.json`, figures, `index.html` and the same as `README.md` into a folder, all or nothing.

    Args:
        verdict: the verdict.
        results: results that it rests on.
        target: name of the domain.
        folder: created if missing; files of these names are replaced.
        commands: to type next, by what is said above them.
    """
    record = json.dumps(verdict_record(verdict), indent=2) + "\n"
    page = document(verdict, results, target, commands)
    replaced = ["tile-*.png", "unlikely-*.png"]
    write_page(page, _pictures(verdict, results), folder, {"recommendation.json": record}, replaced)


def verdict_record(verdict: Verdict) -> dict[str, Any]:
    """A recommendation in plain types."""
    return {
        "sentence": verdict.sentence(),
        "choice": verdict.choice,
        "abstains": verdict.abstains,
        "labelled_tiles": verdict.labelled,
        "labelled_tiles_needed": verdict.needed,
        "known_cases": asdict(verdict.known),
        "known_cases_self_trained": asdict(verdict.self_trained),
        "advises_self_training": verdict.advises_self_training,
        "exchanged": verdict.prediction.exchanged,
        "expected": {name: asdict(each) for name, each in verdict.expected.items()},
        "measured": {name: asdict(each) for name, each in verdict.measured.items()},
        "alarms": [asdict(each) for each in verdict.alarms],
        "differences": list(verdict.reasons),
    }


def document(verdict: Verdict, results: CandidateResults, target: str, commands: Mapping[str, str]) -> Document:
    """The page: the sentence, warnings, what to type next, tiles, and gains or, on labelled tiles, scores."""
    warnings = [Bullets([f"{capitalised(each.name)}: {each.sentence}" for each in verdict.alarms])]
    return Document(
        f"Will adaptation to {target} help?",
        [
            Answer(verdict.sentence()),
            *(warnings if verdict.alarms else []),
            *(part for said, line in commands.items() for part in (Paragraph(f"{said}:"), Code(line))),
            Heading("The same tiles, segmented in every way"),
            Paragraph(MEANING),
            Paragraph(LEGEND),
            *(part for number in _drawn(results) for part in _tile(verdict, results, number)),
            Heading("What to expect"),
            *_expectations(verdict),
            Link("recommendation.json", "The same as JSON: recommendation.json"),
        ],
    )


def tiles_figure(verdict: Verdict, results: CandidateResults) -> Figure:
    """A few tiles: the image, where candidates disagree, and the predictions of those that look different."""
    panels = {
        f"{title} (tile {number + 1})": panel
        for number in _drawn(results)
        for title, panel in _likely_panels(verdict, results, number).items()
    }
    return tile_figure(panels)


def expected_figure(verdict: Verdict) -> Figure:
    """Measured IoU of every candidate, or its expected gain, with its interval."""
    shown = _values(verdict)
    figure = Figure(figsize=(8.4, 0.3 * len(shown) + 0.8), layout="constrained")
    axes = figure.subplots()
    for row, (name, (value, low, high)) in enumerate(reversed(shown.items())):
        colour = "#00798c" if name == verdict.choice else "#888888"
        axes.plot([low, high], [row, row], color=colour, linewidth=3, alpha=0.5)
        axes.plot(value, row, "o", color=colour)
    labels = [CANDIDATES[name].label for name in reversed(shown)]
    axes.set_yticks(np.arange(len(shown)), labels, fontsize=8)
    if not verdict.measured:
        axes.axvline(0, color="#aaaaaa", linewidth=1)
    axes.set_xlabel("IoU" if verdict.measured else "expected gain: IoU minus that without adaptation")
    axes.grid(alpha=0.3)
    return figure


def _pictures(verdict: Verdict, results: CandidateResults) -> Iterator[tuple[str, np.ndarray]]:
    for number in _drawn(results):
        yield f"tile-{number + 1}.png", rendered(tile_figure(_likely_panels(verdict, results, number)))
        if unlikely := _unlikely(verdict, results):
            panels = tile_panels(results.tiles[number], _classes(results, unlikely, number), None)
            yield f"unlikely-{number + 1}.png", rendered(tile_figure(panels))
    yield "expected.png", rendered(expected_figure(verdict))


def _drawn(results: CandidateResults) -> range:
    return range(min(TILES, len(results.tiles)))


def _tile(verdict: Verdict, results: CandidateResults, number: int) -> list[Part]:
    title = f"Tile {number + 1} under the candidates"
    alike = said_of_alike(_classes(results, _likely(verdict), number))
    parts: list[Part] = [Picture(f"tile-{number + 1}.png", title), *alike]
    if unlikely := _unlikely(verdict, results):
        title = f"Tile {number + 1} under candidates that are unlikely to help: {_listed(unlikely)}"
        parts.append(Folded(title, [Picture(f"unlikely-{number + 1}.png", title)]))
    return parts


def _likely(verdict: Verdict) -> list[str]:
    """Names of no adaptation, the choice, and the candidates with a predicted gain."""
    return list(dict.fromkeys([NONE, verdict.choice, *verdict.expected]))


def _unlikely(verdict: Verdict, results: CandidateResults) -> list[str]:
    """Names of the other candidates."""
    likely = _likely(verdict)
    return [name for name in results.by_name if name not in likely]


def _likely_panels(verdict: Verdict, results: CandidateResults, number: int) -> dict[str, Panel]:
    classes = _classes(results, _likely(verdict), number)
    upright = [each for name, each in classes.items() if not CANDIDATES[name].is_inverted]
    disagreeing = disagreement(upright, results[NONE].outputs.logits.shape[1])
    return tile_panels(results.tiles[number], classes, disagreeing, verdict.choice)


def _classes(results: CandidateResults, names: Sequence[str], number: int) -> dict[str, Tensor]:
    """(h, w) predicted on a tile, by the candidate's name."""
    return {name: results[name].outputs.classes[number] for name in names}


def _listed(names: Sequence[str]) -> str:
    return "; ".join(CANDIDATES[name].label for name in names)


def _expectations(verdict: Verdict) -> list[Part]:
    """What to expect of every candidate, in words, as a figure and as a table."""
    iou = "IoU is the overlap of predicted and true foreground over their union; 1 is perfect."
    if verdict.measured:
        tiles = (
            f"{verdict.labelled} labelled tiles" if verdict.labelled > 1 else "one labelled tile, which shows no spread"
        )
        said = f"{iou} It was measured on {tiles}; lines are 90 % intervals."
        column = "IoU"
    else:
        said = (
            f"{iou} Its gain over no adaptation is predicted from what was seen in known cases; lines are 90 %"
            " intervals. Where a line holds both gains and losses, only labels can settle it. The probability that"
            f" bright and dark are exchanged is {verdict.prediction.exchanged:.0%}."
        )
        column = "gain"
    rows = [
        [_marked(name, verdict), name, f"{value:.2f}", f"{low:.2f} to {high:.2f}"]
        for name, (value, low, high) in _values(verdict).items()
    ]
    return [
        Paragraph(said),
        Picture("expected.png", f"{column} of every candidate"),
        Table(["candidate", "its name for --choose", column, "90 % interval"], rows),
    ]


def _marked(name: str, verdict: Verdict) -> str:
    return f"{CANDIDATES[name].label} (recommended)" if name == verdict.choice else CANDIDATES[name].label


def _values(verdict: Verdict) -> dict[str, tuple[float, float, float]]:
    """Measured IoU by candidate, or else expected gain, each with its interval."""
    if verdict.measured:
        return {name: (each.iou, each.low, each.high) for name, each in verdict.measured.items()}
    return {name: (each.gain, each.low, each.high) for name, each in verdict.expected.items()}
