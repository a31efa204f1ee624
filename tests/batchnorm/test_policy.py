"""Every policy against its paper's formula."""

import math

import pytest
import torch

from bnadapt.batchnorm import (
    DECODER,
    ENCODER,
    Bank,
    BatchNormError,
    DecayingMomentum,
    Policy,
    SourcePrior,
    estimate,
    layer_groups,
)
from bnadapt.networks import UNet

SOURCE = torch.tensor([1.0, -2.0]), torch.tensor([4.0, 0.5])
TARGET = torch.tensor([3.0, -2.0]), torch.tensor([1.0, 2.5])


def mixture(weight):
    """By raw moments: E[x] and E[x^2] of the mixture."""
    mean = weight * SOURCE[0] + (1 - weight) * TARGET[0]
    second = weight * (SOURCE[1] + SOURCE[0] ** 2) + (1 - weight) * (TARGET[1] + TARGET[0] ** 2)
    return mean, second - mean**2


def assert_combined(policy, expected, tiles=8):
    for one, other in zip(policy.combined(SOURCE, TARGET, tiles), expected, strict=True):
        torch.testing.assert_close(one, other)


def test_full_replacement_is_the_target():
    assert_combined(Policy(), TARGET)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_a_fixed_weight_gives_the_moments_of_the_mixture(weight):
    assert_combined(Policy(weight), mixture(weight))


@pytest.mark.parametrize(("prior", "tiles"), [(0, 8), (16, 8), (16, 64), (256, 1)])
def test_source_prior_is_that_of_schneider(prior, tiles):
    policy = Policy(SourcePrior(prior))
    expected = mixture(prior / (prior + tiles))
    assert_combined(policy, expected, tiles)
    mean, variance = policy.combined(SOURCE, TARGET, tiles)
    paper = [(prior * source + tiles * target) / (prior + tiles) for source, target in zip(SOURCE, TARGET, strict=True)]
    torch.testing.assert_close(mean, paper[0])
    same_mean = SOURCE[0] == TARGET[0]
    torch.testing.assert_close(variance[same_mean], paper[1][same_mean])  # the paper's, without distance of the means


@pytest.mark.parametrize("tiles", [1, 6, 50])
def test_dua_leaves_what_its_recursion_leaves(tiles):
    """Equations 3 to 5 of Mirza et al.: one update per image, on the mean of a source and a constant target."""
    mean, momentum = SOURCE[0].clone(), 0.1
    for _ in range(tiles):
        rho = momentum + 0.005
        mean = (1 - rho) * mean + rho * TARGET[0]
        momentum *= 0.94
    adapted, _ = Policy(DecayingMomentum()).combined(SOURCE, TARGET, tiles)
    torch.testing.assert_close(adapted, mean)


@pytest.mark.parametrize("tiles", [6, 20, 60])
def test_ubna_leaves_what_its_recursion_leaves(tiles):
    """Klingner et al.: eta_k = eta_0 exp(-alpha k) for batch k of 6."""
    alpha, share = 0.08, 1.0
    for step in range(math.ceil(tiles / 6)):
        share *= 1 - 0.1 * math.exp(-alpha * step)
    rule = DecayingMomentum(momentum=0.1, decay=math.exp(-alpha), minimum=0.0, tiles_per_step=6)
    assert rule.of(tiles) == pytest.approx(share, rel=1e-12)


def test_mean_or_variance_alone():
    mean, variance = mixture(0.25)
    assert_combined(Policy(0.25, statistics="mean"), (mean, SOURCE[1]))
    assert_combined(Policy(0.25, statistics="variance"), (SOURCE[0], variance))


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({"layers": ["a*"]}, ["a.norm1", "a.norm2"]),
        ({"layers": ["*norm1"]}, ["a.norm1", "b.norm1", "net.c.norm1"]),
        ({"layers": ["c.*"]}, ["net.c.norm1"]),
        ({"depth": (0, 3)}, ["a.norm1", "a.norm2", "b.norm1"]),
        ({"depth": (-2, None)}, ["b.norm2", "net.c.norm1"]),
        ({"layers": ["*norm1"], "depth": (1, None)}, ["b.norm1", "net.c.norm1"]),
    ],
)
def test_layers_are_chosen_by_name_and_depth(options, chosen):
    names = ["a.norm1", "a.norm2", "b.norm1", "b.norm2", "net.c.norm1"]
    assert Policy(**options).chosen(names) == chosen


def test_encoder_and_decoder_divide_the_unet():
    net = UNet(base_channels=4)
    groups, names = layer_groups(net, torch.randn(1, 1, 32, 32)), list(Bank.of(net).mean)
    encoder, decoder = groups[ENCODER], groups[DECODER]
    assert sorted(encoder + decoder) == sorted(names)
    assert (len(encoder), len(decoder)) == (10, 8)
    bank = estimate(net, torch.randn(2, 1, 32, 32), policy=Policy(layers=ENCODER)).bank
    assert {name for name, told in bank.provenance.items() if told == "source"} == set(decoder)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Policy(-0.1), "source_weight is -0.1; give a value between 0"),
        (lambda: Policy(1.5), "source_weight is 1.5; give a value between 0"),
        (lambda: Policy(statistics="median"), "'both', 'mean' or 'variance'"),
        (lambda: Policy(layers=["nosuch"]).chosen(["a", "b"]), "the network has a, b"),
        (lambda: Policy(layers="encoder*"), r"give a list of patterns, such as \['encoder\*'\]"),
        (lambda: SourcePrior(-1), "samples is -1"),
        (lambda: SourcePrior(math.nan), "samples is nan"),
        (lambda: DecayingMomentum(momentum=2), "with a sum of at most 1"),
        (lambda: DecayingMomentum(decay=2), "decay between 0 and 1"),
    ],
)
def test_values_out_of_range_are_refused(make, words):
    with pytest.raises(BatchNormError, match=words):
        make()
