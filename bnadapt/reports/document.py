"""A plain document of headings, text, tables and pictures, as Markdown and, rendered from that, as HTML."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; }
td:nth-child(n+3), th:nth-child(n+3) { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; } pre { overflow-x: auto; } code { font-size: .85em; background: #f4f4f4; padding: .1em .3em; }
"""


class Part(ABC):
    """A part of a document."""

    @abstractmethod
    def markdown(self) -> str:
        """As Markdown, without a line break at the end."""


@dataclass(frozen=True)
class Heading(Part):
    """A heading below the title."""

    text: str

    def markdown(self) -> str:
        return f"## {_plain(self.text)}"


@dataclass(frozen=True)
class Paragraph(Part):
    """Plain text."""

    text: str

    def markdown(self) -> str:
        return _plain(self.text)


@dataclass(frozen=True)
class Answer(Part):
    """What a page says in a sentence: it opens with that."""

    text: str

    def markdown(self) -> str:
        return f"**{_plain(self.text)}**"


@dataclass(frozen=True)
class Code(Part):
    """A command, as it is typed."""

    text: str

    def markdown(self) -> str:
        return f"    {self.text}"


@dataclass(frozen=True)
class Bullets(Part):
    """A list of sentences."""

    items: Sequence[str]

    def markdown(self) -> str:
        return "\n".join(f"- {_plain(item)}" for item in self.items)


@dataclass(frozen=True)
class Picture(Part):
    """A picture by its path from beside the document."""

    path: str
    title: str

    def markdown(self) -> str:
        return f"![{_plain(self.title)}]({_target(self.path)})"


@dataclass(frozen=True)
class Link(Part):
    """A file beside the document."""

    path: str
    text: str

    def markdown(self) -> str:
        return f"[{_plain(self.text)}]({_target(self.path)})"


@dataclass(frozen=True)
class Table(Part):
    """A table of texts."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Columns aligned."""
        cells = [[_plain(cell).replace("|", "\\|") for cell in row] for row in (self.header, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [cells[0], ["-" * width for width in widths], *cells[1:]]
        return "\n".join(
            f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines
        )


@dataclass(frozen=True)
class Folded(Part):
    """Parts that show once they are asked for."""

    title: str
    parts: Sequence[Part]

    def markdown(self) -> str:
        """Inside of HTML's element `details`, which GitHub's Markdown has too."""
        inside = "\n\n".join(part.markdown() for part in self.parts)
        return f"<details><summary>{escape(self.title)}</summary>\n\n{inside}\n\n</details>"


@dataclass(frozen=True)
class Document:
    """A title and what follows it."""

    title: str
    parts: Sequence[Part]

    def markdown(self) -> str:
        """A whole file."""
        return "\n\n".join([f"# {_plain(self.title)}", *(part.markdown() for part in self.parts)]) + "\n"

    def html(self) -> str:
        """A whole page."""
        from markdown_it import MarkdownIt

        body = MarkdownIt("commonmark").enable("table").render(self.markdown())
        return f"<!doctype html><meta charset='utf-8'><title>{escape(self.title)}</title><style>{STYLE}</style>\n{body}"


def _plain(text: str) -> str:
    """Text of which Markdown makes nothing but itself."""
    return re.sub(r"([\\`*<]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def _target(path: str) -> str:
    """A path as the target of a link; spaces and brackets would end it."""
    return f"<{path}>" if re.search(r"[\s()]", path) else path
