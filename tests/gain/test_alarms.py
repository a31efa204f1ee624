"""What a person is told to look at."""

import pytest

from bnadapt.gain import View, run_candidates
from bnadapt.gain.alarms import alarms_of
from tests.gain.conftest import squares

TARGETS = {
    "as the source": ({}, set()),
    "darker": ({"bright": 0.3, "dark": -0.7}, {"foreign intensities"}),
    "inverted": ({"bright": 0.0, "dark": 1.0}, {"inverted contrast"}),
}


@pytest.mark.parametrize("target", TARGETS)
def test_polarity_is_told_from_brightness(runner, source, target):
    options, expected = TARGETS[target]
    results = run_candidates(runner, squares(seed=7, **options)[0], source)
    names = {alarm.name for alarm in alarms_of(View(source, results, results["adapted"]))}
    assert names & {"inverted contrast", "foreign intensities"} == expected
