"""The closed form of what plain adaptation costs, against simulation."""

import numpy as np
import pandas as pd
import pytest

from bnadapt.studies.proportions.theory import adapted_iou, fitted_distance


@pytest.mark.parametrize(("source", "target"), [(0.3, 0.3), (0.3, 0.05), (0.1, 0.6)])
def test_the_closed_form_is_what_normalising_a_sample_does(source, target):
    distance, generator = 4.0, np.random.default_rng(1)

    def sample(share):
        foreground = generator.random(400_000) < share
        return foreground, generator.normal(size=len(foreground)) + distance * foreground

    _, values = sample(source)
    best = distance / 2 + np.log((1 - source) / source) / distance
    learned = (best - values.mean()) / values.std()
    foreground, values = sample(target)
    predicted = (values - values.mean()) / values.std() > learned
    iou = (predicted & foreground).sum() / (predicted | foreground).sum()
    assert adapted_iou(source, target, distance) == pytest.approx(iou, abs=0.01)


def test_the_distance_of_the_classes_is_found_again():
    shares = np.linspace(0.05, 0.8, 8)
    rows = pd.DataFrame({"foreground_source": 0.3, "foreground": shares, "iou_adapted": adapted_iou(0.3, shares, 5.5)})
    assert fitted_distance(rows) == pytest.approx(5.5, abs=1e-3)
