"""How far networks look: no output changes beyond the margin, and nearer ones do."""

import pytest
import torch
from torch import nn

from bnadapt.networks import UNet, build_network
from bnadapt.networks.receptive_field import ReceptiveField, receptive_field

FIELD_2, FIELD_4 = ReceptiveField(2, 2), ReceptiveField(4, 4)


def trained_like(network):
    """Weights and statistics of a size that deep layers count."""
    torch.manual_seed(0)
    for each in network.modules():
        if isinstance(each, nn.BatchNorm2d):
            nn.init.uniform_(each.running_var, 0.01, 0.1)
    return network.eval()


@pytest.mark.parametrize(
    ("network", "field"),
    [
        (nn.Conv2d(1, 2, 1), ReceptiveField(0, 1)),
        (nn.Conv2d(1, 2, 5, padding=2), ReceptiveField(2, 1)),
        (nn.Conv2d(1, 2, (1, 7), padding=(0, 3)), ReceptiveField(3, 1)),
        (nn.Conv2d(1, 2, 3, padding=3, dilation=3), ReceptiveField(3, 1)),
        (nn.Sequential(nn.ZeroPad2d((1, 0, 1, 0)), nn.Conv2d(1, 2, 2)), ReceptiveField(1, 1)),  # back, and not ahead
        (nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(1, 2, 3, padding=1), nn.Upsample(scale_factor=2)), FIELD_2),
        (nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.MaxPool2d(4), nn.Upsample(scale_factor=4)), FIELD_4),
        (nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU(), nn.Conv2d(1, 1, 3, padding=1)), ReceptiveField(2, 1)),
    ],
)  # fmt: skip
def test_small_networks_have_the_field_of_their_layers(network, field):
    assert receptive_field(network, 1) == field


@pytest.mark.parametrize("channels", [1, 3])
def test_the_u_net_needs_its_margin_and_no_more(channels):
    network = trained_like(UNet(in_channels=channels, base_channels=4))
    field = receptive_field(network, channels)
    assert field.stride == 16
    margin = -(-field.margin // 16) * 16
    image = torch.rand(1, channels, 32, 4 * margin)
    with torch.no_grad():
        whole = network(image)[..., 2 * margin :]
        cut = network(image[..., margin:])[..., margin:]
        shorter = network(image[..., margin + 16 :])[..., margin - 16 :]
    assert (whole - cut).abs().max() < 1e-4 * whole.std()
    assert (whole - shorter).abs().max() > 1e-4 * whole.std()


class Position(nn.Module):
    """Sees where a pixel is."""

    def forward(self, images):
        return images + torch.arange(images.shape[-1])


class OneSize(nn.Module):
    """Takes images of one size."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.rand(48, 48))

    def forward(self, images):
        return images * self.weights


@pytest.mark.parametrize(
    "network",
    [
        build_network("unet-instance-norm", 1, 2, {"base_channels": 4}),
        nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.GroupNorm(1, 2)),
        nn.Sequential(nn.AvgPool2d(4), nn.UpsamplingBilinear2d(scale_factor=4)),
        nn.Conv2d(1, 1, 3, padding=600, dilation=600),
        Position(),
        OneSize(),
    ],
    ids=lambda network: type(network).__name__,
)
def test_what_sees_all_of_an_image_has_none(network):
    assert receptive_field(network, 1) is None


def test_the_network_stays_as_it_is():
    network = UNet(base_channels=2).train()
    before = {name: each.clone() for name, each in network.state_dict().items()}
    receptive_field(network, 1)
    assert network.training
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
