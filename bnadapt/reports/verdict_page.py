"""The page of a recommendation: what to do, whether it helps, and the same crops under every candidate."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import imageio.v3
import numpy as np
import torch
from matplotlib.figure import Figure

from bnadapt.files import atomic_folder
from bnadapt.gain import CANDIDATES, CandidateResults, Verdict
from bnadapt.reports.document import Answer, Bullets, Document, Heading, Link, Paragraph, Picture, Table
from bnadapt.reports.rendering import rendered

CROPS = 3


def write_verdict(verdict: Verdict, results: CandidateResults, target: str, folder: Path) -> None:
    """Write `recommendation.json`, pictures, `index.html` and the same as `README.md` into a folder, all or nothing.

    Args:
        verdict: to write down.
        results: that it rests on.
        target: name of the domain.
        folder: made if need be; files of these names are replaced.
    """
    with atomic_folder(folder) as partial:
        (partial / "recommendation.json").write_text(
            json.dumps(verdict_record(verdict), indent=2) + "\n", encoding="utf-8"
        )
        imageio.v3.imwrite(partial / "crops.png", rendered(crops_figure(verdict, results)))
        imageio.v3.imwrite(partial / "expected.png", rendered(expected_figure(verdict)))
        page = document(verdict, target)
        (partial / "index.html").write_text(page.html(), encoding="utf-8")
        (partial / "README.md").write_text(page.markdown(), encoding="utf-8")


def verdict_record(verdict: Verdict) -> dict[str, Any]:
    """A recommendation in plain types."""
    return {
        "sentence": verdict.sentence(),
        "choice": verdict.choice,
        "abstains": verdict.abstains,
        "labelled_tiles": verdict.labelled,
        "labelled_tiles_needed": verdict.needed,
        "known_cases": asdict(verdict.known),
        "exchanged": verdict.prediction.exchanged,
        "expected": {name: asdict(each) for name, each in verdict.expected.items()},
        "measured": {name: asdict(each) for name, each in verdict.measured.items()},
        "alarms": [asdict(each) for each in verdict.alarms],
        "differences": list(verdict.reasons),
    }


def document(verdict: Verdict, target: str) -> Document:
    """The page: the sentence, alarms, crops, and what every candidate gains, or scores on labelled tiles."""
    alarms = [Bullets([f"{each.name}: {each.sentence}" for each in verdict.alarms])] if verdict.alarms else []
    return Document(
        f"Will adaptation to {target} help?",
        [
            Answer(verdict.sentence()),
            *alarms,
            Heading("The same crops under every candidate"),
            Paragraph(
                "Yellow is predicted as foreground. On the right, the share of the candidates that do so: where it is"
                " neither dark nor bright, they disagree."
            ),
            Picture("crops.png", "Crops under every candidate"),
            Heading("What to expect"),
            *_expectations(verdict),
            Link("recommendation.json", "The same as JSON: recommendation.json"),
        ],
    )


def crops_figure(verdict: Verdict, results: CandidateResults) -> Figure:
    """A row for each of a few tiles: the image, every candidate's prediction, and the share that predict foreground."""
    by_name = results.by_name
    columns = ["image", *by_name, "share"]
    images = next(iter(by_name.values())).seen.images[:CROPS, 0]
    figure = Figure(figsize=(1.5 * len(columns), 1.5 * len(images) + 0.4), layout="constrained")
    panels = figure.subplots(len(images), len(columns), squeeze=False)
    maps = {name: (each.seen.classes[:CROPS] > 0).float() for name, each in by_name.items()}
    shown: Mapping[str, torch.Tensor] = {"image": images, **maps, "share": torch.stack(list(maps.values())).mean(0)}
    for column, (name, pictures) in enumerate(shown.items()):
        for row, picture in enumerate(pictures.numpy()):
            limits = {} if name == "image" else {"vmin": 0, "vmax": 1}
            panels[row][column].imshow(picture, cmap="gray" if name == "image" else "viridis", **limits)
            panels[row][column].axis("off")
        mark = " *" if name == verdict.choice else ""
        panels[0][column].set_title(f"{name}{mark}".replace("-", "-\n"), fontsize=12)  # the page shows it half as large
    return figure


def expected_figure(verdict: Verdict) -> Figure:
    """Measured IoU of every candidate, or its expected gain, with its interval."""
    shown = _values(verdict)
    figure = Figure(figsize=(6.4, 0.3 * len(shown) + 0.8), layout="constrained")
    axes = figure.subplots()
    for row, (name, (value, low, high)) in enumerate(reversed(shown.items())):
        colour = "#00798c" if name == verdict.choice else "#888888"
        axes.plot([low, high], [row, row], color=colour, linewidth=3, alpha=0.5)
        axes.plot(value, row, "o", color=colour)
    axes.set_yticks(np.arange(len(shown)), list(shown)[::-1], fontsize=8)
    if not verdict.measured:
        axes.axvline(0, color="#aaaaaa", linewidth=1)
    axes.set_xlabel("foreground IoU" if verdict.measured else "foreground IoU minus that without adaptation")
    axes.grid(alpha=0.3)
    return figure


def _expectations(verdict: Verdict) -> list[Any]:
    """What the picture and the table show, and these."""
    if verdict.measured:
        said = f"Foreground IoU on {verdict.labelled} labelled tiles, with 90 % intervals; the choice is marked."
        column = "IoU"
    else:
        said = (
            "Foreground IoU minus that without adaptation, predicted, with 90 % intervals; the choice is marked. Where"
            " an interval holds both gains and losses, only labels can settle it. The probability that bright and dark"
            f" are exchanged is {verdict.prediction.exchanged:.0%}."
        )
        column = "gain"
    rows = [
        [name, CANDIDATES[name].title, f"{value:.2f}", f"{low:.2f} to {high:.2f}"]
        for name, (value, low, high) in _values(verdict).items()
    ]
    return [
        Paragraph(said),
        Picture("expected.png", f"{column} of every candidate"),
        Table(["candidate", "what it does", column, "90 % interval"], rows),
    ]


def _values(verdict: Verdict) -> dict[str, tuple[float, float, float]]:
    """Measured IoU by candidate, or else expected gain, each with its interval."""
    if verdict.measured:
        return {name: (each.iou, each.low, each.high) for name, each in verdict.measured.items()}
    return {name: (each.gain, each.low, each.high) for name, each in verdict.expected.items()}
