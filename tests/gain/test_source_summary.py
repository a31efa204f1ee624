"""What is known of a source, and calibration on it."""

import pytest
import torch

from bnadapt.gain import CANDIDATES, FEATURES, SourceSummary, features_of, run_candidates, summarise_source
from bnadapt.gain.features import PROMISING
from bnadapt.gain.predictions import soft_iou
from bnadapt.gain.source_summary import class_temperatures
from tests.gain.conftest import squares


def test_class_temperatures_make_confidence_true():
    """Logits that are three times too sharp for the foreground and right for the background."""
    torch.manual_seed(0)
    logit = torch.randn(1, 200, 200) * 2
    masks = (torch.rand(logit.shape) < logit.sigmoid()).long()
    sharpened = torch.where(logit > 0, 3 * logit, logit)
    temperatures = class_temperatures(torch.stack([torch.zeros_like(sharpened), sharpened], 1), masks)
    assert temperatures.tolist() == pytest.approx([1.0, 3.0], rel=0.1)
    predicted = sharpened > 0
    true = ((masks > 0) & predicted).sum() / ((masks > 0) | predicted).sum()
    calibrated = soft_iou(torch.stack([torch.zeros_like(sharpened), sharpened], 1), temperatures)
    assert calibrated == pytest.approx(true.item(), abs=0.005)


def test_temperatures_of_predictions_that_are_always_right_or_wrong():
    logits = torch.tensor([[[[2.0, -2.0]], [[-2.0, 2.0]]]])
    right = class_temperatures(logits, torch.tensor([[[0, 1]]]))
    wrong = class_temperatures(logits, torch.tensor([[[1, 0]]]))
    assert right.max() < 0.2
    assert wrong.min() > 19
    assert class_temperatures(logits[..., :1], torch.tensor([[[0]]]))[1] == 1


def test_a_summary_survives_a_checkpoint(runner, source, tmp_path):
    torch.save(source.state_dict(), tmp_path / "summary.pt")
    state = torch.load(tmp_path / "summary.pt", weights_only=True)
    restored = SourceSummary.from_state_dict(state, source.moments)
    results = run_candidates(runner, squares(seed=5, bright=0.6)[0], source, CANDIDATES)
    for name, features in features_of(restored, results).items():
        assert features == pytest.approx(features_of(source, results)[name], abs=1e-4)


def test_the_source_itself_looks_like_the_source(runner, source):
    images, _ = squares(seed=101)
    assert source.iou > 0.95
    assert source.intensities.mean == pytest.approx(images.mean().item())
    own = features_of(source, run_candidates(runner, images, source, CANDIDATES))["none"]
    for name in ("difference_of_confidence", "foreground_shift", "boundary_length", "edges", "flip_consistency"):
        assert own[name] == pytest.approx(0, abs=1e-6)
    assert own["class_confidence"] == pytest.approx(source.iou, abs=0.02)
    assert own["thresholded_confidence"] == pytest.approx(0, abs=0.01)
    assert own["distance_after"] < -8


def test_features_tell_what_adaptation_does(runner, source):
    darker = features_of(source, run_candidates(runner, squares(seed=7, bright=0.3, dark=-0.7)[0], source, CANDIDATES))
    assert list(darker["none"]) == list(FEATURES)
    assert darker["adapted"]["distance_before"] == darker["none"]["distance_after"]
    assert darker["adapted"]["distance_after"] < darker["adapted"]["distance_before"] - 2
    assert darker["none"]["agreement_with_unadapted"] == 1
    assert darker["none"]["agreement_with_adapted"] < 0.2
    inverted = features_of(source, run_candidates(runner, squares(seed=7, bright=0.0, dark=1.0)[0], source, CANDIDATES))
    assert inverted["adapted"]["mirrored_distance_after"] < -1 < 1 < darker["adapted"]["mirrored_distance_after"]
    assert inverted["inverted"]["mirrored_distance_after"] == -inverted["adapted"]["mirrored_distance_after"]
    assert inverted["inverted"]["class_confidence"] > inverted["adapted"]["class_confidence"]


def test_what_candidates_are_compared_by_does_not_depend_on_polarity(runner, source):
    images = squares(seed=7, bright=0.8, dark=0.1)[0]
    images += source.intensities.mean - images.mean()
    as_they_are = features_of(source, run_candidates(runner, images, source, CANDIDATES))
    inverted = features_of(source, run_candidates(runner, 2 * source.intensities.mean - images, source, CANDIDATES))
    for one, other in (("adapted", "inverted"), ("inverted", "adapted")):
        for name in PROMISING:
            assert inverted[other][name] == pytest.approx(as_they_are[one][name], abs=2e-3), name


def test_features_of_a_blank_target_are_finite(runner, source):
    found = features_of(source, run_candidates(runner, torch.zeros(4, 1, 32, 32), source, CANDIDATES))
    assert all(abs(value) < 1e3 for features in found.values() for value in features.values()), found


def test_masks_without_labels_are_refused(runner, source):
    images, masks = squares()
    with pytest.raises(Exception, match="no labelled pixel"):
        summarise_source(runner, images, masks * 0 + 255, source.moments)
