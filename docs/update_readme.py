"""Put the results of a finished demo on real images into README.md and docs/: `make readme`."""

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
MARKED = re.compile(r"(<!-- demo-em -->\n).*?(<!-- /demo-em -->)", re.DOTALL)
PICTURE = "flyem-to-vnc-dtype-seed1.png"


def update_readme(results: Path) -> None:
    """Copy results.json and the README's picture into docs/demo-em, and the table into README.md."""
    kept = ROOT / "docs" / "demo-em"
    kept.mkdir(exist_ok=True)
    for name in ("results.json", PICTURE):
        shutil.copy(results / name, kept / name)
    readme = ROOT / "README.md"
    table = (results / "table.md").read_text(encoding="utf-8")
    text = readme.read_text(encoding="utf-8")
    readme.write_text(MARKED.sub(lambda marks: f"{marks[1]}{table}{marks[2]}", text), encoding="utf-8")


if __name__ == "__main__":
    update_readme(Path(sys.argv[1]))
