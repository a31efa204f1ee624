"""Quick configs of studies from end to end, and what is known of the results.

Three of them in `make test`, all in `make test-slow`. Of the others `make test` measures one case of every kind and
draws the reports of made-up tables; see test_subsets.py.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from bnadapt.commands.study import main
from bnadapt.errors import InputError
from bnadapt.experiments import tables
from bnadapt.experiments.tables import Tables
from bnadapt.gain import CANDIDATES, FEATURES
from bnadapt.studies import STUDIES
from tests.conftest import once

CONFIGS = Path(__file__).parents[2] / "configs"
QUICK = CONFIGS / "studies" / "quick"
FULL = sorted((CONFIGS / "studies").glob("*.yaml"))
FAST = ("two-mean-grid", "labels", "demo")


@pytest.fixture(scope="session")
def quick(tmp_path_factory):
    """Runs a quick config once, and gives its folder; `latent-spaces` reads the folders of two others."""

    def run(name):
        inputs = []
        if name == "latent-spaces":
            read = {other: str(run(other)) for other in ("two-mean-grid", "image-shifts")}
            inputs = ["--study.studies", json.dumps(read)]
        if name == "verdict":
            inputs = ["--study.candidates", json.dumps([str(run("candidates"))])]
        if name == "demo":
            inputs = ["--study.configs", json.dumps([str(CONFIGS / "synthetic.yaml")])]

        def study(folder):
            options = ["--output", str(folder / name), "--networks", str(folder / "networks"), "--workers", "0"]
            main([name, "--config", str(QUICK / f"{name}.yaml"), *inputs, *options])

        return once(tmp_path_factory, f"quick-{name}", study) / name

    return run


def test_every_study_has_a_full_and_a_quick_config():
    assert {path.stem for path in QUICK.glob("*.yaml")} == set(STUDIES)
    assert {path.stem for path in FULL} == {
        *STUDIES,
        "demo-em",
        "proportions-networks",
        "causes",
        "candidates-synthetic",
        "candidates-unusual",
        "labels-draws",
        "labels-learn",
        "labels-other-tasks",
    }


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in STUDIES]
)
def test_a_quick_study_ends_in_tables_figures_and_a_page(quick, name, capfd):
    folder = quick(name)
    table, distances = Tables.read(folder)
    page = (folder / "README.md").read_text()
    figures = list((folder / "figures").glob("*.png"))
    assert figures
    assert all(path.stat().st_size > 3000 and f"figures/{path.name}" in page for path in figures)
    assert f"bnadapt study {name} --config" in page
    assert len(table) > (name != "demo")
    if name == "latent-spaces":
        assert set(table["state"]) == {"unadapted", "adapted"}
        assert "closest distance" in page
        assert all(f"`{column}`" in tables.__doc__ for column in table)
        assert "Chosen here, tested there" in page
        assert table["spearman"].abs().max() <= 1
        return
    if name == "verdict":
        assert set(table["scheme"]) == {"source"}
        assert table["exchanged"].dropna().between(0, 1).all()
        assert all(f"`{column}`" in tables.__doc__ for column in ("scheme", "predicted", "exchanged"))
        return
    assert list((folder / "tensorboard").rglob("events*"))
    if name == "comparison":
        methods = yaml.safe_load((QUICK / "comparison.yaml").read_text())["study"]["methods"]
        assert set(table["method"]) == set(methods)
        assert "failed" not in table
        assert table["iou"].max() - table["iou"].min() > 0.2
        assert table[["iou", "dice", "iou_source"]].stack().between(0, 1).all()
        assert len(list((folder / "pictures").glob("*.png"))) == len(methods)
        return
    if name == "labels":
        assert set(table["start"]) == {"none", "adapted", "self-trained", "scratch"}
        assert set(table["choice"]) == {"random", "proposed"}
        assert set(table["tiles"]) == {0, 1, 2}
        assert table["iou"].between(0, 1).all()
        assert (table["learn"] == "statistics").sum() == (table["tiles"] == 0).sum() == 6
        return
    if name == "self-training":
        assert table[["iou", "foreground", "predicted"]].stack().between(0, 1).all()
        assert table.groupby(["source", "start"])["method"].apply(set).map(len).eq(3).all()
        return
    if name == "candidates":
        assert set(table["candidate"]) == {*CANDIDATES, "ensemble", "ensemble, by entropy"}
        rows = table[table["candidate"].isin(CANDIDATES)]
        assert np.isfinite(rows[[f"feature_{feature}" for feature in FEATURES]]).all(axis=None)
        assert table[["iou", "iou_source"]].stack().between(0, 1).all()
        return
    assert (table["iou_adapted"] - table["iou_unadapted"] - table["gain"]).abs().max() < 1e-9
    assert table[["iou_source", "iou_unadapted", "iou_adapted"]].stack().between(0, 1).all()
    assert (len(distances) > 0) == (name in ("two-mean-grid", "image-shifts", "pairs"))


def test_the_grid_finds_what_is_known(quick):
    """Adaptation corrects brightness where the polarity is the source's, and never where it is not."""
    table = Tables.read(quick("two-mean-grid")).table.query("part == 'grid' and mean_1 != mean_2")
    same = table["same_polarity"].astype(bool)
    assert table[same]["iou_adapted"].min() > 0.9
    assert table[same]["gain"].max() > 0.3
    assert table[~same]["iou_adapted"].max() < 0.1


@pytest.mark.slow
def test_inverted_images_are_repaired_by_inversion(quick):
    table = Tables.read(quick("candidates")).table
    inverted = table[table["family"].isin(["inversion", "grid, inverted"])].pivot(
        index="record", columns="candidate", values="iou"
    )
    assert len(inverted) == 4
    assert inverted["inverted"].min() > 0.8
    assert inverted[["none", "adapted"]].max(axis=None) < 0.1


@pytest.mark.slow
def test_pairs_know_the_network_that_was_trained_on_the_target(quick):
    table = Tables.read(quick("pairs")).table
    for row in table.itertuples():
        own = table[(table["source"] == row.target) & (table["target"] == row.target)]
        assert row.iou_target_trained == own["iou_unadapted"].item()


@pytest.mark.slow
def test_re_estimation_repairs_slow_statistics(quick):
    table = Tables.read(quick("irregular-training")).table
    assert set(table["step"]) == {5, 20, 40}
    slow = table[(table["irregularity"] == "momentum 0.003") & (table["step"] == 40)]
    assert slow["gain"].item() > 0.1


def test_a_report_is_drawn_again_from_the_tables_alone(quick, tmp_path, capfd):
    folder = shutil.copytree(quick("two-mean-grid"), tmp_path / "copy")
    before = (folder / "README.md").read_text()
    for name in ("records", "figures", "tensorboard"):
        shutil.rmtree(folder / name)
    (folder / "figures").mkdir()
    (folder / "figures" / "of-other-options.png").touch()
    (folder / "README.md").unlink()
    main(["report", str(folder)])
    assert (folder / "README.md").read_text() == before
    assert {path.name for path in (folder / "figures").iterdir()} == {"grid.png", "variations.png"}
    pd.read_parquet(folder / "table.parquet").drop(columns="gain").to_parquet(folder / "table.parquet")
    with pytest.raises(InputError, match="is not a table of two-mean-grid, it has no column gain"):
        main(["report", str(folder)])
    assert "Where the contrast is inverted" in capfd.readouterr().out
