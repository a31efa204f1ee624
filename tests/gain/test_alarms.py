"""What a person is told to look at."""

import pytest

from bnadapt.gain import View, try_all
from bnadapt.gain.alarms import alarms_of
from tests.gain.conftest import squares

TARGETS = {
    "as the source": ({}, set()),
    "darker": ({"bright": 0.3, "dark": -0.7}, {"foreign intensities"}),
    "inverted": ({"bright": 0.0, "dark": 1.0}, {"inverted contrast"}),
}


@pytest.mark.parametrize("target", TARGETS)
def test_polarity_is_told_from_brightness(runs, source, target):
    options, expected = TARGETS[target]
    trials = try_all(runs, squares(seed=7, **options)[0], source)
    names = {alarm.name for alarm in alarms_of(View(source, trials, trials.treated["adapted"]))}
    assert names & {"inverted contrast", "foreign intensities"} == expected
