"""What napari reads of bnadapt needs no torch, and names what is there."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import bnadapt

MANIFEST = Path(bnadapt.__file__).parent / "napari" / "napari.yaml"
LIGHT = ["bnadapt.napari", "bnadapt.napari.reader", "bnadapt.napari.samples"]
LIGHT += ["bnadapt.napari.command_lines", "bnadapt.napari.results"]


def imported_by(code):
    """What a new process has imported of torch and its like, once it has run some code."""
    script = f"import sys\n{code}\nprint({{'torch', 'lightning', 'zarr'}} & set(sys.modules))"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def test_the_manifest_is_read_without_torch():
    read = "from importlib.util import find_spec\nfrom pathlib import Path\nimport yaml\n"
    read += "folder = Path(find_spec('bnadapt.napari').origin).parent\n"
    read += "assert yaml.safe_load((folder / 'napari.yaml').read_text())['name'] == 'bnadapt'\n"
    assert imported_by(read + "\n".join(f"import {each}" for each in LIGHT)) == "set()"


def test_the_dock_widget_is_imported_without_torch():
    pytest.importorskip("napari")
    pytest.importorskip("qtpy.QtWidgets", exc_type=ImportError)
    assert imported_by("import bnadapt.napari.widgets.dock") == "set()"


def test_the_manifest_is_valid_and_names_what_is_there():
    npe2 = pytest.importorskip("npe2")
    manifest = npe2.PluginManifest.from_file(MANIFEST)
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        if "widgets" not in module:  # which needs Qt
            assert callable(getattr(__import__(module, fromlist=[name]), name))
    assert (manifest.contributions.widgets[0].display_name, manifest.name) == ("Adapt and segment", "bnadapt")


def test_the_reader_takes_what_the_formats_do():
    from bnadapt.data.formats import FORMATS

    patterns = yaml.safe_load(MANIFEST.read_text())["contributions"]["readers"][0]["filename_patterns"]
    assert set(patterns) == {f"*{suffix}" for each in FORMATS for suffix in each.suffixes}


def test_the_entry_point_names_the_manifest():
    text = (MANIFEST.parents[2] / "pyproject.toml").read_text()
    assert 'bnadapt = "bnadapt.napari:napari.yaml"' in text
