"""One case of every kind is measured; reports of what is left out of the options, on tables of made-up scores."""

import numpy as np
import pytest
import torch
import yaml
from matplotlib import pyplot

from bnadapt.commands.study import study_class
from bnadapt.commands.study_config import build, parser_of
from bnadapt.errors import InputError
from bnadapt.experiments.case import RunLocation
from bnadapt.gain import CANDIDATES, FEATURES
from bnadapt.studies import STUDIES
from bnadapt.studies.candidates.case import CandidateCase
from bnadapt.studies.comparison.case import ComparisonCase
from bnadapt.studies.comparison.methods import row_name
from bnadapt.studies.labels.case import STATISTICS, LabelsCase, ScratchCase, StartCase
from bnadapt.studies.self_training import UnlabelledCase
from tests.test_configs import FOLDER

SCORES = ["iou_source", "iou_unadapted", "iou_adapted", "iou_source_adapted", "foreground_source", "foreground"]
SCORES += ["foreground_unadapted", "foreground_adapted", "seconds", "foreground_estimated"]
SCORES += ["iou_mixed", "iou_offset", "iou_reweighted", "iou_corrected", "iou_oracle"]
COMPARED = ["iou", "dice", "iou_source", "dice_source", "seconds_training", "seconds_adaptation"]
COMPARED += ["target_crops", "target_tiles", "parameters"]
MEASURED = [name for name in STUDIES if name not in ("latent-spaces", "verdict")]  # these read the tables of others
NEEDS_SEVERAL = {"levels", "sets"}
ELSEWHERE = {"demo": FOLDER.parent}  # its config names files, relative to where the repository lies


def options_of(name):
    return yaml.safe_load((FOLDER / "studies" / "quick" / f"{name}.yaml").read_text())["study"]


def subsets():
    """Every option that holds several values with its first alone, its last alone, and none."""
    for name in MEASURED:
        yield pytest.param(name, {}, id=f"{name}-as it is")
        for option, given in options_of(name).items():
            if isinstance(given, dict):
                keys = list(given)
                parts = [{key: given[key]} for key in keys] if len(keys) > 1 else []
                parts += [{}]
            elif isinstance(given, list):
                parts = [[given[0]], [given[-1]], []] if len(given) > 1 else [[]]
            else:
                continue
            yield from (
                pytest.param(name, {option: part}, id=f"{name}-{option}-{number}") for number, part in enumerate(parts)
            )


def made_up(case, generator):
    """Rows as the case would give, with random scores."""
    if isinstance(case, ComparisonCase):
        yield from compared(case, generator)
        return
    if isinstance(case, StartCase | LabelsCase | ScratchCase):
        yield from learnt(case, generator)
        return
    if isinstance(case, UnlabelledCase):
        yield {"iou": generator.random(), "foreground": 0.2, "predicted": 0.2, "seconds": 1.0}
        return
    if isinstance(case, CandidateCase):
        yield from tried(generator)
        return
    steps = [step for step in case.steps if step <= case.network.training.steps] if hasattr(case, "steps") else [None]
    for step in steps:
        row = dict(zip(SCORES, generator.random(len(SCORES)).tolist(), strict=True))
        row["gain"] = row["iou_adapted"] - row["iou_unadapted"]
        yield {**row, "tiles": 8, "network": case.labels.get("source", ""), **({"step": step} if step else {})}


def learnt(case, generator):
    learn = STATISTICS if isinstance(case, StartCase) else getattr(case, "learn", "all")
    tiles = getattr(case, "tiles", 0) or 30
    yield {"learn": learn, "iou": generator.random(), "labelled_tiles": tiles, "seconds": 1.0}


def compared(case, generator):
    for treatment in case.afterwards:
        row = dict(zip(COMPARED, generator.random(len(COMPARED)).tolist(), strict=True))
        yield {**row, "row": row_name(case.labels["method"], treatment)}


def tried(generator):
    for name in CANDIDATES:
        features = {
            f"feature_{feature}": value
            for feature, value in zip(FEATURES, generator.random(len(FEATURES)), strict=True)
        }
        yield {"candidate": name, "iou": generator.random(), "foreground": 0.2, "network": "a", **features}


def shortened(options):
    """Options of a study with the shortest training."""
    if isinstance(options, dict):
        shorter = {name: shortened(each) for name, each in options.items()}
        return shorter | {"steps": 2, "network_args": {"base_channels": 4}} if "crop_size" in options else shorter
    return options


@pytest.mark.parametrize(
    ("name", "changed"),
    [("irregular-training", {"steps": [1, 2]}), ("proportions", {}), ("candidates", {}), ("image-shifts", {})],
)
def test_a_measured_case_gives_the_columns_of_its_study(name, changed, tmp_path):
    """One case of every kind; those of `comparison` and `labels` are measured in other tests."""
    kind = study_class(name)
    study = build(kind, parser_of(kind).parse_object({"study": {**shortened(options_of(name)), **changed}}))
    case = study.cases()[0]
    rows = case.measure(RunLocation(tmp_path, tmp_path, tmp_path, torch.device("cpu")))
    tables = study.tables([(case, rows)])
    assert set(study.columns) <= set(tables.table)
    scores = [column for column in tables.table if column.startswith("iou")]
    assert tables.table[scores].stack().between(0, 1).all()


@pytest.mark.parametrize(("name", "changed"), list(subsets()))
def test_what_is_left_out_is_refused_or_not_missed(name, changed, monkeypatch):
    monkeypatch.chdir(ELSEWHERE.get(name, "."))
    kind = study_class(name)
    try:
        study = build(kind, parser_of(kind).parse_object({"study": {**options_of(name), **changed}}))
    except InputError:
        assert not all(changed.values()) or changed.keys() & NEEDS_SEVERAL  # else only nothing may be refused
        return
    generator = np.random.default_rng(0)
    tables = study.tables([(case, list(made_up(case, generator))) for case in study.cases()])
    assert set(study.columns) <= set(tables.table)
    assert all(sentence.endswith(".") and "nan" not in sentence for sentence in study.findings(tables))
    study.summary(tables)
    study.pictures(tables)
    assert study.figures(tables)
    pyplot.close("all")
