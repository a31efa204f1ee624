"""What the study of latent spaces says of tables in which one distance was planted."""

import numpy as np
import pandas as pd
import pytest

from bnadapt.errors import InputError
from bnadapt.experiments.report import report
from bnadapt.experiments.tables import Tables
from bnadapt.studies.latent_spaces.study import LatentSpaces


@pytest.fixture
def planted(tmp_path):
    """Writes tables of networks on 12 targets: the energy distance before adaptation in b falls as the score rises."""

    def write(networks, floor=0.1, **more):
        generator = np.random.default_rng(0)
        rows, distances = [], []
        for network in range(networks):
            for target in range(12):
                record, without = f"{network}-{target}", generator.uniform()
                scores = {"iou_unadapted": without, "iou_adapted": generator.uniform(), "gain": generator.uniform()}
                labels = {"source": "s", "target": str(target), "seed": 1}  # as of another task
                rows.append({**labels, **scores, "network": str(network), "record": record})
                for state in ("noise_floor", "unadapted", "adapted"):
                    for depth, layer in enumerate("ab"):
                        value = floor + network if state == "noise_floor" else generator.uniform()
                        value = 1 - without**3 if (state, layer) == ("unadapted", "b") else value
                        distances.append((record, state, layer, depth, "energy", value))
        columns = ["record", "state", "layer", "depth", "measure", "value"]
        Tables(pd.DataFrame(rows), pd.DataFrame(distances, columns=columns)).write(tmp_path)
        return LatentSpaces({"planted": str(tmp_path), **more})

    return write


def closest(study):
    """Rows of the summary by score and state."""
    return {(row[1], row[2]): row[3:] for row in study.summary(study.tables([])).rows}


def test_the_planted_distance_is_found(planted):
    study = planted(networks=3)
    found = closest(study)
    assert found["IoU without", "distance before"] == ["energy in b", "-1.00 [-1.00, -1.00]", "-1.00 [-1.00, -1.00]"]
    assert found["gain", "distance before"][1] != "-1.00 [-1.00, -1.00]"
    (sentence,) = study.findings(study.tables([]))
    assert "before adaptation, by part: IoU without 1.00 (planted); gain 0." in sentence


def test_a_noise_floor_is_a_control_where_it_varies(planted):
    assert ("gain", "noise floor") in closest(planted(networks=3))


@pytest.mark.parametrize(("networks", "floor"), [(1, 0.1), (3, np.nan)])
def test_a_noise_floor_that_says_nothing_is_left_out(planted, networks, floor):
    study = planted(networks, floor)
    tables = study.tables([])
    assert set(tables.table["state"]) == {"unadapted", "adapted"}
    assert set(study.figures(tables)) == {"map-planted"}


def test_parts_are_compared_where_there_are_several(planted, tmp_path):
    study = planted(networks=3, again=str(tmp_path))
    tables = study.tables([])
    assert {"transfer", "map"} <= set(study.figures(tables))


def test_a_single_network_tells_nothing_of_the_spread(planted):
    assert closest(planted(networks=1))["IoU without", "distance before"] == ["energy in b", "-1.00", "-1.00"]


def test_a_distance_that_some_records_lack_is_left_out(planted, tmp_path):
    study = planted(networks=3)
    table, distances = Tables.read(tmp_path)
    lacking = (distances["record"] == "0-3") & (distances["state"] == "unadapted") & (distances["layer"] == "b")
    Tables(table, distances.assign(value=distances["value"].mask(lacking))).write(tmp_path)
    assert set(study.tables([]).table.query("state == 'unadapted'")["layer"]) == {"a"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split_by": {"planetd": "seed"}}, "study.split_by: planetd is not one of study.studies .planted"),
        ({"only": {"planetd": {"seed": 1}}}, "study.only: planetd is not one of"),
        ({"split_by": {"planted": "sead"}}, "has no column sead; take one of source, target, seed"),
        ({"only": {"planted": {"sead": 1}}}, "has no column sead"),
        ({"only": {"planted": {"seed": 99}}}, "planted has 0 records with distances, but 5 are needed"),
        ({"split_by": {"planted": "target"}}, "planted: 0 has 3 records"),
    ],
)
def test_refusals(planted, tmp_path, options, message):
    planted(networks=3)
    with pytest.raises(InputError, match=message):
        LatentSpaces({"planted": str(tmp_path)}, **options).tables([])


def test_a_score_that_does_not_vary_has_no_closest_distance(planted, tmp_path):
    study = planted(networks=3)
    table, distances = Tables.read(tmp_path)
    Tables(table.assign(gain=0.0), distances).write(tmp_path)
    assert {score for score, _ in closest(study)} == {"IoU without", "IoU with"}


def test_a_study_without_distances_is_refused(planted, tmp_path):
    study = planted(networks=3)
    (tmp_path / "distances.parquet").unlink()
    with pytest.raises(InputError, match="planted has 0 records with distances"):
        study.tables([])


def test_a_report_needs_its_table_alone(planted, tmp_path):
    study = planted(networks=3)
    study.tables([]).write(tmp_path)
    (tmp_path / "distances.parquet").unlink()
    report(study, tmp_path, "command")
    assert (tmp_path / "figures" / "map-planted.png").exists()
