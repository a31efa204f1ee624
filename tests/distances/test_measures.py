"""Distances against closed forms and independent computations."""

import numpy as np
import ot
import pytest
import scipy.linalg
import torch
from torch import nn

from bnadapt.distances import MEASURES, bhattacharyya, draw_latents, gaussian_wasserstein, sliced_wasserstein


def cloud(mean, deviation, count=4000, channels=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, generator=generator) * deviation + mean


@pytest.mark.parametrize("measure", MEASURES.values(), ids=list(MEASURES))
def test_zero_on_itself_and_symmetric(measure):
    one, other = cloud(0, 1), cloud(1, 2, seed=1)
    assert measure(one, one) == pytest.approx(0, abs=1e-5)
    assert measure(one, other) == pytest.approx(measure(other, one), rel=1e-6)
    assert measure(one, other) > 0.1


def test_gaussian_wasserstein_of_a_shift_is_its_length():
    one = cloud(0, 1)
    assert gaussian_wasserstein(one, one + torch.tensor([3.0, 4.0, 0.0])) == pytest.approx(5, rel=1e-6)


def test_gaussian_wasserstein_agrees_with_scipy():
    one, other = cloud(0, torch.tensor([1.0, 2.0, 0.5])), cloud(1, 2, seed=1) @ torch.randn(3, 3)
    first, second = (np.cov(each.double().numpy().T, bias=True) for each in (one, other))
    root = scipy.linalg.sqrtm(first)
    cross = scipy.linalg.sqrtm(root @ second @ root).real
    means = (one.double().mean(0) - other.double().mean(0)).square().sum().item()
    expected = np.sqrt(means + np.trace(first + second - 2 * cross))
    assert gaussian_wasserstein(one, other) == pytest.approx(expected, rel=1e-6)


def test_bhattacharyya_agrees_with_numerical_integration_in_one_dimension():
    one, other = cloud(0, 1, channels=1), cloud(1.5, 2, channels=1, seed=1)
    grid = np.linspace(-20, 20, 200_001)

    def density(latents):
        mean, variance = latents.double().mean().item(), latents.double().var(correction=0).item()
        return np.exp(-((grid - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)

    expected = -np.log(np.trapezoid(np.sqrt(density(one) * density(other)), grid))
    assert bhattacharyya(one, other) == pytest.approx(expected, rel=5e-3)


def test_sliced_wasserstein_of_a_shift():
    one = cloud(0, 1, channels=1)
    assert sliced_wasserstein(one, one + 2) == pytest.approx(2, rel=1e-5)


@pytest.mark.parametrize("count", [4000, 3000])
def test_sliced_wasserstein_agrees_with_pot_on_the_same_directions(count):
    one, other = cloud(0, 1).double(), cloud(1, 2, count=count, seed=1).double()
    directions = torch.randn(3, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = ot.sliced_wasserstein_distance(one, other, projections=directions / directions.norm(dim=0))
    assert sliced_wasserstein(one, other) == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=list(MEASURES))
def test_dead_channels_and_few_samples_give_finite_values(measure):
    one, other = cloud(0, 1, count=5, channels=16), cloud(1, 1, count=5, channels=16, seed=1)
    one[:, 3] = other[:, 3] = 0
    assert np.isfinite(measure(one, other))


def test_latents_are_drawn_from_every_image_and_hooks_are_gone():
    net = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.ReLU(inplace=True)).eval()
    images = torch.randn(5, 1, 8, 8)
    latents = draw_latents(net, {"norm": net[1]}, images.split(2), per_image=7)["norm"]
    assert latents.shape == (35, 3)
    assert (latents < 0).any()
    assert not net[1]._forward_hooks
    outputs = net[1](net[0](images)).flatten(2).transpose(1, 2)
    for index, drawn in enumerate(latents.split(7)):
        assert all((outputs[index] == one).all(1).any() for one in drawn)
