"""The page of a verdict: what to do, what to expect, and the same crops under every candidate."""

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
from bnadapt.gain import CANDIDATES, CandidateResults, Expectation, Verdict
from bnadapt.reports.document import Answer, Bullets, Document, Heading, Link, Paragraph, Picture, Table
from bnadapt.reports.rendering import rendered

CROPS = 3


def write_verdict(verdict: Verdict, results: CandidateResults, target: str, folder: Path) -> None:
    """Write `verdict.json`, pictures, `index.html` and the same as `README.md` into a folder, all or nothing.

    Args:
        verdict: to write down.
        results: that it rests on.
        target: name of the domain.
        folder: made if need be; files of these names are replaced.
    """
    with atomic_folder(folder) as partial:
        (partial / "verdict.json").write_text(json.dumps(verdict_record(verdict), indent=2) + "\n", encoding="utf-8")
        imageio.v3.imwrite(partial / "crops.png", rendered(crops_figure(verdict, results)))
        imageio.v3.imwrite(partial / "expected.png", rendered(expected_figure(verdict)))
        page = document(verdict, target)
        (partial / "index.html").write_text(page.html(), encoding="utf-8")
        (partial / "README.md").write_text(page.markdown(), encoding="utf-8")


def verdict_record(verdict: Verdict) -> dict[str, Any]:
    """A verdict in plain types."""
    return {
        "sentence": verdict.sentence(),
        "choice": verdict.choice,
        "abstains": verdict.abstains,
        "labelled_tiles": verdict.labelled,
        "labelled_tiles_needed": verdict.needed,
        "expected": {name: asdict(each) for name, each in verdict.expected.items()},
        "alarms": [asdict(each) for each in verdict.alarms],
        "differences": list(verdict.reasons),
    }


def document(verdict: Verdict, target: str) -> Document:
    """The page: the sentence, alarms, crops, and what is expected of every candidate."""
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
            Paragraph("Foreground IoU, with 90 % intervals; the choice is marked."),
            Picture("expected.png", "Expected IoU of every candidate"),
            Table(
                ["candidate", "what it does", "expected IoU", "90 % interval", "familiar"],
                [_row(name, each) for name, each in verdict.expected.items()],
            ),
            Link("verdict.json", "The same as JSON: verdict.json"),
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
    """Expected IoU of every candidate with its interval."""
    names = list(verdict.expected)[::-1]
    figure = Figure(figsize=(6.4, 0.3 * len(names) + 0.8), layout="constrained")
    axes = figure.subplots()
    for row, name in enumerate(names):
        each = verdict.expected[name]
        colour = "#00798c" if name == verdict.choice else "#888888"
        axes.plot([each.low, each.high], [row, row], color=colour, linewidth=3, alpha=0.5)
        axes.plot(each.iou, row, "o", color=colour)
    axes.set_yticks(np.arange(len(names)), names, fontsize=8)
    axes.set_xlim(0, 1)
    axes.set_xlabel("foreground IoU")
    axes.grid(alpha=0.3)
    return figure


def _row(name: str, expected: Expectation) -> list[str]:
    interval = f"{expected.low:.2f} to {expected.high:.2f}"
    familiar = "yes" if expected.familiar else "no"
    return [name, CANDIDATES[name].title, f"{expected.iou:.2f}", interval, familiar]
