"""Imports point one way, the two packages for one's own code stand alone, and help needs no torch."""

import ast
import os
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import bnadapt

ROOT = Path(bnadapt.__file__).parent
LAYERS = (
    ("errors", "text"),
    ("files",),
    ("batchnorm",),
    ("distances",),
    ("data", "networks"),
    ("adaptation",),
    ("gain",),
    ("reports",),
    ("tasks",),
    ("volumes", "labels"),
    ("actions", "exchange"),
    ("callbacks", "api"),
    ("experiments",),
    ("studies",),
    ("commands",),
    ("__main__", "napari"),
)
RANKS = {unit: rank for rank, units in enumerate(LAYERS) for unit in units}
ALONE = {"batchnorm": {"errors", "batchnorm"}, "distances": {"errors", "batchnorm", "distances"}}


def imported(path):
    """The modules of bnadapt that a file imports, as paths without suffix, wherever in the file it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] == "bnadapt":
            for alias in node.names:
                yield module_of([*node.module.split(".")[1:], alias.name])
        elif isinstance(node, ast.Import):
            yield from (
                module_of(each.name.split(".")[1:]) for each in node.names if each.name.split(".")[0] == "bnadapt"
            )


def module_of(parts):
    """The file of a dotted name, of which the last part may be a name in the file."""
    for length in (len(parts), len(parts) - 1):
        path = ROOT.joinpath(*parts[:length])
        if path.with_suffix(".py").is_file():
            return "/".join(parts[:length])
        if (path / "__init__.py").is_file():
            return "/".join([*parts[:length], "__init__"])
    raise AssertionError(f"no module bnadapt.{'.'.join(parts)}")


def unit_of(module):
    """What the order of imports knows a module by: its folder, or itself at the top."""
    return module if module in RANKS else module.split("/")[0]


GRAPH = {
    "/".join(path.relative_to(ROOT).with_suffix("").parts): set(imported(path)) for path in sorted(ROOT.rglob("*.py"))
}


def test_every_module_has_a_place_in_the_order():
    assert {unit_of(module) for module in GRAPH} - {"__init__"} == set(RANKS)


@pytest.mark.parametrize("module", [module for module in GRAPH if module != "__init__"])
def test_imports_point_one_way(module):
    unit = unit_of(module)
    others = {each for each in GRAPH[module] if each != "__init__" and unit_of(each) != unit}
    assert [each for each in others if RANKS[unit_of(each)] >= RANKS[unit]] == []


def test_the_import_graph_is_drawn_as_it_is():
    from docs.import_graph import PATH, svg

    assert PATH.read_text() == svg(), "run python -m docs.import_graph"


def test_no_modules_import_each_other():
    tuple(TopologicalSorter(GRAPH).static_order())  # CycleError names the modules


def test_what_is_for_code_of_ones_own_needs_nothing_else_of_bnadapt():
    for unit, allowed in ALONE.items():
        assert {unit_of(each) for module in GRAPH if unit_of(module) == unit for each in GRAPH[module]} <= allowed
    loaded = (
        "import sys, numpy, safetensors.torch, torch; before = set(sys.modules)\n"
        "import bnadapt.batchnorm, bnadapt.distances\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) - set(sys.stdlib_module_names) == {"bnadapt"}


WITHOUT_TORCH = (
    "--help",
    "--version",
    "study --help",
    "fit --help",
    "study pairs --help",
    "fitt",
    "study pears",
    "fit --data.crop_sise 3",
    "adapt --trainer.max_epoch 3",
    "study pairs --study.sed 3",
    "study report",
    "adapt --ckpt_path nosuch.ckpt",
    "fit --data.source Folder --data.source.images nosuch",
    "objects --mask nosuch.tif",
    "objects --mask a.tif --minsize 3",
    "import weights.pth --network_arg.a 3",
)
EACH = """
import sys
from bnadapt.__main__ import run
for arguments in sys.argv[1:]:
    sys.argv[1:] = arguments.split()
    try:
        run()
        status = 0
    except SystemExit as ended:
        status = ended.code
    assert status in (None, 0, 2), (arguments, status)
    assert not {"torch", "lightning", "numpy", "jsonargparse"} & set(sys.modules), arguments
"""


def test_help_and_refusals_come_without_torch():
    done = subprocess.run([sys.executable, "-c", EACH, *WITHOUT_TORCH], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nobody_reads_the_output_to_its_end():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "bnadapt", "study", "--help"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
