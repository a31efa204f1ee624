"""A document says the same as HTML and as Markdown."""

import pytest

from bnadapt.reports.document import Bullets, Code, Document, Heading, Link, Paragraph, Picture, Table

PARTS = [
    Bullets(["one <b>", "two"]),
    Heading("A heading"),
    Paragraph("a & b"),
    Code("bnadapt study --help"),
    Picture("depth.png", "Along the network"),
    Table(["name", "n"], [["first", "1"], ["second one", "22"]]),
    Link("table.csv", "All numbers"),
]


def test_html_is_escaped_and_whole():
    page = Document("A <title>", PARTS).html()
    assert page.startswith("<!doctype html>")
    assert "<h1>A &lt;title&gt;</h1>" in page
    assert "<li>one &lt;b&gt;</li>" in page
    assert "<p>a &amp; b</p>" in page
    assert '<img src="depth.png" alt="Along the network" />' in page
    assert page.count("<td>") == 4
    assert "<code>bnadapt study --help" in page
    assert '<a href="table.csv">All numbers</a>' in page


def test_markdown_is_to_be_read_as_it_is():
    lines = Document("A title", PARTS).markdown().splitlines()
    assert lines[0] == "# A title"
    assert "- two" in lines
    assert "![Along the network](depth.png)" in lines
    assert "    bnadapt study --help" in lines
    start = lines.index("| name       | n  |")
    assert lines[start + 1 : start + 4] == ["| ---------- | -- |", "| first      | 1  |", "| second one | 22 |"]


@pytest.mark.parametrize("text", ["a *b* c", "`a`", "<script>alert(1)</script>", "my_data_set and _other_", "a\\*b"])
def test_text_is_shown_as_it_is(text):
    from html import escape

    for part in (Paragraph(text), Bullets([text]), Heading(text), Table(["a"], [[text]])):
        assert escape(text, quote=False) in Document("title", [part]).html()


def test_cells_with_bars_and_paths_with_spaces():
    page = Document("title", [Table(["|mean|"], [["a | b"]]), Picture("my picture.png", "a (b)")]).html()
    assert "<th>|mean|</th>" in page
    assert "<td>a | b</td>" in page
    assert 'src="my%20picture.png"' in page
