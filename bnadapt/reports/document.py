"""A simple document of headings, text, tables and pictures, as Markdown and as HTML.

Texts may come from files: names of folders, layers, classes. All pass through `plain` on their way to Markdown, and
HTML is rendered from that Markdown with pictures, links and tags disabled, so that a name is shown as it is and has no
effect.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import Any
from urllib.parse import quote

from bnadapt.text import in_a_line, visible

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; }
td { font-variant-numeric: tabular-nums; } td[style] { white-space: nowrap; }
img { max-width: 100%; } .wide { overflow-x: auto; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
code { font-size: .85em; background: #f4f4f4; padding: .1em .3em; }
"""
ACTIVE = (
    *("image", "link", "autolink", "html_inline", "html_block", "reference", "backticks"),
    *("heading", "lheading", "code", "fence", "hr", "blockquote"),
)
"""What Markdown makes of texts, and HTML is not to have; headings, pictures and links are written as HTML."""


class Part(ABC):
    """A part of a document."""

    @abstractmethod
    def markdown(self) -> str:
        """As Markdown, without a line break at the end."""

    def html(self) -> str:
        """As HTML."""
        return _markdown().render(self.markdown())

    def printed(self) -> str:
        """As printed in a terminal."""
        return self.markdown()


@dataclass(frozen=True)
class Heading(Part):
    """A heading below the title."""

    text: str

    def markdown(self) -> str:
        return f"## {plain(self.text)}"

    def html(self) -> str:
        return f"<h2>{_shown(self.text)}</h2>\n"


@dataclass(frozen=True)
class Paragraph(Part):
    """Plain text."""

    text: str

    def markdown(self) -> str:
        return _block(self.text)

    def printed(self) -> str:
        return self.text


@dataclass(frozen=True)
class Answer(Part):
    """The sentence that opens a page."""

    text: str

    def markdown(self) -> str:
        return f"**{plain(self.text)}**"

    def printed(self) -> str:
        return self.text


@dataclass(frozen=True)
class Code(Part):
    """A command, as it is typed."""

    text: str

    def markdown(self) -> str:
        return "\n".join(f"    {line}" for line in visible(self.text).split("\n"))

    def html(self) -> str:
        return f"<pre><code>{escape(visible(self.text))}\n</code></pre>\n"


@dataclass(frozen=True)
class Bullets(Part):
    """A list of sentences."""

    items: Sequence[str]

    def markdown(self) -> str:
        return "\n".join(f"- {_block(item)}" for item in self.items)

    def printed(self) -> str:
        return "\n".join(f"- {item}" for item in self.items)


@dataclass(frozen=True)
class Picture(Part):
    """A picture by its path relative to the document."""

    path: str
    title: str

    def markdown(self) -> str:
        return f"![{plain(self.title)}]({_address(self.path)})"

    def html(self) -> str:
        """A click shows it at full size."""
        address = _address(self.path)
        return f'<p><a href="{address}"><img src="{address}" alt="{_shown(self.title)}" /></a></p>\n'


@dataclass(frozen=True)
class Link(Part):
    """A file beside the document."""

    path: str
    text: str

    def markdown(self) -> str:
        return f"[{plain(self.text)}]({_address(self.path)})"

    def html(self) -> str:
        return f'<p><a href="{_address(self.path)}">{_shown(self.text)}</a></p>\n'


@dataclass(frozen=True)
class Table(Part):
    """A table of texts."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Columns aligned."""
        return _aligned([[plain(cell) for cell in row] for row in (self.header, *self.rows)])

    def html(self) -> str:
        """Scrolls if it is wider than the page."""
        return f'<div class="wide">{super().html()}</div>\n'

    def printed(self) -> str:
        return _aligned([[in_a_line(cell) for cell in row] for row in (self.header, *self.rows)])


@dataclass(frozen=True)
class Folded(Part):
    """Parts that are shown on request."""

    title: str
    parts: Sequence[Part]

    def markdown(self) -> str:
        """Inside HTML's element `details`, which GitHub's Markdown supports."""
        return self._around("\n\n".join(part.markdown() for part in self.parts) + "\n")

    def html(self) -> str:
        return self._around("".join(part.html() for part in self.parts)) + "\n"

    def _around(self, inside: str) -> str:
        return f"<details><summary>{_shown(self.title)}</summary>\n\n{inside}\n</details>"


@dataclass(frozen=True)
class Document:
    """A title and what follows it."""

    title: str
    parts: Sequence[Part]

    def markdown(self) -> str:
        """A whole file."""
        return "\n\n".join([f"# {plain(self.title)}", *(part.markdown() for part in self.parts)]) + "\n"

    def html(self) -> str:
        """A whole page."""
        title = _shown(self.title)
        head = f"<!doctype html><meta charset='utf-8'><title>{title}</title><style>{STYLE}</style>\n<h1>{title}</h1>\n"
        return head + "".join(part.html() for part in self.parts)


def plain(text: str) -> str:
    """Text in one line that every Markdown program renders as it is."""
    line = re.sub(r"&(?=#?\w+;)", "&amp;", in_a_line(text).strip()).replace("<", "&lt;").replace("|", "&#124;")
    return re.sub(r"([\\`*\[\]]|(?<!\w)_|_(?!\w)|~(?=~)|(?<=~)~)", r"\\\1", line)


def _block(text: str) -> str:
    """The same at the beginning of a line, where it must not start a list, heading, quotation or rule."""
    line = re.sub(r"^(?=>|[#+-](?:[\s#-]|$))", r"\\", plain(text))
    return re.sub(r"^(\d+)(?=[.)])", r"\1\\", line)


def _address(path: str) -> str:
    return quote(path, errors="surrogateescape")


def _shown(text: str) -> str:
    """Text in one line as HTML, also inside an attribute."""
    return escape(in_a_line(text))


def _aligned(cells: Sequence[Sequence[str]]) -> str:
    widths = [max(2, *map(len, column)) for column in zip(*cells, strict=True)]
    rules = ["-" * (width - right) + ":" * right for width, right in zip(widths, _numeric(cells[1:]), strict=True)]
    lines = [cells[0], rules, *cells[1:]]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines
    )


def _numeric(rows: Sequence[Sequence[str]]) -> list[bool]:
    """Whether a column has only numbers, which are right-aligned."""
    return [all(re.match(r"[+-]?\d|-?$", cell) for cell in column) for column in zip(*rows, strict=True)]


@cache
def _markdown() -> Any:
    """Renders paragraphs, lists and tables of plain text."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table").disable(ACTIVE)
