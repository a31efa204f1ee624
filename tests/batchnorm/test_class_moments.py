"""Class moments, the correction of statistics for class proportions, and the estimate of these."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bnadapt.batchnorm import (
    Bank,
    BatchNormError,
    ClassMoments,
    Policy,
    ProportionCorrection,
    StatisticsError,
    estimate,
    estimate_proportions,
    measure_class_moments,
)
from bnadapt.networks import UNet
from tests.processes import process_group, share

VALUES = np.random.default_rng(0).normal(size=(3, 50)) + [[0.0], [2.0], [5.0]]  # of three classes


def mixed(counts):
    """An image (1, 1, 1, P) with the values of every class so many times, and its mask."""
    values = np.concatenate([np.tile(VALUES[label], count) for label, count in enumerate(counts)])
    mask = np.concatenate([np.full(50 * count, label) for label, count in enumerate(counts)])
    return torch.from_numpy(values).view(1, 1, 1, -1), torch.from_numpy(mask).view(1, 1, -1)


def shares(counts):
    return tuple(count / sum(counts) for count in counts)


def batchnorm(image):
    """A network whose only layer holds the statistics of an image."""
    layer = nn.BatchNorm2d(1).double()
    layer.running_mean.fill_(image.mean())
    layer.running_var.fill_(image.var(correction=0))
    return nn.Sequential(layer).eval()


def unet_and_labelled(count=6, classes=3):
    torch.manual_seed(0)
    images = torch.randn(count, 1, 32, 32, dtype=torch.float64)
    masks = torch.randint(0, classes, (count, 32, 32))
    masks[masks == 1] = torch.randint(0, 2, (int((masks == 1).sum()),)) * 254 + 1  # some of class 1 are ignored
    return UNet(num_classes=classes, base_channels=4).double().eval(), images, masks


def test_moments_are_those_of_a_loop_over_positions():
    network, images, masks = unet_and_labelled()
    found = measure_class_moments(network, zip(images.split(4), masks.split(4), strict=True), 3)
    inputs = {}
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs_, name=name: inputs.update({name: inputs_[0]}))
        for name, module in network.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    ]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    assert list(found.mean) == list(inputs)
    for name, features in inputs.items():
        cell = 32 // features.shape[2]
        for label in range(3):
            own = (masks == label).double().unfold(1, cell, cell).unfold(2, cell, cell).mean((3, 4)).flatten()
            flat = features.transpose(0, 1).flatten(1)
            mean = (flat * own).sum(1) / own.sum()
            variance = ((flat - mean.unsqueeze(1)).square() * own).sum(1) / own.sum()
            torch.testing.assert_close(found.mean[name][label], mean, rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(found.variance[name][label], variance, rtol=1e-10, atol=1e-10)
            assert found.weight[name][label].item() == pytest.approx(own.sum().item())
    assert found.pixels.tolist() == [(masks == label).sum().item() for label in range(3)]


@settings(deadline=None, max_examples=10)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_batches_do_not_matter(sizes):
    network, images, masks = unet_and_labelled(sum(sizes))
    whole = measure_class_moments(network, [(images, masks)], 3)
    parts = measure_class_moments(network, zip(images.split(sizes), masks.split(sizes), strict=True), 3)
    assert torch.equal(whole.outputs.sum(1), whole.pixels)
    assert (parts.outputs - whole.outputs).abs().sum() <= 4  # margins at the edge of a bin, which rounding moves
    for name in whole.mean:
        torch.testing.assert_close(parts.mean[name], whole.mean[name], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(parts.variance[name], whole.variance[name], rtol=1e-9, atol=1e-9)


def test_large_means_lose_nothing():
    image, mask = mixed([3, 2, 1])
    near, far = (measure_class_moments(batchnorm(image), [(image + added, mask)], 3) for added in (0, 1e5))
    torch.testing.assert_close(far.variance["0"], near.variance["0"], rtol=1e-7, atol=0)


def test_nothing_is_changed_by_measuring():
    network, images, masks = unet_and_labelled()
    network.train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    measure_class_moments(network, [(images, masks)], 3)
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(1, 9), min_size=3, max_size=3),
    st.lists(st.integers(1, 9), min_size=3, max_size=3),
    st.floats(0.1, 10),
    st.floats(-10, 10),
)
def test_an_affine_shift_and_other_proportions_are_told_apart(source, target, scale, added):
    """The target is the source's classes in other proportions, scaled and shifted; known in closed form."""
    image, mask = mixed(source)
    network = batchnorm(image)
    moments = measure_class_moments(network, [(image, mask)], 3)
    correction = ProportionCorrection(moments, shares(target))
    bank = estimate(network, mixed(target)[0] * scale + added, correction=correction).bank
    assert bank.mean["0"].item() == pytest.approx(image.mean().item() * scale + added, abs=1e-12 * (abs(added) + scale))
    assert bank.variance["0"].item() == pytest.approx(image.var(correction=0).item() * scale**2, rel=1e-9)


@pytest.mark.parametrize("propagation", ["one_pass", "layer_consistent"])
def test_with_the_sources_proportions_it_is_plain_adaptation_to_the_bit(propagation):
    network, images, masks = unet_and_labelled()
    moments = measure_class_moments(network, [(images, masks)], 3)
    same = ProportionCorrection(moments, moments.proportions.tolist())
    other = ProportionCorrection(moments, (0.1, 0.1, 0.8))
    plain, corrected, moved = (
        estimate(network, images * 2 + 1, propagation=propagation, correction=each).bank for each in (None, same, other)
    )
    for name in plain.mean:
        assert torch.equal(plain.mean[name], corrected.mean[name])
        assert torch.equal(plain.variance[name], corrected.variance[name])
        assert not torch.equal(plain.mean[name], moved.mean[name])


@pytest.mark.parametrize("propagation", ["one_pass", "layer_consistent"])
def test_later_layers_are_propagated_through_corrected_ones(propagation):
    """Two layers in a row: the second gets what the corrected first gives, which is what it got of the source."""
    image, mask = mixed([3, 2, 1])
    network = nn.Sequential(nn.BatchNorm2d(1).double(), nn.BatchNorm2d(1).double()).eval()
    estimate(network, image, propagation="layer_consistent").bank.apply(network)
    moments = measure_class_moments(network, [(image, mask)], 3)
    target, _ = mixed([1, 2, 6])
    correction = ProportionCorrection(moments, shares([1, 2, 6]))
    bank = estimate(network, target * 3 - 4, propagation=propagation, correction=correction).bank
    source = Bank.of(network)
    torch.testing.assert_close(bank.mean["1"], source.mean["1"], atol=1e-4, rtol=0)
    torch.testing.assert_close(bank.variance["1"], source.variance["1"], atol=1e-4, rtol=0)


def test_policies_mix_and_choose_what_was_corrected():
    network, images, masks = unet_and_labelled()
    correction = ProportionCorrection(measure_class_moments(network, [(images, masks)], 3), (0.1, 0.1, 0.8))
    source = Bank.of(network)
    policy = Policy(0.5, layers=["encoder*"], depth=(0, 1))
    bank = estimate(network, images, policy=policy, correction=correction).bank
    whole = estimate(network, images, correction=correction).bank
    first = "encoder.0.norm1"
    torch.testing.assert_close(bank.mean[first], (source.mean[first] + whole.mean[first]) / 2)
    assert all(torch.equal(bank.mean[name], source.mean[name]) for name in bank.mean if name != first)
    assert "class proportions 0.1, 0.1, 0.8" in bank.provenance[first]


def test_a_state_is_restored():
    network, images, masks = unet_and_labelled()
    moments = measure_class_moments(network, [(images, masks)], 3)
    loaded = ClassMoments.from_state_dict(moments.state_dict())
    assert list(loaded.mean) == list(moments.mean)
    assert torch.equal(loaded.pixels, moments.pixels)
    assert torch.equal(loaded.outputs, moments.outputs)
    for name in moments.mean:
        torch.testing.assert_close(loaded.mean[name], moments.mean[name], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(loaded.variance[name], moments.variance[name], rtol=1e-6, atol=1e-6)


def test_what_cannot_be_measured_or_corrected_is_refused():
    network, images, masks = unet_and_labelled()
    moments = measure_class_moments(network, [(images, masks)], 3)
    with pytest.raises(StatisticsError, match="no pixel of class 2"):
        measure_class_moments(network, [(images, masks.clamp(max=1))], 3)
    with pytest.raises(StatisticsError, match="No labelled image was given"):
        measure_class_moments(network, [], 3)
    with pytest.raises(StatisticsError, match="values from 0 to 2; give classes 0 to 1"):
        measure_class_moments(network, [(images, masks)], 2)
    with pytest.raises(StatisticsError, match="NaN or infinite"):
        measure_class_moments(network, [(images * torch.nan, masks)], 3)
    flattening = nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (-1, 1)), nn.BatchNorm1d(1).double())
    with pytest.raises(StatisticsError, match=r"layer 2 gets an input of shape \(6144, 1\), which cannot be aligned"):
        measure_class_moments(flattening, [(images, masks)], 3)
    with pytest.raises(BatchNormError, match="one for each of the 3 classes"):
        ProportionCorrection(moments, (0.5, 0.5))
    with pytest.raises(BatchNormError, match="shares of the classes, from 0 to 1, with sum 1"):
        ProportionCorrection(moments, (0.5, 0.2, 0.2))
    with pytest.raises(BatchNormError, match="of another network: encoder.0.norm1 has 4 channels there, 8 here"):
        estimate_proportions(UNet(num_classes=3, base_channels=8).double(), [images], moments)
    with pytest.raises(StatisticsError, match="No image was given"):
        estimate_proportions(network, [], moments)
    with pytest.raises(StatisticsError, match="gives no logits of 3 classes"):
        estimate_proportions(network, [images], moments, forward=lambda batch: network(batch)[:, :2])
    without_logits = measure_class_moments(network, [(images, masks)], 3, forward=lambda batch: [network(batch)])
    with pytest.raises(StatisticsError, match="hold no outputs of the network: it gave no logits"):
        estimate_proportions(network, [images], without_logits)


def work(rank, folder):
    network, images, masks = unet_and_labelled()
    own = slice(0, 4) if rank == 0 else slice(4, 6)
    with process_group(rank, 2, folder) as group:
        moments = measure_class_moments(network, [(images[own], masks[own])], 3, group=group)
        torch.save(moments.state_dict(), f"{folder}/moments-{rank}.pt")
        found = estimate_proportions(network, [images[own]], moments, group=group)
        torch.save([asdict(each) for each in found.candidates], f"{folder}/{rank}.pt")


def test_two_processes_get_the_moments_of_one_and_the_same_proportions(tmp_path):
    share(work, 2, str(tmp_path))
    network, images, masks = unet_and_labelled()
    alone = measure_class_moments(network, [(images, masks)], 3)
    for rank in range(2):
        shared = ClassMoments.from_state_dict(torch.load(tmp_path / f"moments-{rank}.pt"))
        assert torch.equal(shared.pixels, alone.pixels)
        for name in alone.mean:
            torch.testing.assert_close(shared.variance[name], alone.variance[name], rtol=1e-5, atol=1e-5)
    one, other = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert one == other
