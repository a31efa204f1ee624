"""When the statistics have converged, and what finding out costs."""

import pytest
import torch
from torch import nn

from bnadapt.batchnorm import UntilConverged, estimate

NEVER = UntilConverged(1e-9, min_tiles=2)


@pytest.fixture
def tiles():
    """Images (64, 2, 6, 6) whose first channel differs from tile to tile far more than its second."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(64, 2, 6, 6, generator=generator)
    images[:, 0] += 5 * torch.randn(64, 1, 1, generator=generator)
    return images


def test_the_error_of_a_layer_is_the_root_mean_square_over_its_channels(tiles):
    curve = estimate(nn.Sequential(nn.BatchNorm2d(2)), tiles, until=NEVER).convergence
    of_channels = tiles.mean((2, 3)).std(0) / len(tiles) ** 0.5 / tiles.std((0, 2, 3))
    assert of_channels[0] > 4 * of_channels[1]
    assert curve.mean["0"][-1] == pytest.approx(of_channels.square().mean().sqrt().item(), rel=0.02)


def test_the_worst_layer_decides(tiles):
    network = nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm2d(2))
    found = estimate(network, tiles, batch_size=4, until=UntilConverged(0.2, min_tiles=4))
    curves = (found.convergence.mean, found.convergence.log_variance)
    worst = [max(curve[name][check] for curve in curves for name in curve) for check in (-2, -1)]
    assert worst[1] <= 0.2 < worst[0]


def test_all_checks_of_layer_consistent_statistics_cost_less_than_three_passes(tiles):
    network = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))
    passed = []
    network[0].register_forward_hook(lambda layer, inputs, output: passed.append(len(output)))
    found = estimate(network, tiles, batch_size=1, propagation="layer_consistent", until=NEVER)
    assert found.tiles == 64
    assert len(found.convergence.tiles) > 4
    assert sum(passed) < 3 * 64
