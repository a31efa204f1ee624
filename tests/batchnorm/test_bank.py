"""A bank travels, compares, blends, and knows which network it is of."""

import os

import pytest
import torch
from torch import nn

from bnadapt.batchnorm import (
    Bank,
    BankMismatchError,
    BatchNormError,
    UntilConverged,
    adapt,
    estimate,
    measure_class_moments,
)
from bnadapt.networks import UNet


@pytest.fixture
def banks(network, images):
    net = network()
    return net, Bank.of(net), estimate(net, images).bank


def test_a_bank_travels_through_a_file_and_comes_back_after_use(banks, tmp_path):
    net, source, target = banks
    target.save(tmp_path / "bank.safetensors")
    loaded = Bank.load(tmp_path / "bank.safetensors")
    with loaded.applied(net):
        torch.testing.assert_close(net[1].running_mean.double(), target.mean["1"])
    assert torch.equal(Bank.of(net).mean["1"], source.mean["1"])
    assert loaded.count == target.count == {"1": 11 * 10 * 10}
    assert loaded.provenance == {"1": "both of 11 tiles, one_pass, source weight 0"}
    assert [path.name for path in tmp_path.iterdir()] == ["bank.safetensors"]


def test_a_bank_of_the_default_network_is_small_and_keeps_the_order_of_layers(tmp_path):
    net = UNet()
    Bank.of(net).save(tmp_path / "bank.safetensors")
    assert (tmp_path / "bank.safetensors").stat().st_size < 110_000
    assert list(Bank.load(tmp_path / "bank.safetensors").mean) == list(Bank.of(net).mean)


def test_its_own_statistics_come_back_after_an_exception(banks):
    net, source, target = banks
    with pytest.raises(OSError, match="gone"), target.applied(net):
        raise OSError("gone")
    assert torch.equal(Bank.of(net).mean["1"], source.mean["1"])


def test_a_bank_is_a_copy_in_double_precision_too(network, images):
    net = network().double()
    source = Bank.of(net)
    before = source.mean["1"].clone()
    adapt(net, [images.double()])
    assert torch.equal(source.mean["1"], before)


def test_blending_gives_the_moments_of_the_mixture(banks):
    _, source, target = banks
    blended = target.blended(source, 0.25)
    mean = 0.25 * source.mean["1"] + 0.75 * target.mean["1"]
    second = 0.25 * (source.variance["1"] + source.mean["1"] ** 2)
    second += 0.75 * (target.variance["1"] + target.mean["1"] ** 2)
    torch.testing.assert_close(blended.mean["1"], mean)
    torch.testing.assert_close(blended.variance["1"], second - mean**2)
    assert blended.provenance["1"].startswith("0.25 x (source) + 0.75 x (both of 11 tiles")


@pytest.mark.parametrize("weight", [-0.1, 1.5])
def test_a_blend_outside_0_to_1_is_refused(banks, weight):
    with pytest.raises(BatchNormError, match="between 0 and 1"):
        banks[2].blended(banks[1], weight)


def test_comparison_counts_in_deviations_of_the_reference():
    ones = torch.ones(4, dtype=torch.float64)
    reference = Bank({"a": 0 * ones}, {"a": 4 * ones}, {"a": 1})
    moved = Bank({"a": 3 * ones}, {"a": 4 * torch.e * ones}, {"a": 1})
    shift = moved.compared(reference, eps=0)["a"]
    assert (shift.mean, shift.log_variance) == (pytest.approx(1.5), pytest.approx(1.0))
    same = reference.compared(reference)["a"]
    assert (same.mean, same.log_variance) == (0, 0)


def test_a_bank_prints_as_a_summary_of_few_lines(banks):
    _, _, target = banks
    head, line = repr(target).splitlines()
    assert head == "Bank of 1 layers, 4 channels"
    assert line.startswith("  1: 4 channels, |mean| ")
    assert line.endswith("both of 11 tiles, one_pass, source weight 0")
    deep = nn.Sequential(*(nn.BatchNorm2d(2) for _ in range(30)))
    lines = repr(Bank.of(deep)).splitlines()
    assert len(lines) == 6
    assert lines[4:] == ["  ... 26 more", "  29: 2 channels, |mean| 0, std 1, source"]


def test_broken_and_missing_banks_are_refused(tmp_path):
    (tmp_path / "bank.safetensors").write_bytes(b"broken")
    for name in ("bank.safetensors", "nosuch.safetensors"):
        with pytest.raises(BatchNormError, match=f"{name}: cannot be read as a bank"):
            Bank.load(tmp_path / name)


def test_safetensors_of_something_else_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(BatchNormError, match="cannot be read as a bank"):
        Bank.load(tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [("mean", float("nan"), "layer 1 has statistics that are NaN"), ("variance", -1.0, "layer 1 has a negative var")],
)
def test_a_file_of_what_is_no_statistic_is_refused(banks, tmp_path, part, value, words):
    bank = banks[2]
    getattr(bank, part)["1"][2] = value
    bank.save(tmp_path / "bank.safetensors")
    with pytest.raises(BatchNormError, match=f"bank.safetensors: The bank of BatchNorm statistics is damaged: {words}"):
        Bank.load(tmp_path / "bank.safetensors")


@pytest.mark.parametrize(
    ("part", "values", "words"),
    [
        ("mean", torch.ones(4, dtype=torch.int32), "layer 1 has statistics that are not floating point numbers"),
        ("count", torch.tensor(torch.inf, dtype=torch.float16), "cannot convert float infinity"),
    ],
)
def test_statistics_in_a_type_that_does_not_hold_them_are_refused(banks, part, values, words):
    state = banks[2].state_dict()
    state[part]["1"] = values
    with pytest.raises(BatchNormError, match=f"is damaged: {words}"):
        Bank.from_state_dict(state)


def test_a_bank_of_another_network_says_which_layers_differ(network):
    other = nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm2d(8))
    with pytest.raises(BankMismatchError, match=r"0 is only in the bank; 1 has 4 channels, in the bank 8"):
        Bank.of(other).apply(network())
    with pytest.raises(BankMismatchError, match="0 is not in the bank"):
        Bank.of(network()).apply(other)
    with pytest.raises(BankMismatchError, match="banks are of different networks"):
        Bank.of(other).compared(Bank.of(network()))


@pytest.mark.parametrize(
    ("value", "dtype"), [(-1.0, torch.float32), (float("nan"), torch.float32), (1e6, torch.float16)]
)
def test_values_that_are_no_statistics_are_not_applied(banks, value, dtype):
    net, _, target = banks
    net.to(dtype)
    before = Bank.of(net).variance["1"]
    target.variance["1"][2] = value
    with pytest.raises(BatchNormError, match="variance of the layer 1 .* do not fit into torch.float"):
        target.apply(net)
    assert torch.equal(Bank.of(net).variance["1"], before)


def test_links_that_lie_about_are_not_written_through(tmp_path):
    other, path = tmp_path / "other", tmp_path / "bank.safetensors"
    other.write_text("own content")
    (tmp_path / f".bank.safetensors.{os.getpid()}.partial").symlink_to(other)
    path.symlink_to(other)
    bank = Bank.of(nn.Sequential(nn.BatchNorm2d(3)))
    bank.save(path)
    assert other.read_text() == "own content"
    assert not path.is_symlink()
    assert list(Bank.load(path).mean) == ["0"]


def test_a_temporary_file_of_others_is_not_taken(tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.write_text("own content")
    monkeypatch.setattr("secrets.token_hex", lambda size: "guessed")
    (tmp_path / ".partial-guessed").symlink_to(other)
    with pytest.raises(FileExistsError):
        Bank.of(nn.Sequential(nn.BatchNorm2d(3))).save(tmp_path / "bank.safetensors")
    assert other.read_text() == "own content"
    assert (tmp_path / ".partial-guessed").is_symlink()


def test_estimates_and_class_moments_are_shown_in_a_few_lines():
    network = UNet(base_channels=2).eval()
    shown = repr(estimate(network, torch.randn(3, 1, 32, 32), until=UntilConverged(min_tiles=2)))
    assert shown.startswith("Estimate of 3 tiles, 0.00307 Mpixel, not converged\nBank of 18 layers")
    batch = {"image": torch.randn(2, 1, 32, 32), "mask": torch.arange(32).expand(2, 32, 32) // 24}
    moments = measure_class_moments(network, [batch], 2)
    assert repr(moments) == "ClassMoments of 18 layers, 0.00205 labelled Mpixel: 75.0%, 25.0%"
