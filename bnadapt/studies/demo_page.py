"""The table and the picture page of the demo, drawn from its `results.json`."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from statistics import mean, stdev
from typing import Any

COLUMNS = {
    "source_unadapted": "source IoU",
    "target_unadapted": "target IoU without",
    "target_adapted": "target IoU with adaptation",
    "gain": "gain",
}

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; }
td:nth-child(n+3), th:nth-child(n+3) { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; } code { font-size: .85em; background: #f4f4f4; padding: .1em .3em; }
"""


def write_page(folder: Path) -> str:
    """Write `table.md` and `index.html` into the folder of a finished demo.

    Returns:
        What the demo prints: the table and the path of the page.
    """
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    header, *rows = table(results["records"])
    (folder / "table.md").write_text(markdown(header, rows), encoding="utf-8")
    (folder / "index.html").write_text(_page(header, rows, results), encoding="utf-8")
    return f"\n{markdown(header, rows)}\nPictures: {folder / 'index.html'}"


def table(records: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """A header, and a row per config and intensity: mean, and standard deviation over seeds where there are more."""
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
    return [["transfer", "intensity", *COLUMNS.values(), "seconds to adapt", "seeds"], *rows]


def spread(values: Sequence[float], signed: bool) -> str:
    """Mean and, of several values, sample standard deviation."""
    centre = f"{mean(values):+.3f}" if signed else f"{mean(values):.3f}"
    return f"{centre} ± {stdev(values):.3f}" if len(values) > 1 else centre


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, aligned to be read as it is."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    return "".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |\n"
        for line in lines
    )


def _page(header: Sequence[str], rows: Sequence[Sequence[str]], results: Mapping[str, Any]) -> str:
    cells = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    pictures = "".join(
        f"<h3>{escape(name)}</h3><p>target IoU {record['target_unadapted']:.3f} without,"
        f" {record['target_adapted']:.3f} with adaptation</p><img src='{escape(name)}.png' alt='{escape(name)}'>"
        for record in results["records"]
        for name in [f"{record['config']}-{record['intensity']}-seed{record['seed']}"]
    )
    return (
        "<!doctype html><meta charset='utf-8'><title>BatchNorm adaptation</title>"
        f"<style>{STYLE}</style><h1>BatchNorm adaptation, before and after</h1>"
        "<p>A network is trained on the source. Adaptation re-estimates its BatchNorm statistics on images of the"
        " target, without masks; every weight stays. IoU of the foreground on test blocks that neither training nor"
        " adaptation has read; ± is the standard deviation over seeds.</p>"
        f"<table><tr>{''.join(f'<th>{escape(name)}</th>' for name in header)}</tr>{cells}</table>"
        "<p>Pictures: the first test tile of the target. Red pixels are foreground only with adaptation, blue ones"
        f" only without.</p>{pictures}<p>Made by <code>{escape(results['command'])}</code></p>"
    )
