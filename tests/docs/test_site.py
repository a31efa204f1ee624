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
from docs.update_readme import expected_quality

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
    beside = {"candidates-synthetic", "candidates-unusual", "comparison-short", "labels-other-tasks"}
    assert studies - set(shown) == beside  # linked beside the main ones


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


def test_the_quality_to_expect_is_that_of_the_study():
    page = (ROOT / "docs" / "which.md").read_text()
    shown = re.search(r"<!-- quality -->\n(.*?)<!-- /quality -->", page, re.DOTALL)[1]
    assert shown == expected_quality(ROOT / "docs" / "studies" / "pairs"), "run make readme"
    assert "| mitochondria | 12 |" in shown
