"""The demo from end to end on a small config, its table, and how it goes on after an interruption."""

import json
import shutil

import pytest
import yaml

from bnadapt.errors import InputError
from bnadapt.studies import demo as module
from bnadapt.studies.demo_page import table

SMALL_CONFIG = {
    "model": {"network_args": {"base_channels": 4}},
    "data": {
        "source": {"class_path": "Synthetic", "init_args": {"size": 48, "images": 6, "object_size": 12}},
        "target": {"class_path": "Synthetic", "init_args": {"size": 48, "images": 6, "mean": [0.4, 0.1]}},
        "crop_size": 32,
        "crops_per_epoch": 8,
        "tile_size": 32,
    },
    "trainer": {"max_epochs": 1, "enable_progress_bar": False},
}


@pytest.fixture
def cases(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL_CONFIG))
    return [module.Case(path, intensity, 1) for intensity in ("dtype", "zscore")]


def test_demo_writes_results_table_and_pictures(cases, tmp_path, capsys):
    output = tmp_path / "out"
    module.demo(cases, output)
    records = json.loads((output / "results.json").read_text())["records"]
    assert [record["intensity"] for record in records] == ["dtype", "zscore"]
    for record in records:
        assert record["gain"] == pytest.approx(record["target_adapted"] - record["target_unadapted"])
    assert (output / "table.md").read_text() in capsys.readouterr().out
    page = (output / "index.html").read_text()
    for case in cases:
        assert (output / f"{case.name}.png").stat().st_size > 10_000
        assert f"{case.name}.png" in page


def test_an_interrupted_demo_goes_on_and_a_finished_one_begins_anew(cases, tmp_path, monkeypatch):
    ran = []
    whole = module.run_case

    def counted(case, folder):
        ran.append(case.intensity)
        if len(ran) == 2:
            raise KeyboardInterrupt
        return whole(case, folder)

    monkeypatch.setattr(module, "run_case", counted)
    with pytest.raises(KeyboardInterrupt):
        module.demo(cases, tmp_path / "out")
    module.demo(cases, tmp_path / "out")
    assert ran == ["dtype", "zscore", "zscore"]
    shutil.rmtree(tmp_path / "out" / "nothing", ignore_errors=True)
    module.demo(cases[:1], tmp_path / "out")
    assert ran[3:] == ["dtype"]


def test_a_folder_of_something_else_is_not_replaced(cases, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious.txt").write_text("precious")
    with pytest.raises(InputError, match="holds something else than an earlier demo"):
        module.demo(cases, tmp_path / "mine")
    assert (tmp_path / "mine" / "precious.txt").exists()


def test_table_gives_mean_and_spread_over_seeds():
    record = {"config": "a", "intensity": "dtype", "source_unadapted": 0.5, "target_unadapted": 0.25}
    record |= {"target_adapted": 0.5, "adaptation_seconds": 1.0}
    found = table([record | {"gain": 0.1}, record | {"gain": 0.3}])
    (row,) = found.rows
    assert row[found.header.index("gain")] == "+0.200 ± 0.141"
    assert row[-1] == "2"
