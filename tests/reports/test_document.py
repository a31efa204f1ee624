"""A document says the same as HTML and as Markdown."""

import pytest

from bnadapt.reports.document import Answer, Bullets, Code, Document, Folded, Heading, Link, Paragraph, Picture, Table

PARTS = [
    Answer("It helps."),
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
    assert "<strong>It helps.</strong>" in page
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

    parts = (Answer(text), Paragraph(text), Bullets([text]), Heading(text), Table(["a"], [[text]]))
    for part in (*parts, Folded(text, []), Folded("more", [Paragraph(text)])):
        assert escape(text, quote=False) in Document("title", [part]).html()


def test_cells_with_bars_and_paths_with_spaces():
    page = Document("title", [Table(["|mean|"], [["a | b"]]), Picture("my picture.png", "a (b)")]).html()
    assert "<th>|mean|</th>" in page
    assert "<td>a | b</td>" in page
    assert 'src="my%20picture.png"' in page


def test_what_is_folded_is_read_as_markdown():
    page = Document("title", [Folded("More", [Heading("Inside"), Table(["n"], [["22"]])]), Paragraph("after")]).html()
    inside = page[page.index("<details><summary>More</summary>") : page.index("</details>")]
    assert "<h2>Inside</h2>" in inside
    assert "<td>22</td>" in inside
    assert "<p>after</p>" not in inside
