"""The examples in docstrings, and the Python in README and docs, do what they say."""

import doctest
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

import bnadapt
from bnadapt.networks import UNet
from docs.site_hooks import OUTSIDE

ROOT = Path(bnadapt.__file__).parent
PAGES = [ROOT.parent / "README.md", *sorted((ROOT.parent / "docs").glob("*.md"))]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
MODULES = [
    ".".join(["bnadapt", *path.relative_to(ROOT).with_suffix("").parts])
    for path in sorted(ROOT.rglob("*.py"))
    if ">>>" in path.read_text()
]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    torch.manual_seed(0)
    found = doctest.testmod(import_module(name))
    assert found.attempted
    assert not found.failed


def test_there_are_pages_with_python():
    assert sum(bool(BLOCK.search(page.read_text())) for page in PAGES) >= 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_on_a_page(page):
    """All blocks of a page, one after the other, as a reader would type them."""
    torch.manual_seed(0)
    batches = torch.randn(24, 1, 32, 32).split(4)
    known = {
        "network": UNet(base_channels=4),
        "loader": batches,
        "loader_of_dicts": [{"image": batch} for batch in batches],
        "zarr_array": np.random.default_rng(0).random((3, 300, 300), np.float32),
        "zarr_volume": np.random.default_rng(0).random((40, 300, 300), np.float32),
        "labelled_source_batches": [(batch, (batch[:, 0] > 0).long()) for batch in batches],
        "few_target_batches": batches[:2],
        "source_batches": batches,
        "labelled_batches": [{"image": batch, "mask": (batch[:, 0] > 0).long()} for batch in batches],
        "few_images": batches[0][:2],
        "few_masks": (batches[0][:2, 0] > 0).long(),
        "held_out_images": batches[0],
        "held_out_masks": (batches[0][:, 0] > 0).long(),
        "target_tiles": batches[1] + 1,
        "target_batches": [batch + 1 for batch in batches],
        "labelled_source": [(batch, (batch[:, 0] > 0).long()) for batch in batches],
        "source": batches,
        "target": torch.cat(batches) + 1,
    }
    for block in BLOCK.findall(page.read_text()):
        exec(compile(block, page.name, "exec"), known)


@pytest.mark.parametrize("page", [*PAGES, ROOT.parent / "CONTRIBUTING.md"], ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    links = set(re.findall(r"\]\(([^)#\s]+)", page.read_text())) - set(OUTSIDE.values())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_the_front_page_is_short():
    page = PAGES[0].read_text()
    assert len(page.splitlines()) <= 150
    (python,) = BLOCK.findall(page)
    assert len(python.splitlines()) <= 8
