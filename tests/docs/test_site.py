"""The site of the documents builds without a warning, and its links lead somewhere."""

import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

import bnadapt
from bnadapt.commands.options import COMMANDS
from docs.update_readme import said_of_studies

ROOT = Path(bnadapt.__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_pages_have_what_they_are_made_of(site):
    front = unescape((site / "index.html").read_text())
    assert "BatchNorm statistics on unlabelled images" in front
    assert front.index("pip install .") < front.index("bnadapt recommend --ckpt_path")
    assert "What to expect on real images" in (site / "overview" / "index.html").read_text()
    commands = unescape((site / "commands" / "index.html").read_text())
    for command in COMMANDS:
        assert f"usage: bnadapt {command}" in commands or command == "study"
    python = (site / "python" / "index.html").read_text()
    assert "bnadapt.batchnorm.UntilConverged" in (site / "python" / "batchnorm" / "index.html").read_text()
    headings = re.findall(r'<h\d id="(bnadapt[^"]*)"', python)
    assert headings[:3] == ["bnadapt.api.recommend", "bnadapt.api.adapt", "bnadapt.api.distances"]


def test_the_gallery_has_every_study_and_opens_with_real_data():
    shown = re.findall(
        r"^## \[.*\]\(studies/(.*)/README.md\)$", (ROOT / "docs" / "gallery.md").read_text(), re.MULTILINE
    )
    studies = {page.parent.name for page in (ROOT / "docs" / "studies").glob("*/README.md")}
    assert shown[0] == "pairs"
    beside = {"candidates-synthetic", "candidates-unusual", "comparison-short", "labels-draws", "labels-learn"}
    assert studies - set(shown) == {*beside, "labels-other-tasks"}  # linked beside the main ones


def test_links_lead_somewhere(site):
    broken = []
    for page in site.rglob("*.html"):
        if page.name == "404.html":
            continue
        for link in re.findall(r'(?:href|src)="?([^"\s>#?]+)', page.read_text()):
            if "://" in link or link.startswith(("mailto:", "data:")):
                continue
            target = (page.parent / unquote(link)).resolve()
            if not target.exists():
                broken.append((str(page.relative_to(site)), link))
    assert broken == []


SAID = said_of_studies()


@pytest.mark.parametrize(("page", "mark"), SAID, ids=lambda each: getattr(each, "name", each))
def test_what_pages_say_of_studies_is_what_the_studies_say(page, mark):
    shown = re.search(rf"<!-- {mark} -->\n(.*?)<!-- /{mark} -->", page.read_text(encoding="utf-8"), re.DOTALL)[1]
    assert shown == SAID[page, mark], "run make readme"
    assert re.search(r"\d\.\d|\d%", shown)


@pytest.mark.parametrize(
    "page",
    ["README.md", *(f"docs/{name}.md" for name in ("studies/README", "which", "why-and-when", "gallery", "index"))],
)
def test_measured_numbers_are_filled_in_by_make_readme(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    by_hand = re.sub(r"<!-- (.*?) -->.*?<!-- /\1 -->|```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
    assert re.findall(r"(?<![\w.])[+-]?0?\.\d\d+", by_hand) == [], (
        "link to the study instead, or let make readme fill it in"
    )
