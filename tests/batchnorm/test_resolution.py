"""Which layers see the images at full resolution or belong to the encoder, and adapting these alone."""

import itertools

import pytest
import torch
from torch import nn

from bnadapt.batchnorm import (
    DECODER,
    ENCODER,
    FULL_RESOLUTION,
    GROUPS,
    Bank,
    BatchNormError,
    Policy,
    StatisticsError,
    estimate,
    layer_groups,
)
from bnadapt.networks import UNet, build_network

IMAGES = torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(0)) + 2
OUTER = [f"{level}.norm{number}" for level in ("encoder.0", "decoder.3") for number in (1, 2)]


def test_those_of_a_unet_are_its_first_and_last_level():
    assert layer_groups(UNet(base_channels=2), IMAGES)[FULL_RESOLUTION] == OUTER


def test_where_no_layer_sees_all_pixels_the_finest_ones_count():
    network = build_network("smp/unet", 1, 2, {"encoder_name": "resnet18", "encoder_weights": None})
    found = layer_groups(network, IMAGES)[FULL_RESOLUTION]
    assert found
    assert all(name.startswith("model.decoder.blocks.4") for name in found)


def test_the_network_is_left_as_it_was():
    network = UNet(base_channels=2).train()
    before = {name: each.clone() for name, each in network.state_dict().items()}
    layer_groups(network, IMAGES)
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


@pytest.mark.parametrize("group", GROUPS)
def test_a_policy_alone_does_not_know_them(group):
    with pytest.raises(BatchNormError, match=group):
        Policy(layers=group).chosen(["a", "b"])


def test_layers_that_are_not_called_are_left_out():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.BatchNorm2d(1), nn.BatchNorm2d(1)

        def forward(self, images):
            return self.used(images)

    assert layer_groups(Unused(), IMAGES)[FULL_RESOLUTION] == ["used"]


def block(*channels):
    convolutions = [(nn.Conv2d(*pair, 3, padding=1), nn.BatchNorm2d(pair[1])) for pair in itertools.pairwise(channels)]
    return nn.Sequential(*itertools.chain(*convolutions))


class Nameless(nn.Module):
    """Layers that do not say by their names where they stand, and are defined in another order than called."""

    def __init__(self):
        super().__init__()
        self.d, self.c, self.b, self.a = block(2, 2), block(2, 2, 2), block(2, 2), block(1, 2)
        self.up = nn.Upsample(scale_factor=2)

    def forward(self, images):
        low = self.c(nn.functional.max_pool2d(self.b(nn.functional.max_pool2d(self.a(images), 2)), 2))
        return self.d(self.up(self.up(low)))


def test_encoder_and_decoder_are_found_in_any_network():
    found = layer_groups(Nameless(), IMAGES)
    assert found == {FULL_RESOLUTION: ["a.1", "d.1"], ENCODER: ["a.1", "b.1", "c.1", "c.3"], DECODER: ["d.1"]}


@pytest.mark.parametrize("name", ["smp/unet", "smp/fpn", "smp/deeplabv3plus", "smp/manet"])
def test_encoders_of_segmentation_models_are_their_encoders(name):
    network = build_network(name, 1, 2, {"encoder_name": "resnet18", "encoder_weights": None}).eval()
    names = layer_groups(network, IMAGES)[ENCODER]
    assert {each for each in Bank.of(network).mean if each.startswith("model.encoder.")} <= set(names)


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_adapts_alone(group):
    network = Nameless().eval()
    names = layer_groups(network, IMAGES)[group]
    bank = estimate(network, IMAGES, policy=Policy(layers=group)).bank
    assert {name for name, told in bank.provenance.items() if told != "source"} == set(names)


def test_a_group_without_layers_is_refused():
    with pytest.raises(BatchNormError, match="layers is 'decoder', but no BatchNorm layer of the network is; give"):
        estimate(block(1, 2), IMAGES, policy=Policy(layers=DECODER))


def test_the_name_of_a_layer_means_that_layer_alone():
    assert Policy(layers=["0"]).chosen(["0", "1.0"]) == ["0"]
    assert Policy(layers=["1"]).chosen(["0", "0.1"]) == ["0.1"]


def test_without_images_nothing_is_said_of_layers():
    with pytest.raises(StatisticsError, match="No image was given"):
        estimate(UNet(base_channels=2), [], policy=Policy(layers=FULL_RESOLUTION))
