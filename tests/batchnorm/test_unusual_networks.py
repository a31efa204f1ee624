"""Networks as people write them: compiled, wrapped, frozen, scripted, with buffers and branches of their own."""

import copy

import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from bnadapt.batchnorm import (
    Bank,
    NoBatchNormError,
    Policy,
    StatisticsError,
    UntilConverged,
    adapt,
    batchnorm_layers,
    estimate,
)

PROPAGATIONS = ["one_pass", "layer_consistent"]


def block(in_channels, out_channels=4):
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.BatchNorm2d(out_channels), nn.ReLU())


def staged():
    torch.manual_seed(0)
    return nn.Sequential(block(1), block(4), nn.Conv2d(4, 2, 1)).eval()


def in_part(network):
    network[1] = torch.compile(network[1], backend="eager")
    return network


def in_many_parts(network):
    network[0][1] = torch.compile(network[0][1], backend="eager")
    network[1] = nn.DataParallel(torch.compile(network[1], backend="eager"))
    return torch.compile(network, backend="eager")


WRAPPED = {
    "whole": lambda network: torch.compile(network, backend="eager"),
    "part": in_part,
    "many parts": in_many_parts,
    "data parallel": nn.DataParallel,
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_wrapped_networks_have_the_names_and_statistics_of_the_plain_one(wrap, images):
    plain, wrapped = staged(), wrap(staged())
    assert list(batchnorm_layers(wrapped)) == list(batchnorm_layers(plain)) == ["0.1", "1.1"]
    one, other = (estimate(network, images).bank for network in (plain, wrapped))
    for name, mean in one.mean.items():
        torch.testing.assert_close(other.mean[name], mean)
    one.apply(wrapped)
    assert torch.equal(Bank.of(wrapped).mean["1.1"], one.mean["1.1"].float().double())
    assert Policy(layers=["1.*"]).chosen(list(batchnorm_layers(wrapped))) == ["1.1"]


def test_a_module_that_is_called_module_keeps_its_name():
    network = nn.ModuleDict({"module": block(1)})
    assert list(batchnorm_layers(network)) == ["module.1"]


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (nn.Sequential(nn.Conv2d(1, 4, 3), FrozenBatchNorm2d(4)), "FrozenBatchNorm2d, with constant statistics"),
        (torch.jit.script(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))), "BatchNorm2d in TorchScript"),
    ],
)
def test_other_kinds_of_batchnorm_are_named(network, words, images):
    with pytest.raises(NoBatchNormError, match=words):
        adapt(network, images)


class Counting(nn.Module):
    """Counts images, keeps their extremes, and replaces a buffer, in eval mode too."""

    def __init__(self):
        super().__init__()
        self.body = block(1)
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("largest", torch.zeros(()), persistent=False)
        self.shared = nn.Module()
        self.shared.register_buffer("count", self.seen)

    def forward(self, images):
        self.seen += len(images)
        self.shared.count.add_(1)
        self.largest = torch.maximum(self.largest, images.max())
        return self.body(images)


@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_buffers_that_a_network_writes_in_eval_mode_come_back(propagation, images):
    network = Counting()
    before = {name: buffer.clone() for name, buffer in network.named_buffers(remove_duplicate=False)}
    adapt(network, images, propagation=propagation)
    changed = {
        name for name, buffer in network.named_buffers(remove_duplicate=False) if not torch.equal(buffer, before[name])
    }
    assert changed == {"body.1.running_mean", "body.1.running_var"}
    assert network.seen is network.shared.count


class Classifier(nn.Module):
    """BatchNorm2d, and behind a global pooling BatchNorm1d."""

    def __init__(self):
        super().__init__()
        self.body = block(1)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4), nn.BatchNorm1d(4))

    def forward(self, images):
        return self.head(self.body(images))


class MixedFormats(nn.Module):
    """Channels come last in one layer and first in the other."""

    def __init__(self):
        super().__init__()
        self.first, self.second = block(1), block(4)

    def forward(self, images):
        return self.second(self.first(images.contiguous(memory_format=torch.channels_last)).contiguous())


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("make", [Classifier, MixedFormats])
@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_layers_of_different_shapes_and_memory_formats(make, memory_format, propagation, images):
    torch.manual_seed(0)
    network = make().double().to(memory_format=memory_format)
    batch = images.double().contiguous(memory_format=memory_format)
    found = estimate(network, [batch], propagation=propagation).bank
    expected = {}
    reference = copy.deepcopy(network).train()
    for name, layer in batchnorm_layers(reference).items():
        layer.register_forward_pre_hook(
            lambda layer, inputs, name=name: expected.__setitem__(name, inputs[0].transpose(0, 1).flatten(1))
        )
    reference(batch)
    for name, features in expected.items():
        torch.testing.assert_close(found.mean[name], features.mean(1), rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(found.variance[name], features.var(1, correction=0), rtol=1e-6, atol=1e-9)


class GlobalPooling(nn.Module):
    """A branch of one value per channel and image that is normalised, as in DeepLabV3."""

    def __init__(self):
        super().__init__()
        self.body = block(1)
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU())

    def forward(self, images):
        features = self.body(images)
        return features + self.pooled(features)


@pytest.mark.parametrize("sizes", [[10, 1], [1, 10], [5, 1, 5], [1, 1, 9], [1] * 11])
def test_a_batch_of_one_where_a_layer_follows_a_global_pooling(sizes, images):
    """Every image counts once, whatever batch it comes in; the first layers' moments are exact."""
    torch.manual_seed(0)
    network = GlobalPooling().double()
    batches = images.double().split(sizes)
    whole = estimate(network, [images.double()]).bank
    found = estimate(network, batches)
    assert found.tiles == 11
    assert found.bank.count == whole.count
    torch.testing.assert_close(found.bank.mean["body.1"], whole.mean["body.1"])
    assert found.bank.compared(whole)["pooled.2"].mean < 0.8
    assert (found.bank.variance["pooled.2"] > 0).all()


def test_a_lone_image_of_another_size_is_normalised_by_what_came_before(images):
    network = GlobalPooling().double()
    lone = images[:1, :, :6, :6].double()
    found = estimate(network, [images.double(), lone])
    assert found.tiles == 12
    assert found.bank.count["pooled.2"] == 12
    with pytest.raises(StatisticsError, match="pooled.2 got one value per channel"):
        estimate(network, [lone])


def test_single_images_until_converged(images):
    found = estimate(GlobalPooling(), iter(images.split(1)), until=UntilConverged(5.0, min_tiles=4))
    assert found.converged
    assert found.tiles < 11
