"""BatchNorm folded into convolutions: the same result, however the network is written."""

import pytest
import torch
from torch import nn

from bnadapt.networks import UNet
from bnadapt.networks.folding import folded


class Branching(nn.Module):
    """Cannot be traced: its way depends on values, and a BatchNorm layer follows a sum."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.ConvTranspose2d(4, 4, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(3))

    def forward(self, images):
        latents = self.norms[0](self.first(images))
        if latents.mean() > 1e6:
            return latents
        return self.norms[2](self.norms[1](self.second(latents)) + latents)


class Twice(nn.Module):
    """Two BatchNorm layers follow the same convolution."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norms = nn.Conv2d(1, 1, 3), nn.ModuleList(nn.BatchNorm2d(1) for _ in range(2))

    def forward(self, images):
        for norm in self.norms:
            images = norm(self.convolution(images))
        return images


class Standardised(nn.Conv2d):
    def forward(self, images):
        return nn.functional.conv2d(images, self.weight / self.weight.std(), self.bias)


NETWORKS = {
    "U-Net": (lambda: UNet(base_channels=4), 18),
    "branching": (Branching, 2),
    "twice": (Twice, 0),
    "after ReLU in place": (lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.BatchNorm2d(4)), 0),
    "transposed convolution in groups": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ConvTranspose2d(4, 4, 2, groups=2), nn.BatchNorm2d(4)),
        0,
    ),
    "convolution of another kind": (lambda: nn.Sequential(Standardised(1, 4, 3), nn.BatchNorm2d(4)), 0),
    "statistics of the batch": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
        0,
    ),
}


def random_network(make):
    torch.manual_seed(0)
    network = make().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias)
            if module.running_mean is not None:
                module.running_mean.normal_()
                module.running_var.uniform_(0.3, 3)
    return network


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_the_result_is_the_same(name):
    make, layers = NETWORKS[name]
    network = random_network(make)
    images, state = torch.rand(2, 1, 48, 40), {key: value.clone() for key, value in network.state_dict().items()}
    found, count = folded(network, images[:1])
    assert count == layers
    torch.testing.assert_close(found(images), network(images), rtol=1e-5, atol=1e-5)
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(each, state[key]) for key, each in network.state_dict().items())


def test_a_network_with_hooks_is_left_alone():
    network, seen = random_network(lambda: UNet(base_channels=4)), []
    network.encoder[0].norm1.register_forward_hook(lambda *given: seen.append(given))
    found, count = folded(network, torch.rand(1, 1, 32, 32))
    assert (found is network, count, seen) == (True, 0, [])
