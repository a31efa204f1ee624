"""A plain document of headings, text, tables and pictures, as HTML and as Markdown."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; }
td:nth-child(n+3), th:nth-child(n+3) { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; } code { font-size: .85em; background: #f4f4f4; padding: .1em .3em; }
"""


class Part(ABC):
    """A part of a document."""

    @abstractmethod
    def html(self) -> str:
        """As HTML."""

    @abstractmethod
    def markdown(self) -> str:
        """As Markdown, without a line break at the end."""


@dataclass(frozen=True)
class Heading(Part):
    """A heading below the title."""

    text: str

    def html(self) -> str:
        return f"<h2>{escape(self.text)}</h2>"

    def markdown(self) -> str:
        return f"## {self.text}"


@dataclass(frozen=True)
class Paragraph(Part):
    """Plain text."""

    text: str

    def html(self) -> str:
        return f"<p>{escape(self.text)}</p>"

    def markdown(self) -> str:
        return self.text


@dataclass(frozen=True)
class Code(Part):
    """A command, as it is typed."""

    text: str

    def html(self) -> str:
        return f"<p><code>{escape(self.text)}</code></p>"

    def markdown(self) -> str:
        return f"    {self.text}"


@dataclass(frozen=True)
class Bullets(Part):
    """A list of sentences."""

    items: Sequence[str]

    def html(self) -> str:
        return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in self.items)}</ul>"

    def markdown(self) -> str:
        return "\n".join(f"- {item}" for item in self.items)


@dataclass(frozen=True)
class Picture(Part):
    """A picture by its path from beside the document."""

    path: str
    title: str

    def html(self) -> str:
        return f"<img src='{escape(self.path)}' alt='{escape(self.title)}'>"

    def markdown(self) -> str:
        return f"![{self.title}]({self.path})"


@dataclass(frozen=True)
class Link(Part):
    """A file beside the document."""

    path: str
    text: str

    def html(self) -> str:
        return f"<p><a href='{escape(self.path)}'>{escape(self.text)}</a></p>"

    def markdown(self) -> str:
        return f"[{self.text}]({self.path})"


@dataclass(frozen=True)
class Table(Part):
    """A table of texts."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def html(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in self.header)
        cells = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows)
        return f"<table><tr>{head}</tr>{cells}</table>"

    def markdown(self) -> str:
        """Columns aligned."""
        widths = [max(map(len, column)) for column in zip(self.header, *self.rows, strict=True)]
        lines = [self.header, ["-" * width for width in widths], *self.rows]
        return "\n".join(
            f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines
        )


@dataclass(frozen=True)
class Document:
    """A title and what follows it."""

    title: str
    parts: Sequence[Part]

    def html(self) -> str:
        """A whole page."""
        return (
            f"<!doctype html><meta charset='utf-8'><title>{escape(self.title)}</title><style>{STYLE}</style>"
            f"<h1>{escape(self.title)}</h1>{''.join(part.html() for part in self.parts)}\n"
        )

    def markdown(self) -> str:
        """A whole file."""
        return "\n\n".join([f"# {self.title}", *(part.markdown() for part in self.parts)]) + "\n"
