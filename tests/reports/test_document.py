"""A document says the same as HTML and as Markdown."""

from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from markdown_it import MarkdownIt

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
    assert '<a href="depth.png"><img src="depth.png" alt="Along the network" /></a>' in page
    assert page.count("<td") == 4
    assert '<td style="text-align:right">22</td>' in page
    assert '<div class="wide"><table>' in page
    assert "<code>bnadapt study --help" in page
    assert '<a href="table.csv">All numbers</a>' in page


def test_markdown_is_to_be_read_as_it_is():
    lines = Document("A title", PARTS).markdown().splitlines()
    assert lines[0] == "# A title"
    assert "- two" in lines
    assert "![Along the network](depth.png)" in lines
    assert "    bnadapt study --help" in lines
    start = lines.index("| name       | n  |")
    assert lines[start + 1 : start + 4] == ["| ---------- | -: |", "| first      | 1  |", "| second one | 22 |"]


NAMES = [
    "a *b* c",
    "`a`",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "my_data_set and _other_",
    "a\\*b",
    "![x](http://tracker.example/x.png)",
    "[x](javascript:alert(1))",
    "<http://tracker.example>",
    "&lt;b&gt;",
    "a | b",
    "~~x~~",
    "# 1 run",
    "1999. x",
    "- - a",
    "> a",
    "---",
    "</summary></details>",
    "'\"><b>",
]


def parts_of(text):
    plain = (Answer(text), Paragraph(text), Bullets([text]), Heading(text), Code(text), Table([text], [[text]]))
    return [*plain, Folded(text, plain), Link(text, text), Picture(text, text)]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_shown_as_they_are_and_do_nothing(name):
    for part in parts_of(name):
        page = Page(Document("title", [part]).html())
        assert name in page.shown or part.__class__ is Picture
        assert page.tags <= TAGS
        assert page.addresses <= {quote(name)}


@pytest.mark.parametrize("name", NAMES)
def test_markdown_of_names_holds_nothing_but_text(name):
    """By another reader of Markdown, which knows tags, tables and struck text."""
    reader = MarkdownIt("gfm-like", {"linkify": False})
    for part in parts_of(name)[:6]:
        page = Page(reader.render(Document(name, [part]).markdown()))
        assert page.shown.count(name) == (3 if part.__class__ is Table else 2)
        assert page.tags <= TAGS
        assert not page.addresses


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\n\n<img src=x onerror=alert(1)>/images", "a\\n\\n<img src=x onerror=alert(1)>/images"),
        ("a\x1b]0;title\x07\r\u202eb\udce9", "a\\x1b]0;title\\x07\\r\\u202eb\\udce9"),
    ],
)
def test_what_is_not_seen_is_written_out(name, shown):
    for part in parts_of(name)[:7]:
        page = Page(Document(name, [part]).html())
        assert shown in page.shown.replace("\n\n", "\\n\\n")
        assert page.tags <= TAGS
        Document(name, [part]).markdown().encode()


def test_a_command_of_several_lines_is_one_piece_of_code():
    command = "bnadapt predict 'a\n\n# b'"
    page = Document("title", [Code(command), Folded("more", [Code(command)])])
    assert page.html().count("<pre><code>bnadapt predict &#x27;a\n\n# b&#x27;\n</code></pre>") == 2
    assert MarkdownIt().render(page.markdown()).count("<pre><code>bnadapt predict 'a\n\n# b'\n</code></pre>") == 2


TAGS = {
    *("meta", "title", "style", "h1", "h2", "p", "strong", "ul", "li", "pre", "code", "details", "summary", "a", "img"),
    *("div", "table", "thead", "tbody", "tr", "th", "td"),
}


class Page(HTMLParser):
    """What a browser makes of a page: its text, its tags, and the addresses that it may ask for."""

    def __init__(self, text):
        super().__init__()
        self.shown, self.tags, self.addresses = "", set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.addresses |= {value for name, value in attributes if name in ("src", "href")}
        assert not any(name.startswith("on") for name, _ in attributes)

    def handle_data(self, data):
        self.shown += data


def test_cells_with_bars_and_paths_with_spaces():
    page = Document("title", [Table(["|mean|"], [["a | b"]]), Picture("my picture.png", "a (b)")]).html()
    assert "<th>|mean|</th>" in page
    assert "<td>a | b</td>" in page
    assert 'src="my%20picture.png"' in page


def test_what_is_folded_is_read_as_markdown():
    page = Document("title", [Folded("More", [Heading("Inside"), Table(["n"], [["22"]])]), Paragraph("after")]).html()
    inside = page[page.index("<details><summary>More</summary>") : page.index("</details>")]
    assert "<h2>Inside</h2>" in inside
    assert ">22</td>" in inside
    assert "<p>after</p>" not in inside
