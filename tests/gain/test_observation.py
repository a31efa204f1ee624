"""Latents, predictions and how these hold under small changes."""

import math

import pytest
import torch
from torch import nn

from bnadapt.adaptation import NetworkRunner
from bnadapt.distances import Distribution
from bnadapt.errors import InputError
from bnadapt.gain import latent_summaries as summaries
from bnadapt.gain import observe
from bnadapt.gain.latent_summaries import LatentSummary, compared_layers, log_frechet
from bnadapt.gain.observation import Observation
from bnadapt.gain.predictions import STATISTICS, log_odds, overlap, soft_iou, uncertainty
from bnadapt.networks import UNet


def seen_as(classes, images=None, sharpness=5.0, flipped=None):
    """An observation of maps of classes 0 and 1."""
    logits = sharpness * torch.stack([1 - 2 * classes, 2 * classes - 1], 1).float()
    images = torch.zeros(len(classes), 1, *classes.shape[1:]) if images is None else images
    return Observation(images, logits, logits if flipped is None else flipped, 0.0, {})


HALVES = torch.zeros(1, 4, 6, dtype=torch.int64)
HALVES[:, :, 3:] = 1


def test_statistics_of_a_known_map():
    image = HALVES.float().unsqueeze(1)
    seen = seen_as(HALVES, image)
    found = {name: statistic(seen) for name, statistic in STATISTICS.items()}
    assert found["foreground"] == 0.5
    assert found["confidence"] == pytest.approx(1 / (1 + math.exp(-10)))
    assert found["collapse"] == pytest.approx(0, abs=1e-6)
    assert found["consistency"] == 1
    assert found["boundaries"] == pytest.approx(4 / 24)
    assert found["edge_alignment"] == pytest.approx(1 / (4 / (20 + 18)))  # 4 of 38 pairs of neighbours differ by 1
    assert found["width"] == pytest.approx(0.5 / (4 / 24))
    assert found["sharpness"] == pytest.approx(4 / 20 / 2 / image.std().item())  # 4 of 20 pairs along rows, none across
    assert found["polarity"] == pytest.approx(1 / image.std().item())
    assert STATISTICS["polarity"](seen_as(1 - HALVES, image)) == pytest.approx(-found["polarity"])


def test_statistics_of_a_single_class_are_finite():
    for classes in (torch.zeros_like(HALVES), torch.ones_like(HALVES)):
        found = {name: statistic(seen_as(classes)) for name, statistic in STATISTICS.items()}
        assert all(math.isfinite(value) for value in found.values()), found
        assert found["collapse"] > 0.99
    assert uncertainty(seen_as(HALVES * 0), 1.0) == math.inf


def test_uncertainty_counts_small_margins_per_boundary():
    seen = seen_as(HALVES)
    seen.logits[0, :, 0, 0] = torch.tensor([0.1, 0.0])
    assert uncertainty(seen, 1.0) == 1 / 4


def test_overlap_and_log_odds():
    assert overlap(HALVES, torch.ones_like(HALVES)) == 0.5
    assert overlap(HALVES * 0, HALVES * 0) == 1
    assert log_odds(0.0) == pytest.approx(-log_odds(1.0))
    assert log_odds(0.8) == pytest.approx(math.log(4))


def test_soft_iou_is_what_the_probabilities_promise():
    probability = torch.tensor([[[0.9, 0.8], [0.3, 0.0]]])
    logits = torch.stack([torch.zeros_like(probability), torch.logit(probability, eps=1e-9)], 1)
    assert soft_iou(logits, torch.ones(2)) == pytest.approx(1.7 / 2.3, abs=1e-6)
    hotter = soft_iou(logits, torch.tensor([1.0, 1e6]))  # what is predicted as foreground becomes even odds
    assert hotter == pytest.approx(1.0 / 2.3, abs=1e-4)


def test_a_pointwise_network_is_the_same_on_turned_images():
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()
    seen = observe(NetworkRunner(network), torch.randn(3, 1, 8, 8))
    assert torch.allclose(seen.logits, seen.flipped, atol=1e-6)
    assert list(seen.latents) == ["1"]
    assert seen.logits.shape == (3, 2, 8, 8)


def test_dropout_changes_nothing_where_the_last_layer_sees_nothing():
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 1)).eval()
    tiles = torch.randn(2, 1, 8, 8)
    assert 0 < observe(NetworkRunner(network), tiles).disagreement < 1
    network[1].weight.data.zero_()
    assert observe(NetworkRunner(network), tiles).disagreement == 0


def test_a_network_without_maps_is_refused():
    network = nn.Sequential(nn.BatchNorm2d(1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2)).eval()
    with pytest.raises(InputError, match="no logits"):
        observe(NetworkRunner(network), torch.randn(2, 1, 8, 8))


def test_wide_layers_are_kept_along_64_directions():
    torch.manual_seed(0)
    narrow = LatentSummary.of(Distribution.of(torch.randn(500, 8)))
    wide = LatentSummary.of(Distribution.of(torch.randn(500, 100)))
    assert narrow.gaussian.covariance.shape == (8, 8)
    assert wide.gaussian.covariance.shape == (64, 64)
    assert wide.skewness.shape == (64,)
    skewed = LatentSummary.of(Distribution.of(torch.randn(20000, 2).exp()))
    assert skewed.skewness.min() > 2


def test_distances_of_summaries():
    torch.manual_seed(0)
    latents = torch.randn(2000, 6)
    here, there, far = ({"0": LatentSummary.of(Distribution.of(latents + by))} for by in (0, 1, 2))
    assert log_frechet(here, here) == pytest.approx(math.log(summaries.SMALLEST))
    # a shift by one standard deviation in 6 channels; twice the shift is four times as far
    assert log_frechet(here, there) == pytest.approx(math.log(6), abs=0.1)
    assert log_frechet(here, far) - log_frechet(here, there) == pytest.approx(math.log(4), abs=1e-6)
    assert summaries.correlation_mismatch(here, far) == pytest.approx(0, abs=1e-6)
    again = {"0": LatentSummary.from_state_dict(here["0"].state_dict())}
    assert log_frechet(again, there) == pytest.approx(log_frechet(here, there), abs=1e-5)


def test_layers_of_a_unet_are_its_stages():
    layers = compared_layers(UNet(base_channels=4))
    assert len(layers) == 9
    assert not any(layer.endswith((".1", ".4")) for layer in layers if layer.count(".") > 1)
