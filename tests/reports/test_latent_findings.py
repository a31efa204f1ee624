"""Sentences on distances follow from them, and the page holds all of it."""

import csv
import re

import numpy as np
import pytest
import torch

from bnadapt.distances import MEASURES, LatentStates, Sketch
from bnadapt.reports.distance_figures import pictures
from bnadapt.reports.distance_page import caption, write_distances
from bnadapt.reports.latent_findings import LatentFindings, answer, details

LAYERS = {"first": 3, "middle": 8, "last": 4}


def sketches(shifts, seed):
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.arange(16).repeat_interleave(40)
    return {
        layer: Sketch.of(torch.randn(640, channels, generator=generator) + shifts.get(layer, 0.0), numbers)
        for layer, channels in LAYERS.items()
    }


def findings(target, adapted=None, measures=MEASURES):
    """Findings on a source without a shift and a target with shifts by layer, without and with adaptation."""
    states = LatentStates(sketches({}, 0), sketches(target, 1), None if adapted is None else sketches(adapted, 2))
    examples = {layer: torch.randn(50, channels) for layer, channels in LAYERS.items()}
    domains = ["source", "target"] + (["adapted"] if adapted is not None else [])
    return LatentFindings(
        source="here",
        target="there",
        tiles=dict.fromkeys(domains, 16),
        states=states,
        rows=states.rows(measures),
        examples=dict.fromkeys(domains, examples),
    )


def test_rows_are_every_layer_state_and_measure_in_order():
    rows = findings({"middle": 2.0}, {}).rows
    assert len(rows) == 3 * 3 * len(MEASURES)
    assert list(dict.fromkeys((row.layer, row.depth, row.channels) for row in rows)) == [
        ("first", 0, 3),
        ("middle", 1, 8),
        ("last", 2, 4),
    ]
    assert list(dict.fromkeys(row.state for row in rows)) == ["noise_floor", "unadapted", "adapted"]
    assert {(row.source_samples, row.target_samples) for row in rows if row.state == "noise_floor"} == {(320, 320)}
    assert {(row.source_samples, row.target_samples) for row in rows if row.state != "noise_floor"} == {(640, 640)}


def test_the_answer_says_how_far_apart_and_what_adaptation_removes():
    found = findings({"middle": 2.0, "last": 1.0}, {"last": 1.5})
    text = answer(found)
    assert text.startswith("here and there clearly differ in 2 of 3 latent spaces. There adaptation removes ")
    assert text.endswith("; 1 of these spaces still clearly differ.")
    without = answer(findings({"middle": 2.0, "last": 1.0}))
    assert without.startswith("here and there clearly differ in 2 of 3 latent spaces. ")
    assert "differ most in middle: 1.9" in without


def test_details_name_the_layers_that_moved_and_what_adaptation_leaves():
    text = " ".join(details(findings({"middle": 2.0, "last": 1.0}, {"last": 1.5})))
    assert "here and there differ most in middle: 1.9" in text
    removed = int(re.search(r"removes (\d+)% of the distance in middle", text)[1])
    assert removed > 90
    assert "adds 5" in text
    assert "largest remaining distance is in last: 1.4" in text


def test_without_a_shift_there_is_nothing_to_remove():
    assert "no shift that adaptation could remove" in answer(findings({}, {}))
    assert answer(findings({})) == "here and there differ no more than two halves of here."


def test_sentences_are_about_the_measure_that_was_taken():
    found = findings({"first": 2.0}, measures={"energy": MEASURES["energy"]})
    assert "root of latents (energy distance;" in answer(found)


@pytest.mark.parametrize("adapted", [None, {}])
def test_captions_tell_of_nothing_that_is_not_drawn(adapted):
    found = findings({"middle": 2.0}, adapted)
    _, text = caption("depth", found)
    assert ("Blue" in text) == (adapted is not None)
    assert "Grey" in text


def test_the_page_opens_with_the_verdict_where_there_is_one(tmp_path):
    found = findings({"middle": 2.0}, {})
    write_distances(found, pictures(found), tmp_path / "page", "Adapt: expected IoU 0.5.")
    lines = (tmp_path / "page" / "README.md").read_text().splitlines()
    assert lines[2] == "**Adapt: expected IoU 0.5.**"
    assert lines[4] == answer(found)


@pytest.mark.parametrize("adapted", [None, {}])
@pytest.mark.parametrize("names", [list(MEASURES), ["energy"], list(MEASURES)[4:8]])
def test_the_page_holds_sentences_pictures_and_all_numbers(tmp_path, adapted, names):
    found = findings({"middle": 2.0}, adapted, {name: MEASURES[name] for name in names})
    drawn = pictures(found)
    assert all(picture.dtype == np.uint8 and picture.std() > 5 for picture in drawn.values())
    write_distances(found, drawn, tmp_path / "page")
    page = (tmp_path / "page" / "index.html").read_text()
    for name in ("depth", "map", "densities", "view", "agreement"):
        assert f'src="{name}.png"' in page
        assert (tmp_path / "page" / f"{name}.png").stat().st_size > 1000
    assert all(sentence in page for sentence in (answer(found), *details(found)))
    rows = list(csv.DictReader((tmp_path / "page" / "distances.csv").open()))
    assert len(rows) == len(found.rows)
    assert [float(row["value"]) for row in rows] == [row.value for row in found.rows]


def test_one_tile_a_domain_still_gives_a_page(tmp_path):
    cloud, numbers = torch.randn(40, 3), torch.zeros(40, dtype=torch.int64)
    sketch = {"only": Sketch.of(cloud, numbers)}
    states = LatentStates(sketch, {"only": Sketch.of(cloud + 1, numbers)})
    tiles, examples = {"source": 1, "target": 1}, {"source": {"only": cloud}, "target": {"only": cloud + 1}}
    found = LatentFindings("here", "there", tiles, states, states.rows(), examples)
    drawn = pictures(found)
    assert list(drawn) == ["depth", "densities", "view"]
    write_distances(found, drawn, tmp_path / "page")
    page = (tmp_path / "page" / "index.html").read_text()
    assert "differ most in only" in page
    assert "Grey" not in page
    assert "More tiles of here are needed" in page
