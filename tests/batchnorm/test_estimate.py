"""Re-estimated statistics are exact, and nothing else changes."""

import pytest
import torch
from torch import nn

from bnadapt.batchnorm import (
    Bank,
    BankMismatchError,
    BatchNormError,
    Moments,
    NoBatchNormError,
    StatisticsError,
    adapt,
    batchnorm_layers,
)
from bnadapt.networks import UNet


def network(seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU(), nn.Conv2d(4, 2, 1))
    net[1].running_mean.normal_()
    return net


def images(count=11, seed=1):
    return torch.randn(count, 1, 12, 12, generator=torch.Generator().manual_seed(seed)) * 3 + 5


@pytest.mark.parametrize("batch_size", [1, 2, 8, 11])
def test_first_layer_statistics_are_the_pooled_ones_whatever_the_batch_size(batch_size):
    net = network()
    features = net[0](images()).detach().double()
    adapt(net, images().split(batch_size))
    torch.testing.assert_close(net[1].running_mean.double(), features.mean((0, 2, 3)), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(net[1].running_var.double(), features.var((0, 2, 3), correction=0), rtol=1e-6, atol=1e-6)


def test_moments_do_not_cancel_far_from_zero():
    values = torch.randn(4, 3, 64, 64, dtype=torch.float64) + 3000
    parts = [Moments.of(part.float()) for part in values.split(1)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merged(part)
    torch.testing.assert_close(merged.variance, values.var((0, 2, 3), correction=0), rtol=1e-3, atol=0)
    torch.testing.assert_close(merged.mean, values.mean((0, 2, 3)), rtol=1e-7, atol=0)


def test_adapted_network_in_eval_mode_normalises_the_images_it_was_adapted_to():
    net = UNet(base_channels=4)
    batch = torch.randn(8, 1, 32, 32) * 2 + 1
    adapt(net, [batch])
    seen = {}
    for name, layer in batchnorm_layers(net).items():
        layer.register_forward_pre_hook(
            lambda layer, inputs, name=name: seen.__setitem__(
                name,
                (inputs[0] - layer.running_mean[:, None, None]) / (layer.running_var[:, None, None] + 1e-12).sqrt(),
            )
        )
    net.eval()
    with torch.no_grad():
        net(batch)
    for normalised in seen.values():
        torch.testing.assert_close(normalised.mean((0, 2, 3)), torch.zeros(normalised.shape[1]), atol=1e-3, rtol=0)
        alive = normalised.var((0, 2, 3)) > 1e-6
        torch.testing.assert_close(
            normalised.var((0, 2, 3), correction=0)[alive], torch.ones(int(alive.sum())), atol=1e-3, rtol=0
        )


def test_only_running_means_and_variances_change():
    net = network().train()
    net[4].eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    state = torch.get_rng_state()
    adapt(net, images().split(4))
    changed = {key for key, value in net.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"1.running_mean", "1.running_var"}
    assert [module.training for module in net.modules()] == modes
    assert net[1].track_running_stats
    assert torch.equal(torch.get_rng_state(), state)
    assert not net[1]._forward_pre_hooks


def test_an_exception_in_the_middle_leaves_the_network_as_it_was():
    net = network().train()
    before = {key: value.clone() for key, value in net.state_dict().items()}

    def broken():
        yield images()
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        adapt(net, broken())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert net.training
    assert net[1].track_running_stats
    assert not net[1]._forward_pre_hooks


def test_source_weight_gives_the_moments_of_the_mixture():
    net = network()
    source = Bank.of(net)
    target = adapt(network(), [images()])
    bank = adapt(net, [images()], source_weight=0.25)
    weight, mean_s, mean_t = 0.25, source.mean["1"], target.mean["1"]
    mean = weight * mean_s + (1 - weight) * mean_t
    second = weight * (source.variance["1"] + mean_s**2) + (1 - weight) * (target.variance["1"] + mean_t**2)
    torch.testing.assert_close(bank.mean["1"], mean)
    torch.testing.assert_close(bank.variance["1"], second - mean**2)


@pytest.mark.parametrize("weight", [-0.1, 1.5])
def test_a_source_weight_outside_0_to_1_is_refused(weight):
    with pytest.raises(ValueError, match="between 0 and 1"):
        adapt(network(), [images()], source_weight=weight)


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2)), "GroupNorm"),
        (
            nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False)),
            "track_running_stats=True",
        ),
        (nn.Conv2d(1, 2, 3), "no BatchNorm"),
    ],
)
def test_networks_without_running_statistics_are_refused_with_the_reason(net, words):
    with pytest.raises(NoBatchNormError, match=words):
        adapt(net, [images()])


def test_no_images_and_nan_images_are_refused_and_change_nothing():
    net = network()
    before = net[1].running_mean.clone()
    with pytest.raises(ValueError, match="saw no image"):
        adapt(net, [])
    with pytest.raises(ValueError, match="NaN or infinite"):
        adapt(net, [images() * float("nan")])
    assert torch.equal(net[1].running_mean, before)


def test_one_value_per_channel_is_refused():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    with pytest.raises(StatisticsError, match="The BatchNorm layer 1 got one value per channel.*larger images"):
        adapt(net, [torch.randn(1, 1, 3, 3)])


def test_a_bank_travels_through_a_file_and_comes_back_after_use(tmp_path):
    net = network()
    target = adapt(network(), [images()])
    target.save(tmp_path / "bank.safetensors")
    own = net[1].running_mean.clone()
    with Bank.load(tmp_path / "bank.safetensors").applied(net):
        torch.testing.assert_close(net[1].running_mean.double(), target.mean["1"])
    assert torch.equal(net[1].running_mean, own)
    assert Bank.load(tmp_path / "bank.safetensors").count == target.count == {"1": 11 * 10 * 10}


def test_a_bank_is_a_copy_in_double_precision_too():
    net = network().double()
    source = Bank.of(net)
    before = source.mean["1"].clone()
    adapt(net, [images().double()])
    assert torch.equal(source.mean["1"], before)


def test_a_broken_bank_is_refused(tmp_path):
    (tmp_path / "bank.safetensors").write_bytes(b"broken")
    with pytest.raises(BatchNormError, match="cannot be read as a bank"):
        Bank.load(tmp_path / "bank.safetensors")


def test_a_bank_of_another_network_says_which_layers_differ():
    with pytest.raises(BankMismatchError, match=r"1 has 4 channels, in the bank 8"):
        Bank.of(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(8))).apply(network())
