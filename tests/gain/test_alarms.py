"""What a person is told to look at."""

import pytest
import torch

from bnadapt.gain import judge
from bnadapt.gain.alarms import specks_in
from tests.gain.conftest import squares

TARGETS = {
    "as the source": ({}, set()),
    "darker": ({"bright": 0.3, "dark": -0.7}, {"foreign intensities"}),
    "inverted": ({"bright": 0.0, "dark": 1.0}, {"inverted contrast"}),
}


@pytest.mark.parametrize("target", TARGETS)
def test_polarity_is_told_from_brightness(runner, source, target):
    options, expected = TARGETS[target]
    verdict, _ = judge(runner, squares(seed=7, **options)[0], source)
    names = {alarm.name for alarm in verdict.alarms}
    assert names & {"inverted contrast", "foreign intensities"} == expected


def test_specks_are_no_objects(runner, source):
    objects = squares(seed=7)[1]
    nothing = torch.zeros_like(objects)
    specks = nothing.clone()
    specks[:, ::5, ::5] = 1
    assert "specks" in specks_in(specks, source)
    assert specks_in(objects, source) is specks_in(nothing, source) is None


def test_on_noise_nothing_is_done_and_nothing_is_said_of_contrast_or_pixel_size(runner, source):
    verdict, _ = judge(runner, squares(seed=7, share=0.0)[0], source)
    names = {alarm.name for alarm in verdict.alarms}
    assert verdict.choice == "none"
    assert "noise" in names
    assert names.isdisjoint({"inverted contrast", "pixel size"})


def test_a_single_tile_is_little_to_go_by(runner, source):
    names = {alarm.name for alarm in judge(runner, squares(count=1, seed=7)[0], source)[0].alarms}
    assert "single tile" in names
    assert "single tile" not in {alarm.name for alarm in judge(runner, squares(seed=7)[0], source)[0].alarms}
