"""A small network that segments bright squares, and tiles of them."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from bnadapt.adaptation import NetworkRunner
from bnadapt.gain import summarise_source


def squares(count=8, seed=0, bright=1.0, dark=0.0, share=0.25, size=32):
    """Tiles (n, 1, h, w) with a square each, and masks (n, h, w)."""
    generator = torch.Generator().manual_seed(seed)
    side = round(size * share**0.5)
    masks = torch.zeros(count, size, size, dtype=torch.int64)
    for mask in masks:
        row, column = torch.randint(0, size - side + 1, (2,), generator=generator).tolist()
        mask[row : row + side, column : column + side] = 1
    images = torch.where(masks > 0, bright, dark) + 0.1 * torch.randn(masks.shape, generator=generator)
    return images.unsqueeze(1), masks


@pytest.fixture(scope="session")
def runner():
    """A trained network in eval mode, as an `NetworkRunner`."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Conv2d(8, 2, 1),
    )
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for step in range(60):
        images, masks = squares(seed=step)
        optimizer.zero_grad()
        cross_entropy(network(images), masks).backward()
        optimizer.step()
    return NetworkRunner(network.eval())


@pytest.fixture(scope="session")
def source(runner):
    """What is known of its source."""
    images, masks = squares(seed=100)
    moments = runner.class_moments([{"image": images, "mask": masks}], 2)
    return summarise_source(runner, *squares(seed=101), moments)
