"""Entropy minimisation refuses what it cannot learn from, and an exception leaves the network as it was."""

import copy

import pytest
import torch
from torch import nn

from bnadapt.batchnorm import StatisticsError, minimise_entropy


def network_of(classes=2, affine=True):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, affine=affine), nn.Conv2d(4, classes, 1))


def of_inference():
    with torch.inference_mode():
        return network_of()


def without_gradients(network):
    return torch.no_grad()(lambda images: network(images))


@pytest.mark.parametrize(
    ("network", "forward", "words"),
    [
        (network_of(affine=False), None, "neither scale nor shift"),
        (of_inference(), None, "created in torch's inference mode"),
        (network_of(1), None, r"gives \(11, 1, 10, 10\) and not logits"),
        (network_of(), lambda images: {"out": images}, "gives dict and not logits"),
        (network_of(), without_gradients(network_of()), "without gradients"),
    ],
)
def test_what_cannot_learn_is_refused(network, forward, words, images):
    with pytest.raises(StatisticsError, match=words):
        minimise_entropy(network, [images], forward=forward)


def test_what_is_not_finite_is_refused_and_changes_nothing(images):
    network = network_of()
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(StatisticsError, match="NaN or infinite"):
        minimise_entropy(network, [images, images * torch.nan], learning_rate=0.1)
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    assert all(each.requires_grad for each in network.parameters())


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_it_learns_in_other_modes_of_torch_too(around, images):
    network = nn.Sequential(network_of(), nn.BatchNorm2d(2, affine=False))
    scale = network[0][1].weight.detach().clone()
    with around():
        assert len(minimise_entropy(network, [images.clone()], learning_rate=0.1)) == 1
    assert not torch.equal(network[0][1].weight, scale)
