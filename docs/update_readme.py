"""Put results into README.md and docs/: of a finished demo on real images, and of the benchmarks. `make readme`."""

import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURE = "flyem-to-vnc-dtype-seed1.png"


def replace(page: Path, mark: str, content: str) -> None:
    """Put content between `<!-- mark -->` and `<!-- /mark -->`."""
    marked = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
    text = page.read_text(encoding="utf-8")
    page.write_text(marked.sub(lambda marks: f"{marks[1]}{content}{marks[2]}", text), encoding="utf-8")


def update_demo(results: Path) -> None:
    """Copy results.json and the README's picture into docs/demo-em, and the table into README.md."""
    kept = ROOT / "docs" / "demo-em"
    kept.mkdir(exist_ok=True)
    for name in ("results.json", PICTURE):
        shutil.copy(results / name, kept / name)
    replace(ROOT / "README.md", "demo-em", (results / "table.md").read_text(encoding="utf-8"))


def update_batchnorm() -> None:
    """The tables of the BatchNorm benchmark, of every device that it has run on."""
    parts = []
    for path in sorted((ROOT / "benchmarks" / "results").glob("batchnorm-*.json")):
        results = json.loads(path.read_text(encoding="utf-8"))
        device = f"{results['device']}, {results['processor']}, torch {results['torch']}"
        for case, tables in results["cases"].items():
            parts += [f"### {case} ({device})\n", *(f"{title}:\n\n{table(rows)}" for title, rows in tables.items())]
        parts.append(f"### Memory added to the peak ({device})\n\n{table(results['peak memory'])}")
    replace(ROOT / "docs" / "batchnorm.md", "batchnorm", "\n".join(parts))


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as Markdown, numbers with three digits."""
    cells = [[head.replace("|", "\\|") for head in rows[0]], ["---"] * len(rows[0])]
    cells += [[f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


if __name__ == "__main__":
    if Path(sys.argv[1]).exists():
        update_demo(Path(sys.argv[1]))
    update_batchnorm()
