"""Records are found again, and what is broken is reported and measured again."""

import json
import logging

import pytest

from bnadapt.experiments.records import Records
from bnadapt.experiments.tables import Tables
from tests.experiments.test_specs import case

ROWS = [{"iou_adapted": 0.5, "distances": {"adapted": {"layer": {"energy": float("nan")}}}}]


@pytest.fixture
def records(tmp_path):
    kept = Records(tmp_path / "records")
    kept.write(case(), ROWS)
    return kept


def test_what_was_written_is_read(records):
    (row,) = records.read(case())
    assert row["iou_adapted"] == 0.5
    assert row["distances"]["adapted"]["layer"]["energy"] is None
    assert records.read(case(draw=7)) is None
    assert not list(records.folder.glob(".partial*"))


@pytest.mark.parametrize("content", ["", "{", '{"case": {}}', "[]", '{"case": 1, "rows": [1]}'])
def test_what_is_broken_is_reported_and_not_read(records, content, caplog):
    path = next(records.folder.glob("*.json"))
    path.write_text(content)
    with caplog.at_level(logging.WARNING):
        assert records.read(case()) is None
    assert f"{path}: is not a record" in caplog.text


def test_a_record_of_another_case_is_not_read(records, caplog):
    path = next(records.folder.glob("*.json"))
    record = json.loads(path.read_text())
    record["case"]["draw"] = 5
    path.write_text(json.dumps(record))
    assert records.read(case()) is None
    assert "it belongs to another case" in caplog.text


def test_tables_have_labels_scores_and_distances_and_are_read_back(tmp_path):
    distances = {state: {"first": {"energy": 1.0}, "last": {"energy": 2.0}} for state in ("unadapted", "adapted")}
    measured = [
        (case(), [{"iou_source": 0.9, "gain": 0.1, "distances": distances}]),
        (case(draw=1, labels={"target": "brighter", "seed": 2}), [{"iou_source": 0.8, "gain": 0.2}]),
    ]
    Tables.of(measured).write(tmp_path)
    table, found = Tables.read(tmp_path)
    assert list(table.columns) == ["target", "seed", "iou_source", "gain", "record"]
    assert table["target"].tolist() == ["darker", "brighter"]
    assert len(found) == 4
    last = found[(found["state"] == "adapted") & (found["layer"] == "last")]
    assert last["value"].item() == 2.0
    assert last["depth"].item() == 1
    assert set(found["record"]) == {case().key}
