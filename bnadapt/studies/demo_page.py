"""The table and the picture page of the demo, drawn from its `results.json`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from bnadapt.reports.document import Code, Document, Heading, Paragraph, Picture, Table

COLUMNS = {
    "source_unadapted": "source IoU",
    "target_unadapted": "target IoU without",
    "target_adapted": "target IoU with adaptation",
    "gain": "gain",
}


def write_page(folder: Path) -> str:
    """Write `table.md` and `index.html` into the folder of a finished demo.

    Returns:
        What the demo prints: the table and the path of the page.
    """
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    scores = table(results["records"])
    (folder / "table.md").write_text(f"{scores.markdown()}\n", encoding="utf-8")
    (folder / "index.html").write_text(_page(scores, results).html(), encoding="utf-8")
    return f"\n{scores.markdown()}\n\nPictures: {folder / 'index.html'}"


def table(records: Sequence[Mapping[str, Any]]) -> Table:
    """A row per config and intensity: mean, and standard deviation over seeds where there are more."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault((record["config"], record["intensity"]), []).append(record)
    rows = [
        [
            config,
            intensity,
            *(spread([record[column] for record in group], signed=column == "gain") for column in COLUMNS),
            f"{mean(record['adaptation_seconds'] for record in group):.1f}",
            str(len(group)),
        ]
        for (config, intensity), group in groups.items()
    ]
    return Table(["transfer", "intensity", *COLUMNS.values(), "seconds to adapt", "seeds"], rows)


def spread(values: Sequence[float], signed: bool) -> str:
    """Mean and, of several values, sample standard deviation."""
    centre = f"{mean(values):+.3f}" if signed else f"{mean(values):.3f}"
    return f"{centre} ± {stdev(values):.3f}" if len(values) > 1 else centre


def _page(scores: Table, results: Mapping[str, Any]) -> Document:
    pictures = [
        part
        for record in results["records"]
        for name in [f"{record['config']}-{record['intensity']}-seed{record['seed']}"]
        for part in (
            Heading(name),
            Paragraph(
                f"target IoU {record['target_unadapted']:.3f} without, {record['target_adapted']:.3f} with adaptation"
            ),
            Picture(f"{name}.png", name),
        )
    ]
    return Document(
        "BatchNorm adaptation, before and after",
        [
            Paragraph(
                "A network is trained on the source. Adaptation re-estimates its BatchNorm statistics on images of the"
                " target, without masks; every weight stays. IoU of the foreground on test blocks that neither training"
                " nor adaptation has read; ± is the standard deviation over seeds."
            ),
            scores,
            Paragraph(
                "Pictures: the first test tile of the target. Red pixels are foreground only with adaptation, blue ones"
                " only without."
            ),
            *pictures,
            Paragraph("Made by:"),
            Code(results["command"]),
        ],
    )
