"""Which layers see the images at full resolution, and adapting these alone."""

import pytest
import torch
from torch import nn

from bnadapt.batchnorm import FULL_RESOLUTION, Bank, BatchNormError, Policy, estimate, full_resolution_layers
from bnadapt.networks import UNet, build_network

IMAGES = torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(0)) + 2
OUTER = [f"{level}.norm{number}" for level in ("encoder.0", "decoder.3") for number in (1, 2)]


def test_those_of_a_unet_are_its_first_and_last_level():
    assert full_resolution_layers(UNet(base_channels=2), IMAGES) == OUTER


def test_where_no_layer_sees_all_pixels_the_finest_ones_count():
    network = build_network("smp/unet", 1, 2, {"encoder_name": "resnet18", "encoder_weights": None})
    found = full_resolution_layers(network, IMAGES)
    assert found
    assert all(name.startswith("model.decoder.blocks.4") for name in found)


def test_the_network_is_left_as_it_was():
    network = UNet(base_channels=2).train()
    before = {name: each.clone() for name, each in network.state_dict().items()}
    full_resolution_layers(network, IMAGES)
    assert network.training
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())


def test_the_other_layers_keep_the_statistics_of_the_source():
    network = UNet(base_channels=2).eval()
    bank = estimate(network, IMAGES, policy=Policy(layers=FULL_RESOLUTION)).bank
    by_name = estimate(network, IMAGES, policy=Policy(layers=OUTER)).bank
    source = Bank.of(network)
    for name in source.mean:
        assert torch.equal(bank.mean[name], by_name.mean[name])
        assert torch.equal(bank.mean[name], source.mean[name]) == (name not in OUTER)


def test_a_policy_alone_does_not_know_them():
    with pytest.raises(BatchNormError, match="full_resolution"):
        Policy(layers=FULL_RESOLUTION).chosen(["a", "b"])


def test_layers_that_are_not_called_are_left_out():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.BatchNorm2d(1), nn.BatchNorm2d(1)

        def forward(self, images):
            return self.used(images)

    assert full_resolution_layers(Unused(), IMAGES) == ["used"]
