import torch

from bnadapt.labels.proposal import proposed_tiles


def test_tiles_are_spread_disagreed_on_and_different():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 1, 16, 16, generator=generator)
    images[5] = images[2] + 0.01  # a copy, of the other half of the volume
    disagreement = torch.tensor([0.1, 0.2, 0.9, 0.3, 0.1, 0.8, 0.4, 0.2])
    assert proposed_tiles(images, disagreement, range(8), 2) == [2, 6]
    assert proposed_tiles(images, disagreement, list(reversed(range(8))), 2) == [5, 3]
    assert sorted(proposed_tiles(images, disagreement, range(8), 20)) == [0, 1, 2, 3, 4, 6, 7]
