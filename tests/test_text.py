"""What is printed shows as it is, and arrives on every terminal, or none."""

import io
import logging
import os
import shlex
import subprocess
import sys

import pytest
from rich.table import Table

from bnadapt.commands.console import print_scores
from bnadapt.reports.terminal import Console
from bnadapt.text import in_a_line, shell_line, visible

ACTING = {
    "\x1b[31mred": "\\x1b[31mred",
    "\x1b]0;title\x07": "\\x1b]0;title\\x07",
    "a\rb": "a\\rb",
    "a\x08b": "a\\x08b",
    "\x9b31m": "\\x9b31m",
    "\u202etxt": "\\u202etxt",
    "a\u2066b\u200eb": "a\\u2066b\\u200eb",
    "b\udce9ton": "b\\udce9ton",
    "a\u2028b": "a\\u2028b",
    "a\x00b\x7f": "a\\x00b\\x7f",
    "a\u00adb\ufeff": "a\\xadb\\ufeff",
}
PLAIN = ["réseau", "日本語", "🧠 cells", "a b\tc\nd", "[bold]x[/bold]", ":bell:", "~/a 'b'", "\\x1b"]


@pytest.mark.parametrize(("text", "shown"), ACTING.items())
def test_what_acts_on_a_terminal_is_written_out(text, shown, capsys):
    assert visible(text) == shown
    Console().print(f"Page: {text}", style="bold")
    table = Table("name", text)
    table.add_row(text, "1")
    Console(width=200).print(table)
    Console().print(f"Next: {text}")
    printed = capsys.readouterr().out
    assert printed.count(shown) == 4
    assert text not in printed


@pytest.mark.parametrize("text", PLAIN)
def test_what_shows_itself_stays(text, capsys):
    assert visible(text) == text
    Console().print(text)
    assert capsys.readouterr().out == f"{text}\n".replace("\t", " " * 5)


def test_a_line_is_one_line():
    assert in_a_line("a\nb\tc\r") == "a\\nb\\tc\\r"


def test_long_lines_are_not_broken(capsys):
    print_scores({f"test/{'a' * 300}/iou": 0.5}, None)
    assert "a" * 300 in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize("name", [*ACTING, *PLAIN, "", "'", "a\n\n<img src=x>", "-x"])
def test_a_printed_command_is_read_by_a_shell_as_it_was(name):
    if "\x00" in name:
        return
    line = shell_line(["printf", "%s", name])
    assert in_a_line(line) == line
    done = subprocess.run(
        ["bash", "-c", line], stdout=subprocess.PIPE, env={**os.environ, "LC_ALL": "C.UTF-8"}, check=True
    )
    assert os.fsdecode(done.stdout) == name


def test_usual_commands_are_quoted_as_usual():
    tokens = ["bnadapt", "predict", "--data.target.images", "my images", "[1]"]
    assert shell_line(tokens) == shlex.join(tokens)


SCRIPT = """
import logging, sys, warnings
from bnadapt.text import show_safely
show_safely()
print("r\\u00e9seau \\u65e5 \\udce9")
print("error", file=sys.stderr)
logging.getLogger("bnadapt.x").warning("%s: \\x1b[31mlayer", "na\\u202eme")
logging.getLogger("other").error("text of another \\x07library")
warnings.warn("a \\x1b]0;x\\x07warning")
import os
print("lowest", os.open(os.devnull, os.O_RDONLY) > 2, file=sys.stderr)
"""


def run(redirection="", **variables):
    return subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -c "$SCRIPT" {redirection}'],
        capture_output=True,
        env={**os.environ, "SCRIPT": SCRIPT, **variables},
    )


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "réseau 日 \\udce9\n".encode()),
        ("latin-1", b"r\xe9seau \\u65e5 \\udce9\n"),
        ("ascii", b"r\\xe9seau \\u65e5 \\udce9\n"),
    ],
)
def test_every_encoding_takes_what_is_printed(encoding, shown):
    done = run(PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stdout) == (0, shown)
    assert b"\x1b" not in done.stderr
    assert b"\x07" not in done.stderr
    for line in (b"na\\u202eme: \\x1b[31mlayer", b"text of another \\x07library", b"warning: a \\x1b]0;x\\x07warning"):
        assert line in done.stderr


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "<&-"])
def test_closed_streams_take_what_is_printed_and_no_file_takes_their_place(redirection):
    done = run(redirection)
    assert done.returncode == 0
    if "2>&-" not in redirection:
        assert b"lowest True" in done.stderr


def test_commands_run_without_any_output():
    done = subprocess.run(["bash", "-c", f'"{sys.executable}" -m bnadapt --help >&-'], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_refusals_are_written_out(refused):
    assert "unknown command 'a\\x1b[31m'" in refused("a\x1b[31m").replace("\\\\", "\\")


def test_logs_are_written_out_by_every_handler(monkeypatch):
    from bnadapt.text import show_safely

    factory, stream = logging.getLogRecordFactory(), io.StringIO()
    monkeypatch.setattr("bnadapt.text._open", lambda each: each)
    monkeypatch.setattr("warnings.formatwarning", None)
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("somebody.elses")
    logger.addHandler(handler)
    try:
        show_safely()
        logger.warning("%s", "a\x1bb")
    finally:
        logging.setLogRecordFactory(factory)
        logger.removeHandler(handler)
    assert stream.getvalue() == "a\\x1bb\n"
