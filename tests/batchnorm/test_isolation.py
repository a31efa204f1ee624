"""What networks keep in plain attributes: each forward pass has its own, and an exception leaves none behind."""

import copy
import random
from collections import Counter, deque

import numpy as np
import pytest
import torch
from torch import nn

from bnadapt.batchnorm import Bank, StatisticsError, adapt, estimate
from bnadapt.batchnorm.attributes import Attributes
from bnadapt.batchnorm.isolation import isolated

PROPAGATIONS = ["one_pass", "layer_consistent"]


class Stateful(nn.Module):
    """Keeps all kinds of state while it runs; fails behind its BatchNorm layers where it is told to."""

    def __init__(self):
        super().__init__()
        self.norm, self.head = nn.BatchNorm2d(1), nn.Conv2d(1, 2, 1)
        self.busy, self.stack, self.seen, self.last = False, [], {"nested": [set()]}, deque(maxlen=2)
        self.fails = False

    def forward(self, images):
        assert not self.busy
        assert not self.stack
        self.busy, self.extra = True, 1
        self.stack.append(images)
        self.seen["nested"][0].add(len(images))
        self.last.append(len(images))
        hook = self.head.register_forward_hook(lambda *_: None)
        logits = self.head(self.norm(images))
        if self.fails:
            raise OSError("broken")
        hook.remove()
        self.stack.pop()
        self.busy = False
        return logits


def state(network):
    own = network.busy, list(network.stack), copy.deepcopy(network.seen), list(network.last)
    return *own, hasattr(network, "extra"), len(network.head._forward_hooks)


@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_an_exception_leaves_the_attributes_as_they_were(images, propagation):
    network = Stateful()
    stack = network.stack
    before = state(network)
    network.fails = True
    with pytest.raises(OSError, match="broken"):
        adapt(network, images, propagation=propagation)
    assert state(network) == before
    assert network.stack is stack


@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_forward_passes_come_to_their_end(images, propagation):
    network = Stateful()
    adapt(network, images, batch_size=4, propagation=propagation)
    assert not network.busy
    assert network.stack == []


def test_a_pass_that_is_put_off_leaves_nothing(images):
    """One value per channel is passed again together with others."""
    network = Stateful()
    estimate(network, [images[:1, :, :1, :1], images])
    assert network.stack == []


class Skipping(nn.Module):
    """Keeps its skip connections in attributes between two layers."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.skips = nn.BatchNorm2d(1), nn.BatchNorm2d(2), []

    def forward(self, images):
        self.skip = images
        self.skips.append(images * 2)
        latents = self.first(images)
        return self.second(torch.cat([latents + self.skip, self.skips.pop()], 1))


def test_passes_side_by_side_do_not_mix_their_attributes(images):
    network = Skipping().double()
    one, other = (
        estimate(network, batches, propagation="layer_consistent").bank
        for batches in ([images.double()], images.double().split(3))
    )
    torch.testing.assert_close(one.mean["second"], other.mean["second"])
    torch.testing.assert_close(one.variance["second"], other.variance["second"])


def test_containers_that_hold_themselves_counters_and_constants_come_back():
    class Plain(nn.Module):
        pass

    network = Plain()
    network.loop, network.counts, network.constant = [], Counter("ab"), (1, [2])
    network.loop.append(network.loop)
    before = Attributes(network)
    network.loop.clear()
    network.counts.update("aa")
    network.constant[1].append(3)
    before.put_back()
    assert network.loop[0] is network.loop
    assert network.counts == Counter("ab")
    assert network.constant == (1, [2])


def of_inference():
    with torch.inference_mode():
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))


@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_a_network_that_was_made_in_inference_mode_is_adapted(images, propagation):
    network = of_inference()
    bank = adapt(network, images, propagation=propagation)
    torch.testing.assert_close(network[1].running_mean.double(), bank.mean["1"], rtol=1e-5, atol=1e-6)
    with Bank.of(of_inference()).applied(network):
        assert not network[1].running_mean.any()
    torch.testing.assert_close(network[1].running_mean.double(), bank.mean["1"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_a_network_that_is_adapted_in_inference_mode_can_be_trained(images, propagation):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    with torch.inference_mode():
        adapt(network, images, propagation=propagation)
    assert not network[1].running_mean.is_inference()
    network.train()(images).mean().backward()


@pytest.mark.parametrize("part", ["0.weight", "2.bias"])
def test_weights_without_values_are_named(part):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    module, name = network[int(part[0])], part[2:]
    setattr(module, name, nn.Parameter(getattr(module, name).to("meta")))
    with pytest.raises(StatisticsError, match=rf"{part} is on the meta device.*load the network's weights first"):
        adapt(network, torch.rand(2, 1, 8, 8))


def test_numbers_that_a_network_draws_do_not_change_those_that_come_after():
    def draw():
        return random.random(), np.random.random(), torch.rand(1).item()  # noqa: NPY002

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    expected = draw()
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])
    with isolated(nn.BatchNorm2d(1)):
        draw()
    assert draw() == expected
