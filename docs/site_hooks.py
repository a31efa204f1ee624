"""What the site has beyond docs: README.md, CONTRIBUTING.md, the commands' help, and no links that leave it."""

import re
import sys
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
OUTSIDE = {"README.md": "overview.md", "CONTRIBUTING.md": "contributing.md"}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made of files outside of docs, or of the code."""
    for path, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / path).read_text(encoding="utf-8")))
    files.append(File.generated(config, "commands.md", content=_commands()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links to where the pages are on the site; what is not on it is named without a link."""
    made_of = {page: path for path, page in OUTSIDE.items()}.get(page.file.src_uri)
    folder = PurePosixPath(made_of or f"docs/{page.file.src_uri}").parent

    def led(found: re.Match) -> str:
        text, link, anchor = found[1], found[2], found[3] or ""
        if "://" in link or link.startswith("mailto:"):
            return found[0]
        path = normpath(str(folder / link))
        if path in OUTSIDE:
            return f"[{text}]({_relative(OUTSIDE[path], page)}{anchor})"
        if path == "docs" or not path.startswith("docs/"):
            return f"{text} (`{path}` in the repository)"
        target = path.removeprefix("docs/")
        if (ROOT / path).is_dir():
            target = f"{target}/README.md"
        return f"[{text}]({_relative(target, page)}{anchor})"

    return LINK.sub(led, markdown)


def _relative(target: str, page: Any) -> str:
    depth = len(PurePosixPath(page.file.src_uri).parts) - 1
    return "../" * depth + target


def _commands() -> str:
    from bnadapt.commands.help import help_for, overview
    from bnadapt.commands.options import COMMANDS
    from bnadapt.studies import STUDIES

    texts = {"bnadapt": overview()}
    texts |= {f"bnadapt {name}": help_for([name, "--help"]) for name in COMMANDS if name != "study"}
    texts |= {f"bnadapt study {name}": help_for(["study", name, "--help"]) for name in STUDIES}
    parts = [f"## {name}\n\n```text\n{text}\n```\n" for name, text in texts.items()]
    return "# Commands\n\nWhat `--help` prints.\n\n" + "\n".join(parts)
