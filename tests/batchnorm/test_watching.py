"""Statistics are those of what layers normalise, and what is not adapted is said."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.ops import FrozenBatchNorm2d

from bnadapt.batchnorm import (
    BatchNormWarning,
    NoBatchNormError,
    Policy,
    StatisticsError,
    batchnorm_layers,
    estimate,
    measure_class_moments,
)
from bnadapt.batchnorm.layers import other_normalisers

PROPAGATIONS = ["one_pass", "layer_consistent"]


@pytest.fixture
def features():
    """Two channels about -2 and 5, of standard deviations 1 and 3."""
    drawn = torch.randn(6, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    return drawn * torch.tensor([1.0, 3.0]).view(2, 1, 1) + torch.tensor([-2.0, 5.0]).view(2, 1, 1)


class Rectifying(nn.BatchNorm2d):
    def forward(self, features):
        return super().forward(functional.relu(features))


class ByKeyword(nn.BatchNorm2d):
    def forward(self, features):
        statistics = {"running_mean": self.running_mean, "running_var": self.running_var}
        return functional.batch_norm(input=functional.relu(features), **statistics, training=False, eps=self.eps)


class Primitive(nn.BatchNorm2d):
    def forward(self, features):
        statistics = self.weight, self.bias, self.running_mean, self.running_var
        return torch.batch_norm(functional.relu(features), *statistics, False, 0.1, self.eps, False)


class OfATen(nn.BatchNorm2d):
    def forward(self, features):
        statistics = self.weight, self.bias, self.running_mean, self.running_var
        return torch.ops.aten.native_batch_norm(functional.relu(features), *statistics, False, 0.1, self.eps)[0]


class ForwardAlone(nn.Module):
    """Calls the forward of its layer, without hooks."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(2)

    def forward(self, features):
        return self.norm.forward(functional.relu(features))


class StatisticsAlone(ForwardAlone):
    def forward(self, features):
        return functional.batch_norm(functional.relu(features), self.norm.running_mean, self.norm.running_var)


def patched():
    norm = nn.BatchNorm2d(2)
    own = norm.forward
    norm.forward = lambda features: own(functional.relu(features))
    return norm


def hooked():
    norm = nn.BatchNorm2d(2)
    norm.register_forward_pre_hook(lambda layer, inputs: (functional.relu(inputs[0]),))
    return norm


RECTIFYING = [Rectifying, ByKeyword, Primitive, OfATen, ForwardAlone, StatisticsAlone, patched, hooked]


def moments(features):
    values = features.transpose(0, 1).flatten(1).double()
    return values.mean(1), values.var(1, correction=0)


@pytest.mark.filterwarnings("ignore:Adapted, though")
@pytest.mark.parametrize("make", RECTIFYING)
@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_a_layer_that_changes_its_input_has_the_statistics_of_what_it_normalises(features, make, propagation):
    network = make() if make not in (Rectifying, ByKeyword, Primitive, OfATen) else make(2)
    bank = estimate(network, features, batch_size=4, propagation=propagation).bank
    mean, variance = moments(functional.relu(features))
    (name,) = bank.mean
    torch.testing.assert_close(bank.mean[name], mean)
    torch.testing.assert_close(bank.variance[name], variance)


@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_what_comes_behind_is_normalised_by_the_new_statistics(features, propagation):
    """A batch through a changing layer is zero mean, unit variance at the next one."""
    network = nn.Sequential(Rectifying(2), nn.BatchNorm2d(2)).double()
    bank = estimate(network, [features.double()], propagation=propagation).bank
    torch.testing.assert_close(bank.mean["1"], torch.zeros(2, dtype=torch.double), atol=1e-9, rtol=0)
    torch.testing.assert_close(bank.variance["1"], torch.ones(2, dtype=torch.double), atol=1e-3, rtol=0)


def test_a_layer_for_channels_that_come_last(features):
    class ChannelsLast(nn.BatchNorm2d):
        def forward(self, features):
            return super().forward(features.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    bank = estimate(nn.Sequential(ChannelsLast(2)), [features.permute(0, 2, 3, 1)]).bank
    torch.testing.assert_close(bank.mean["0"], moments(features)[0])


def test_class_moments_are_of_what_layers_normalise(features):
    masks = (torch.arange(8) % 2).repeat(6, 8, 1)
    found = measure_class_moments(nn.Sequential(Rectifying(2)), [(features, masks)])
    expected = functional.relu(features)[..., 1::2].transpose(0, 1).flatten(1).double().mean(1)
    torch.testing.assert_close(found.mean["0"][1], expected)


class OwnCode(nn.BatchNorm2d):
    """Normalises without torch's function."""

    def forward(self, features):
        shape = (-1, 1, 1)
        scale = self.weight / (self.running_var + self.eps).sqrt()
        return (features - self.running_mean.view(shape)) * scale.view(shape) + self.bias.view(shape)


class OwnCodeRectified(OwnCode):
    def forward(self, features):
        return super().forward(functional.relu(features))


class ByTheBatch(nn.BatchNorm2d):
    def forward(self, features):
        return functional.batch_norm(features, None, None, self.weight, self.bias, training=True)


@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_code_that_does_the_same_as_torch_is_seen(features, propagation, recwarn):
    network = nn.Sequential(OwnCode(2), nn.BatchNorm2d(2)).double()
    bank = estimate(network, [features.double()], propagation=propagation).bank
    torch.testing.assert_close(bank.mean["0"], moments(features)[0])
    torch.testing.assert_close(bank.variance["1"], torch.ones(2, dtype=torch.double), atol=1e-3, rtol=0)
    assert not recwarn.list


@pytest.mark.parametrize("make", [OwnCodeRectified, ByTheBatch])
def test_code_of_ones_own_that_does_something_else_is_said_or_refused(features, make):
    with pytest.warns(BatchNormWarning, match=r"^Not adapted: 0 \(its batch_norm was not called\); their statistics"):
        bank = estimate(nn.Sequential(make(2), nn.BatchNorm2d(2)), features).bank
    assert bank.count["0"] == 0
    with pytest.raises(StatisticsError, match="these layers normalise without"):
        estimate(make(2), features)


def scripted(*layers):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(nn.Sequential(*layers).eval())


def frozen(*layers):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.freeze(scripted(*layers), optimize_numerics=False)


class OwnStatistics(nn.Module):
    def __init__(self, place):
        super().__init__()
        place(self, "first", torch.zeros(2))
        place(self, "second", torch.ones(2))

    def forward(self, features):
        return functional.batch_norm(features, self.first, self.second)


class OfInstances(OwnStatistics):
    def forward(self, features):
        return functional.instance_norm(features, self.first, self.second, use_input_stats=False)


class FromScratch(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("moving_mean", torch.zeros(2, 1, 1))

    def forward(self, features):
        return features - self.moving_mean


OTHERS = {
    "scripted": (lambda: scripted(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)), "BatchNorm2d in TorchScript"),
    "frozen": (lambda: frozen(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)), "batch_norm in TorchScript"),
    "constants": (lambda: FrozenBatchNorm2d(2), "FrozenBatchNorm2d"),
    "instances": (lambda: nn.InstanceNorm2d(2, track_running_stats=True), "InstanceNorm2d"),
    "from scratch": (FromScratch, "FromScratch"),
}
FUNCTIONS = {
    "buffers": lambda: OwnStatistics(nn.Module.register_buffer),
    "attributes": lambda: OwnStatistics(setattr),
    "of instances": lambda: OfInstances(nn.Module.register_buffer),
}


@pytest.mark.parametrize(("make", "kind"), OTHERS.values(), ids=OTHERS)
def test_what_normalises_otherwise_is_named_beside_layers_and_refused_alone(features, make, kind):
    with pytest.warns(BatchNormWarning, match=rf"Not adapted: 1 \({kind}\); their statistics are unchanged"):
        bank = estimate(nn.Sequential(nn.BatchNorm2d(2), make(), nn.BatchNorm2d(2)), features).bank
    assert list(bank.mean) == ["0", "2"]
    with pytest.raises(NoBatchNormError, match=kind):
        estimate(nn.Sequential(nn.Conv2d(2, 2, 1), make()), features)


@pytest.mark.parametrize("make", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_functions_with_statistics_of_their_own_are_named(features, make, propagation):
    network = nn.Sequential(nn.BatchNorm2d(2), make())
    with pytest.warns(BatchNormWarning, match=r"Not adapted: 1 \(batch_norm with statistics of its own\)"):
        estimate(network, features, propagation=propagation)


def test_layers_that_no_image_reaches_are_named_and_those_that_the_policy_leaves_out_are_not(features, recwarn):
    network = nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm2d(2))
    estimate(network, features, policy=Policy(layers=["0"]))
    assert not recwarn.list
    with pytest.warns(BatchNormWarning, match=r"Not adapted: 1 \(its batch_norm was not called\)"):
        estimate(network, features, forward=network[0])


def test_statistics_that_are_used_without_the_layer_are_adapted_and_said(features):
    with pytest.warns(BatchNormWarning, match="Adapted, though the network normalises by their statistics .*: norm"):
        estimate(StatisticsAlone(), features)


def test_what_has_no_statistics_is_no_other_normaliser():
    script = scripted(nn.Conv2d(2, 2, 1), nn.ReLU())
    assert other_normalisers(nn.Sequential(nn.GroupNorm(1, 2), nn.InstanceNorm2d(2), nn.BatchNorm2d(2), script)) == {}


def test_layers_in_threads_of_the_network_are_seen(features):
    class Threaded(nn.Sequential):
        def forward(self, features):
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(self[0], features).result()

    network = Threaded(nn.BatchNorm2d(2))
    torch.testing.assert_close(estimate(network, features).bank.mean["0"], moments(features)[0])
    with pytest.raises(StatisticsError, match="in a thread that the network has started"):
        estimate(network, features, propagation="layer_consistent")


def test_no_hook_stays(features):
    network = nn.Sequential(Rectifying(2))
    estimate(network, features)
    assert not network[0]._forward_hooks
    assert list(batchnorm_layers(network)) == ["0"]
