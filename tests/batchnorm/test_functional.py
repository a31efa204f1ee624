"""Re-estimated statistics are exact, and nothing else changes."""

import copy
import random
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bnadapt.batchnorm import (
    Bank,
    Estimator,
    NoBatchNormError,
    Policy,
    SourcePrior,
    StatisticsError,
    UntilConverged,
    adapt,
    batchnorm_layers,
    estimate,
)
from bnadapt.networks import UNet, build_network

PROPAGATIONS = ["one_pass", "layer_consistent"]
LAYERS = {
    nn.BatchNorm1d: (nn.Conv1d, (9,)),
    nn.BatchNorm2d: (nn.Conv2d, (7, 8)),
    nn.BatchNorm3d: (nn.Conv3d, (4, 5, 6)),
    nn.SyncBatchNorm: (nn.Conv2d, (7, 8)),
}


@pytest.mark.parametrize("propagation", PROPAGATIONS)
@pytest.mark.parametrize("batch_size", [1, 2, 8, 11])
def test_first_layer_statistics_are_the_pooled_ones_whatever_the_batch_size(network, images, batch_size, propagation):
    net = network()
    features = net[0](images).detach().double()
    adapt(net, images.split(batch_size), propagation=propagation)
    torch.testing.assert_close(net[1].running_mean.double(), features.mean((0, 2, 3)), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(net[1].running_var.double(), features.var((0, 2, 3), correction=0), rtol=1e-6, atol=1e-6)


@given(
    kind=st.sampled_from(list(LAYERS)),
    sizes=st.lists(st.integers(2, 5), min_size=1, max_size=5),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    offset=st.sampled_from([0.0, -30.0, 1e4]),
    scale=st.sampled_from([1e-4, 1.0, 1e4]),
    propagation=st.sampled_from(PROPAGATIONS),
)
@settings(max_examples=60, deadline=None)
def test_every_kind_of_layer_gets_the_statistics_of_its_input(kind, sizes, dtype, offset, scale, propagation):
    convolution, spatial = LAYERS[kind]
    torch.manual_seed(0)
    net = nn.Sequential(kind(3), nn.ReLU(), convolution(3, 4, 3), kind(4)).to(dtype)
    images = (torch.randn(sum(sizes), 3, *spatial, dtype=torch.float64) * scale + offset).to(dtype)
    bank = estimate(net, images.split(sizes), propagation=propagation).bank
    wide = images.double().transpose(0, 1).flatten(1)
    deviation = wide.std(1)
    assert ((bank.mean["0"] - wide.mean(1)).abs() <= 1e-6 * deviation + 1e-15 * abs(offset)).all()
    torch.testing.assert_close(bank.variance["0"], wide.var(1, correction=0), rtol=1e-6, atol=1e-24 * offset**2)
    assert bank.count["0"] == images[:, 0].numel()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("unet", {"base_channels": 4}), ("smp/unet", {"encoder_name": "resnet18"})],
)
def test_layer_consistent_statistics_are_those_of_the_adapted_network(normalised, name, arguments):
    torch.manual_seed(0)
    net = build_network(name, 1, 2, arguments).double()
    batch = torch.randn(7, 1, 64, 64, dtype=torch.float64) * 2 + 1
    adapt(net, batch.split([3, 1, 2, 1]), propagation="layer_consistent")
    for features in normalised(net, batch.split(4), batchnorm_layers(net)).values():
        torch.testing.assert_close(features.mean((0, 2, 3)), torch.zeros_like(features[0, :, 0, 0]), atol=1e-6, rtol=0)
        variance = features.var((0, 2, 3), correction=0)
        torch.testing.assert_close(variance, torch.ones_like(variance), atol=1e-6, rtol=0)


@pytest.mark.parametrize("sizes", [[1] * 12, [5, 4, 3], [12]])
def test_layer_consistent_statistics_do_not_depend_on_the_batches(sizes):
    net = UNet(base_channels=4).double()
    batch = torch.randn(12, 1, 32, 32, dtype=torch.float64)
    whole = estimate(net, [batch], propagation="layer_consistent").bank
    parts = estimate(net, batch.flip(0).split(sizes), propagation="layer_consistent").bank
    for name, mean in whole.mean.items():
        torch.testing.assert_close(parts.mean[name], mean, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(parts.variance[name], whole.variance[name], rtol=1e-6, atol=1e-12)


def test_one_pass_and_layer_consistent_agree_on_a_single_batch():
    net = UNet(base_channels=4).double()
    batch = torch.randn(6, 1, 32, 32, dtype=torch.float64)
    one, other = (estimate(net, [batch], propagation=name).bank for name in PROPAGATIONS)
    assert max(shift.mean + shift.log_variance for shift in one.compared(other).values()) < 1e-9


@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_one_whole_forward_pass_a_batch(propagation):
    heads = []

    class Busy(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.head, self.busy = nn.BatchNorm2d(1), nn.Identity(), False

        def forward(self, images):
            assert not self.busy
            self.busy = True
            latents = self.head(self.norm(images))
            self.busy = False
            heads.append(len(latents))
            return latents

    net = Busy()
    estimate(net, torch.randn(10, 1, 4, 4), batch_size=4, propagation=propagation)
    assert heads == [4, 4, 2]
    assert not net.busy


class Staged(nn.Module):
    """Calls its encoder as often as `times` says, then its decoder, and counts both."""

    def __init__(self, times):
        super().__init__()
        self.encoder, self.decoder, self.times = nn.BatchNorm2d(1), nn.BatchNorm2d(1), iter(times)

    def forward(self, batch):
        for _ in range(next(self.times)):
            batch = self.encoder(batch * 2)
            calls["encoder"] += 1
        calls["decoder"] += 1
        return self.decoder(batch)


calls = {"encoder": 0, "decoder": 0}


@pytest.mark.parametrize(
    ("times", "policy", "decoded"),
    [
        ([1, 1, 1], Policy(layers=["encoder"]), 1),
        ([2, 2, 2], Policy(layers=["encoder"]), 1),
        ([1, 1, 1], Policy(), 3),
        ([0, 1, 1], Policy(layers=["encoder"]), 2),
        ([2, 1, 2], Policy(layers=["encoder"]), 2),
    ],
)
def test_batches_go_no_further_than_the_last_layer_that_adapts(images, times, policy, decoded):
    calls.update(encoder=0, decoder=0)
    bank = estimate(Staged(times), [images] * 3, policy=policy).bank
    assert calls["decoder"] == decoded
    assert bank.count["encoder"] == sum(times) * images[:, 0].numel()
    everything = estimate(Staged(times), [images] * 3).bank
    assert torch.equal(bank.mean["encoder"], everything.mean["encoder"])
    assert torch.equal(bank.variance["encoder"], everything.variance["encoder"])


def test_a_network_that_goes_on_behind_the_last_layer_that_adapts_is_counted_once(images):
    class Stubborn(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = nn.BatchNorm2d(1), nn.BatchNorm2d(1)

        def forward(self, batch):
            try:
                return self.decoder(self.encoder(batch))
            except BaseException:
                return self.encoder(batch * 7)

    bank = estimate(Stubborn(), [images] * 3, policy=Policy(layers=["encoder"])).bank
    assert bank.count["encoder"] == 3 * images[:, 0].numel()


def snapshot(net):
    return {
        "tensors": {key: value.clone() for key, value in net.state_dict().items()},
        "identities": [id(tensor) for tensor in [*net.parameters(), *net.buffers()]],
        "modes": [module.training for module in net.modules()],
        "hooks": [len(module._forward_pre_hooks) + len(module._forward_hooks) for module in net.modules()],
        "momentum": [layer.momentum for layer in batchnorm_layers(net).values()],
        "tracking": [layer.track_running_stats for layer in batchnorm_layers(net).values()],
        "random": (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()),  # noqa: NPY002
        "autocast": (torch.is_autocast_enabled("cpu"), torch.is_grad_enabled()),
    }


def differing(before, after):
    assert before.keys() == after.keys()
    changed = {key for key, value in after["tensors"].items() if not torch.equal(value, before["tensors"][key])}
    assert torch.equal(before["random"][0], after["random"][0])
    assert before["random"][1:] == after["random"][1:]
    for key in ("identities", "modes", "hooks", "momentum", "tracking", "autocast"):
        assert before[key] == after[key], key
    return changed


@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_only_running_means_and_variances_change(network, images, propagation):
    net = network().train()
    net[4].eval()
    before = snapshot(net)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images), batch_size=4, shuffle=True)
    adapt(net, loader, propagation=propagation)
    assert differing(before, snapshot(net)) == {"1.running_mean", "1.running_var"}


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("propagation", PROPAGATIONS)
@pytest.mark.parametrize("where", ["images", "forward"])
def test_an_exception_or_ctrl_c_in_the_middle_leaves_the_network_as_it_was(network, images, propagation, error, where):
    net = network().train()
    seen = []

    def broken():
        yield images
        if where == "images":
            raise error("gone")
        yield images

    def forward(batch):
        seen.append(batch)
        result = net(batch)
        if where == "forward":
            raise error("gone")
        return result

    before = snapshot(net)
    with pytest.raises(error, match="gone"):
        adapt(net, broken(), propagation=propagation, forward=forward)
    assert differing(before, snapshot(net)) == set()


def test_applying_is_all_or_nothing(network, images):
    net = nn.Sequential(network(), nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    bank = estimate(net, images).bank
    before = snapshot(net)
    bank.variance["2"] = torch.ones(2)  # cannot be written
    with pytest.raises(RuntimeError):
        bank.apply(net)
    assert differing(before, snapshot(net)) == set()


@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_dropout_stays_off(propagation):
    net = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(1)).train()
    images = torch.rand(4, 1, 8, 8)
    bank = estimate(net, images, propagation=propagation).bank
    assert bank.variance["1"].item() == pytest.approx(images.double().var(correction=0).item(), rel=1e-6)


@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_autocast_reaches_the_forward_pass(propagation):
    net, types = UNet(base_channels=4), set()
    net.bottleneck[0].register_forward_hook(lambda module, inputs, output: types.add(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        bank = estimate(net, torch.randn(4, 1, 32, 32), propagation=propagation).bank
    assert types == {torch.bfloat16}
    assert all(mean.dtype == torch.float64 for mean in bank.mean.values())


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("propagation", PROPAGATIONS)
@pytest.mark.parametrize("offset", [0.0, 40.0, 3000.0])
def test_under_autocast_moments_are_those_of_the_layers_input_to_float32(propagation, memory_format, offset):
    net = nn.Sequential(nn.Conv2d(1, 8, 1), nn.BatchNorm2d(8))
    nn.init.constant_(net[0].bias, offset)
    images = torch.randn(6, 1, 40, 40).mul(offset / 50 + 1).to(memory_format=memory_format)
    with torch.autocast("cpu", torch.bfloat16):
        bank = estimate(net, images.split(3), propagation=propagation).bank
        features = torch.cat([net[0](batch).detach() for batch in images.split(3)])
    assert features.dtype == torch.bfloat16
    wide = features.double().transpose(0, 1).flatten(1)
    assert ((bank.mean["1"] - wide.mean(1)).abs() <= 1e-6 * wide.std(1)).all()
    torch.testing.assert_close(bank.variance["1"], wide.var(1, correction=0), rtol=1e-6, atol=0)


def test_statistics_under_autocast_are_close_to_those_of_float32():
    torch.manual_seed(0)
    net = UNet(base_channels=8)
    images = torch.rand(8, 1, 64, 64) * 0.3 + 0.5
    exact = estimate(net, images).bank
    with torch.autocast("cpu", torch.bfloat16):
        shifts = estimate(net, images).bank.compared(exact).values()
    assert 0 < max(shift.mean for shift in shifts) < 0.03
    assert max(shift.log_variance for shift in shifts) < 0.06


@pytest.mark.filterwarnings("ignore:Not adapted")
def test_layers_of_unused_branches_keep_their_statistics(network, images):
    net = network()
    net.auxiliary = nn.BatchNorm2d(2)
    net.forward = lambda batch: nn.Sequential(*list(net)[:5])(batch)
    for propagation in PROPAGATIONS:
        bank = estimate(net, images, propagation=propagation).bank
        assert bank.provenance["auxiliary"] == "source"
        assert bank.count["1"] > 0


def test_the_policy_holds_while_images_are_propagated():
    """With the encoder alone adapted, its statistics are those of a network whose decoder plays no part."""
    net = UNet(base_channels=4).double()
    batch = torch.randn(6, 1, 32, 32, dtype=torch.float64) + 2
    full = estimate(net, [batch]).bank
    decoder = estimate(net, [batch], policy=Policy(layers=["decoder*"])).bank
    own = Bank.of(net)
    assert torch.equal(decoder.mean["encoder.0.norm1"], own.mean["encoder.0.norm1"])
    assert not torch.allclose(decoder.mean["decoder.0.norm1"], full.mean["decoder.0.norm1"], rtol=1e-2)


def test_half_adapted_statistics_are_consistent_with_the_half_adapted_network():
    net = UNet(base_channels=4).double()
    batch = torch.randn(6, 1, 32, 32, dtype=torch.float64) + 2
    policy = Policy(0.5)
    source = Bank.of(net)
    once = adapt(net, batch, batch_size=2, propagation="layer_consistent", policy=policy)
    seen = {}
    hooks = [
        layer.register_forward_pre_hook(lambda layer, inputs, name=name: seen.__setitem__(name, inputs[0]))
        for name, layer in batchnorm_layers(net).items()
    ]
    net.eval()(batch)
    for hook in hooks:
        hook.remove()
    for name, features in seen.items():
        expected = (source.mean[name] + features.mean((0, 2, 3))) / 2
        torch.testing.assert_close(once.mean[name], expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2)), "GroupNorm"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.InstanceNorm2d(2)), "InstanceNorm2d"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.LayerNorm(2)), "LayerNorm"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False)), "track_running_stats=True"),
        (nn.Sequential(nn.BatchNorm2d(1), nn.BatchNorm2d(1, track_running_stats=False)), "1 of the 2 .* such as 1"),
        (nn.Conv2d(1, 2, 3), "no BatchNorm"),
    ],
)
def test_networks_without_running_statistics_are_refused_with_the_reason(images, net, words):
    with pytest.raises(NoBatchNormError, match=words):
        adapt(net, [images])


@pytest.mark.parametrize(
    ("statistic", "value", "words"),
    [
        ("running_var", None, "0 has only one of running mean and variance, no variance"),
        ("running_mean", None, "0 has only one of running mean and variance, no mean"),
        ("running_mean", torch.zeros(3), r"has the shape \(3,\)"),
        ("running_var", torch.tensor(1.0), r"has the shape \(\)"),
        ("running_mean", torch.zeros(1, dtype=torch.long), "the type torch.int64"),
        ("running_var", torch.ones(1, device="meta"), "0 is on the meta device and has no running variance"),
    ],
)
def test_statistics_that_are_there_by_half_are_refused(images, statistic, value, words):
    net = nn.Sequential(nn.BatchNorm2d(1))
    setattr(net[0], statistic, value)
    for use in (adapt, lambda net, images: Bank.of(net)):
        with pytest.raises(NoBatchNormError, match=words):
            use(net, [images])


def test_a_lazy_network_that_has_not_run_is_refused(images):
    with pytest.raises(NoBatchNormError, match="run the network once"):
        adapt(nn.Sequential(nn.LazyBatchNorm2d()), [images])


@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_no_images_and_nan_images_are_refused_and_change_nothing(network, images, propagation):
    net = network()
    before = net[1].running_mean.clone()
    with pytest.raises(StatisticsError, match="No image"):
        adapt(net, [], propagation=propagation)
    with pytest.raises(StatisticsError, match="Batch 1 has pixels that are NaN or infinite"):
        adapt(net, [images, images * float("nan")], propagation=propagation)
    assert torch.equal(net[1].running_mean, before)


@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_features_that_are_not_finite_name_the_first_layer(images, propagation):
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.BatchNorm2d(2))
    net[1].weight.data.fill_(float("inf"))
    with pytest.raises(StatisticsError, match="The input of the BatchNorm layer 2 is NaN or infinite"):
        adapt(net, [images], propagation=propagation)


def test_one_value_per_channel_is_refused():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    for propagation in PROPAGATIONS:
        with pytest.raises(StatisticsError, match="The BatchNorm layer 1 got one value per channel.*larger images"):
            adapt(net, [torch.randn(1, 1, 3, 3)], propagation=propagation)
    estimate(net, torch.randn(4, 1, 3, 3), batch_size=1, propagation="layer_consistent")  # pooled, there are four


def test_layer_consistency_is_refused_where_it_cannot_be(images):
    shared = nn.BatchNorm2d(1)
    with pytest.raises(StatisticsError, match="called twice.*one_pass"):
        estimate(nn.Sequential(shared, nn.ReLU(), shared), images, propagation="layer_consistent")

    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.BatchNorm2d(1), nn.BatchNorm2d(1)

        def forward(self, batch):
            return self.first(batch) if batch.mean() > 0 else self.second(batch)

    with pytest.raises(StatisticsError, match="different execution paths.*one_pass"):
        estimate(Branching(), [images, -images], propagation="layer_consistent")
    bank = estimate(Branching(), [images, -images]).bank
    assert bank.count["first"] == bank.count["second"] == images[:, 0].numel()


def test_batches_that_take_other_ways_are_all_counted(images):
    class Skipping(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.BatchNorm2d(1), nn.BatchNorm2d(1)

        def forward(self, batch):
            latents = self.first(batch)
            return self.second(latents) if batch.mean() > 0 else latents

    for batches in ([images, -images, images], [-images, images, images]):
        bank = estimate(Skipping(), batches).bank
        assert bank.count == {"first": 3 * images[:, 0].numel(), "second": 2 * images[:, 0].numel()}


def test_a_layer_that_every_batch_calls_another_number_of_times_is_counted_each_time(images):
    class Repeating(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.times = nn.BatchNorm2d(1), iter([2, 5, 3])

        def forward(self, batch):
            for _ in range(next(self.times)):
                batch = self.norm(batch)
            return batch

    assert estimate(Repeating(), [images] * 3).bank.count["norm"] == 10 * images[:, 0].numel()


def test_the_weight_counts_images_however_often_a_layer_is_called(images):
    shared = nn.BatchNorm2d(1)
    net = nn.Sequential(shared, nn.ReLU(), shared)
    found = estimate(net, images, policy=Policy(SourcePrior(11)))
    assert found.tiles == 11
    assert found.bank.provenance["0"] == "both of 11 tiles, one_pass, source weight 0.5"


def test_a_layer_that_is_shared_pools_all_its_inputs(images):
    shared = nn.BatchNorm2d(1)
    bank = estimate(nn.Sequential(shared, nn.ReLU(), shared), images).bank
    assert bank.count["0"] == 2 * images[:, 0].numel()


def test_an_unknown_propagation_is_refused(network, images):
    with pytest.raises(StatisticsError, match="propagation is 'best'; take one of one_pass, layer_consistent"):
        adapt(network(), images, propagation="best")


def test_a_compiled_network_is_run_without_its_compiled_code(network, images):
    net = network()
    compiled = torch.compile(copy.deepcopy(net), backend="eager").eval()
    compiled(images)
    assert estimate(compiled, images).bank.mean["1"].tolist() == estimate(net, images).bank.mean["1"].tolist()


def test_tiles_stop_when_the_statistics_are_known():
    torch.manual_seed(0)
    net = UNet(base_channels=4)
    tiles = torch.randn(400, 1, 32, 32) + torch.randn(400, 1, 1, 1)
    exact = estimate(net, tiles, propagation="layer_consistent", batch_size=50).bank
    for propagation in PROPAGATIONS:
        until = UntilConverged(0.15, min_tiles=8)
        found = estimate(net, tiles, batch_size=4, propagation=propagation, until=until)
        curve = found.convergence
        last = [errors[-1] for errors in [*curve.mean.values(), *curve.log_variance.values()]]
        assert found.converged
        assert 8 <= found.tiles < 200
        assert max(last) <= 0.15
        assert curve.tiles[-1] == found.tiles
        first = exact.mean["encoder.0.norm1"] - found.bank.mean["encoder.0.norm1"]
        assert (first.abs() / exact.variance["encoder.0.norm1"].sqrt()).max() < 4 * 0.15


def test_floor_and_ceiling_bound_the_tiles(network, images):
    loose, strict = UntilConverged(10.0, min_tiles=6), UntilConverged(1e-9, min_tiles=2, max_tiles=7)
    assert estimate(network(), images, batch_size=2, until=loose).tiles == 6
    bounded = estimate(network(), images, batch_size=2, until=strict)
    assert (bounded.tiles, bounded.converged) == (8, False)
    with pytest.raises(StatisticsError, match="11 tiles, fewer than min_tiles, 12"):
        estimate(network(), images, until=UntilConverged(0.1, min_tiles=12))


def test_an_estimation_is_fed_batch_by_batch(network, images):
    net = network()
    with Estimator(net) as estimator:
        for batch in images.split(4):
            assert not estimator.update(batch)
        bank = estimator.compute().bank
    assert torch.equal(bank.mean["1"], estimate(net, images.split(4)).bank.mean["1"])


def test_an_estimation_that_is_not_entered_refuses(network, images):
    estimator = Estimator(network(), "layer_consistent")
    with pytest.raises(StatisticsError, match="not entered"):
        estimator.update(images)
    with estimator:
        estimator.update(images)
    with pytest.raises(StatisticsError, match="not entered"):
        estimator.compute()


def test_a_buffer_that_the_loader_refills_is_copied(network, images):
    buffer = torch.empty(4, 1, 12, 12)

    def refilled():
        for part in images[:8].split(4):
            yield buffer.copy_(part)

    one, other = (estimate(network(), refilled(), propagation=name).bank.mean["1"] for name in PROPAGATIONS)
    torch.testing.assert_close(one, other)


def test_a_network_that_catches_everything_does_not_hang(images):
    class Stubborn(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.BatchNorm2d(1), nn.BatchNorm2d(1)

        def forward(self, batch):
            try:
                return self.first(batch)
            except:  # noqa: E722
                return self.second(batch)

    threads = threading.active_count()
    with pytest.raises(StatisticsError, match="one value per channel"):
        estimate(Stubborn(), [images[:1, :, :1, :1]], propagation="layer_consistent")
    assert threading.active_count() == threads


@pytest.mark.parametrize("propagation", PROPAGATIONS)
def test_no_thread_stays_behind(images, propagation):
    threads = threading.active_count()
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    net[1].weight.data.fill_(float("inf"))
    with pytest.raises(StatisticsError):
        estimate(net, [images] * 5, propagation=propagation)
    assert threading.active_count() == threads


def test_a_network_wrapped_for_several_devices_has_the_names_of_the_one_inside(network, images):
    net = network()
    bank = estimate(nn.DataParallel(net), images).bank
    bank.apply(net)
    assert list(bank.mean) == ["1"]
