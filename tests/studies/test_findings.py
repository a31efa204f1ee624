"""What every study says of tables that were made by hand, whose numbers are known."""

import numpy as np
import pandas as pd
import pytest

from bnadapt.commands.demo import Demo
from bnadapt.experiments.networks import Training
from bnadapt.experiments.tables import Tables
from bnadapt.studies.how_much import LAYERS, TILES, WEIGHT, HowMuch, Transfer
from bnadapt.studies.image_shifts import NONE, ImageShifts, ShiftedSource
from bnadapt.studies.irregular_training import Irregularity, IrregularTraining
from bnadapt.studies.pairing import DataSetGroup
from bnadapt.studies.pairs import Pairs
from bnadapt.studies.proportions.case import ROWS
from bnadapt.studies.proportions.study import Proportions
from bnadapt.studies.two_mean_grid import TwoMeanGrid
from tests.test_configs import FOLDER as CONFIGS

SYNTHETIC = {"class": "Synthetic"}


def tables(rows):
    """Tables of rows, each with what adaptation changes and a name for its record."""
    table = pd.DataFrame(rows)
    table["gain"] = table["iou_adapted"] - table["iou_unadapted"]
    return Tables(table.assign(record=[str(number) for number in range(len(table))]), pd.DataFrame())


# Pairs: three data sets; means over seeds are what is written here, and seeds differ by twice `spread`
PAIRS = {
    ("a", "b"): (0.20, 0.50, 0.01),  # gains 0.3, clearly
    ("a", "c"): (0.40, 0.45, 0.10),  # gains 0.05, less than the spread
    ("b", "a"): (0.50, 0.40, 0.01),  # costs 0.1, clearly
    ("b", "c"): (0.30, 0.35, 0.01),  # gains 0.05, clearly
    ("c", "a"): (0.50, 0.515, 0.01),  # gains 0.015, 1.5 standard deviations
    ("c", "b"): (0.40, 0.42, 0.20),  # gains 0.02, less than the spread
}


def pairs(seeds):
    rows = []
    for seed in range(seeds):
        for (source, target), (without, adapted, spread) in PAIRS.items():
            sign = {0: -1, 1: 1}.get(seed, 0) if seeds > 1 else 0
            scores = {"iou_unadapted": without, "iou_adapted": adapted + sign * spread, "iou_target_trained": 0.8}
            labels = {"task": "t", "intensity": "dtype", "source": source, "target": target, "seed": seed}
            rows.append({**labels, **scores})
        own = {"iou_unadapted": 0.8, "iou_adapted": 0.8, "iou_target_trained": 0.8}
        rows += [{"task": "t", "intensity": "dtype", "source": s, "target": s, "seed": seed, **own} for s in "abc"]
    return tables(rows)


@pytest.fixture
def of_pairs():
    return Pairs({"t": DataSetGroup(dict.fromkeys("abc", SYNTHETIC))}, ["dtype"], pictured=False)


def test_pairs_count_clear_gains_and_costs_apart(of_pairs):
    (sentence,) = of_pairs.findings(pairs(seeds=3))
    assert "over 6 ordered pairs is 0.383 without and 0.439 with adaptation, 0.800 with networks trained" in sentence
    assert "adaptation closes 13% of that gap" in sentence
    assert "In 2 pairs it gains and in 1 it costs more than 2 standard deviations over seeds." in sentence
    assert sentence.endswith("ranges from -0.100 ± 0.010, b -> a (t), to +0.300 ± 0.010, a -> b (t).")


def test_pairs_of_a_single_seed_count_nothing_as_clear(of_pairs):
    (sentence,) = of_pairs.findings(pairs(seeds=1))
    assert "standard deviations" not in sentence
    assert sentence.endswith("The gain ranges from -0.100, b -> a (t), to +0.300, a -> b (t).")


def test_the_summary_of_pairs_has_the_spread_over_seeds_of_the_mean_over_pairs(of_pairs):
    summary = of_pairs.summary(pairs(seeds=3))
    assert summary.rows == [["dtype", "0.383 ± 0.000", "0.439 ± 0.057", "0.800 ± 0.000"]]
    assert of_pairs.summary(pairs(seeds=1)).rows == [["dtype", "0.383", "0.439", "0.800"]]


def test_the_demo_gives_means_over_seeds_and_names_what_it_costs_the_source():
    study = Demo([str(CONFIGS / "synthetic.yaml")], ["zscore"], [1, 2])
    rows = [
        {
            **{"transfer": "synthetic", "intensity": "zscore", "seed": seed, "seconds": 2.0},
            **{"iou_source": 0.9, "iou_unadapted": 0.2, "iou_adapted": 0.7 + sign * 0.1, "iou_source_adapted": 0.3},
        }
        for seed, sign in ((1, -1), (2, 1))
    ]
    (sentence,) = study.findings(tables(rows))
    assert "target's IoU is 0.200 without and 0.700 with adaptation (+0.500 ± 0.141), which took 2.0 s" in sentence
    assert "on the source it changes from 0.900 to 0.300" in sentence
    summary = study.summary(tables(rows)).rows[0]
    assert "after ± are one standard deviation" in study.question
    assert "synthetic: Bright blobs on a dark background" in study.question
    assert summary[:5] == ["synthetic", "0.200 ± 0.000", "0.700 ± 0.141", "+0.500 ± 0.141", "0.900 ± 0.000"]


def test_the_demo_names_a_scaling_only_beside_another_and_draws_no_whiskers_of_one_seed():
    rows = [
        {
            **{"transfer": "a to b", "intensity": intensity, "seed": 1, "seconds": 2.0, "gain": 0.5},
            **{"iou_source": 0.9, "iou_unadapted": 0.2, "iou_adapted": 0.7, "iou_source_adapted": 0.3},
        }
        for intensity in ("zscore", "dtype")
    ]
    study = Demo([str(CONFIGS / "synthetic.yaml")])
    assert study.findings(tables(rows[:1]))[0].startswith("a to b: the target's IoU")
    assert [each.split(":")[0] for each in study.findings(tables(rows))] == ["a to b, zscore", "a to b, dtype"]
    (panel,) = study.figures(tables(rows[:1]))["iou"].figure.axes
    whiskers = [path for lines in panel.collections for path in lines.get_paths() if np.isfinite(path.vertices).all()]
    assert whiskers == []


def test_image_shifts_list_what_helps_and_what_harms_apart():
    study = ImageShifts({"s": ShiftedSource(SYNTHETIC)}, ["blur", "brightness", "inversion"])
    gains = {"blur": (0.0, -0.02), "brightness": (0.2, 0.4), "inversion": (-0.3, -0.1)}
    rows = [{"source": "s", "shift": NONE, "level": 0, "severity": 0.0, "iou_unadapted": 0.9, "iou_adapted": 0.85}]
    for shift, levels in gains.items():
        for level, gain in enumerate(levels, start=1):
            scores = {"iou_unadapted": 0.5, "iou_adapted": 0.5 + gain}
            rows.append({"source": "s", "shift": shift, "level": level, "severity": level / 10, **scores})
    assert study.findings(tables(rows)) == [
        "Adaptation gains more than 0.05 IoU, mean over severities and 1 source, under brightness (+0.30); it costs as"
        " much under inversion (-0.20)."
    ]


def test_irregular_training_compares_early_and_late():
    irregular = {"slow": Irregularity({"momentum": 0.001}), "hasty": Irregularity({"momentum": 0.9})}
    study = IrregularTraining({"s": SYNTHETIC}, Training(steps=20), irregular, steps=[5, 20])
    gains = {("regular", 5): 0.1, ("regular", 20): 0.0, ("slow", 5): 0.3, ("slow", 20): 0.2}
    gains |= {("hasty", 5): -0.05, ("hasty", 20): -0.2}
    rows = [
        {"source": "s", "irregularity": kind, "step": step, "seed": 1, "iou_unadapted": 0.5, "iou_adapted": 0.5 + gain}
        for (kind, step), gain in gains.items()
    ]
    (early,) = study.findings(tables(rows))
    assert "after 5 steps of a regular training re-estimation changes the IoU by +0.100" in early
    assert "At the end (20 steps) it changes it by: regular +0.000, slow +0.200, hasty -0.200." in early


def test_how_much_names_what_is_safest_and_enough():
    study = HowMuch({"one": Transfer(SYNTHETIC, SYNTHETIC), "two": Transfer(SYNTHETIC, SYNTHETIC)})
    gains = {
        ("one", WEIGHT): {"0.0": 0.30, "0.5": 0.20, "0.9": 0.10},
        ("two", WEIGHT): {"0.0": -0.10, "0.5": 0.05, "0.9": 0.02},
        ("one", LAYERS): {"all": 0.30, "encoder": 0.32, "decoder": -0.05},
        ("two", LAYERS): {"all": -0.10, "encoder": -0.02, "decoder": 0.01},
        ("one", TILES): {"1": 0.10, "2": 0.295, "4": 0.20, "8": 0.305, "16": 0.30},
        ("two", TILES): {"1": -0.10, "2": -0.1, "4": -0.1, "8": -0.1, "16": -0.1},
    }
    rows = [
        {"transfer": name, "varied": what, "value": value, "seed": 1, "iou_unadapted": 0.5, "iou_adapted": 0.5 + gain}
        for (name, what), values in gains.items()
        for value, gain in values.items()
    ]
    safe, enough = study.findings(tables(rows))
    assert "the safest source weight is 0.5 (+0.050 at worst), the safest layers are encoder (-0.020 at worst)" in safe
    assert enough.endswith("with 16, or all there are: 8 for one, 1 for two.")


def test_the_grid_tells_kept_and_inverted_contrast_apart():
    study = TwoMeanGrid(sources=[(0.7, 0.3)], levels=[0.1, 0.9])
    grid = [
        {"mean_1": 0.9, "mean_2": 0.1, "same_polarity": True, "iou_unadapted": 0.95, "iou_adapted": 0.97},
        {"mean_1": 0.5, "mean_2": 0.1, "same_polarity": True, "iou_unadapted": 0.05, "iou_adapted": 0.93},
        {"mean_1": 0.1, "mean_2": 0.9, "same_polarity": False, "iou_unadapted": 0.10, "iou_adapted": 0.02},
        {"mean_1": 0.5, "mean_2": 0.9, "same_polarity": False, "iou_unadapted": 0.04, "iou_adapted": 0.00},
        {"mean_1": 0.9, "mean_2": 0.9, "same_polarity": False, "iou_unadapted": 0.30, "iou_adapted": 0.99},
    ]
    rows = [{"part": "grid", **row} for row in grid]
    same, inverted = study.findings(tables(rows))
    assert "(2 records), 50% reach an IoU of 0.9 without adaptation and 100% with it" in same
    assert "mean IoU 0.50 and 0.95" in same
    assert "inverted (2 records), 0% do without and 0% with adaptation; the mean IoU with it is 0.010" in inverted


def test_proportions_tell_large_differences_from_small_ones():
    def row(part, source, target, seed, shares, scores):
        true, estimated, own = shares
        return {
            **{"part": part, "source": source, "target": target, "seed": seed},
            **dict(zip(ROWS, scores, strict=True)),
            **{"foreground": true, "foreground_estimated": estimated, "foreground_source": own},
        }

    rows = [
        row("cells", "a", "b", 1, (0.08, 0.08, 0.3), (0.5, 0.2, 0.3, 0.4, 0.4, 0.8, 0.9)),
        row("cells", "a", "b", 2, (0.08, 0.5, 0.3), (0.5, 0.2, 0.3, 0.4, 0.4, 0.6, 0.9)),
        row("cells", "a", "c", 1, (0.3, 0.3, 0.3), (0.5, 0.7, 0.6, 0.7, 0.7, 0.6, 0.7)),
        row("cells", "a", "c", 2, (0.3, 0.3, 0.3), (0.5, 0.7, 0.6, 0.7, 0.7, 0.7, 0.7)),
    ]
    study = Proportions()
    much, little = study.findings(tables(rows))
    assert much.startswith("Where proportions differ 3 times or more (2 real records), the mean IoU is 0.500 without")
    assert much.endswith("0.700 corrected, 0.900 corrected (true proportions).")
    assert "differ less than 3 times (2 real records), the mean IoU is 0.500 without, 0.700 AdaBN" in little
    assert study.summary(tables(rows)).rows[0][8] == "0.700 ± 0.141"
