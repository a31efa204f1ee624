"""Moments are exact for any partition, type, offset and scale, and their standard errors are honest."""

import random as randomness

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bnadapt.batchnorm import Moments


def merged(parts):
    result = parts[0]
    for part in parts[1:]:
        result = result.merged(part)
    return result


def reference(features):
    """Two passes in extended precision."""
    wide = features.double().transpose(0, 1).flatten(1).numpy().astype(np.longdouble)
    mean = wide.mean(1, keepdims=True)
    variance = np.square(wide - mean).mean(1)
    return tuple(torch.from_numpy(each.astype(np.float64)) for each in (mean[:, 0], variance))


@st.composite
def streams(draw):
    """Features (N, C, ...) as batches, in any floating type and memory format."""
    seed, spatial = draw(st.integers(0, 2**31)), draw(st.sampled_from([(), (7,), (5, 6), (2, 3, 4)]))
    dtype = draw(st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16]))
    offset = draw(st.sampled_from([0.0, 1.0, -30.0, 1e4]))
    scale = draw(st.sampled_from([1e-4, 1.0, 1e4]))
    if dtype == torch.float16:
        offset, scale = min(offset, 1e3), min(scale, 1e3)
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(sum(sizes), 3, *spatial, generator=generator, dtype=torch.float64) * scale + offset
    features = features.to(dtype)
    if len(spatial) == 2 and draw(st.booleans()):
        features = features.to(memory_format=torch.channels_last)
    return features, sizes


@given(streams())
@settings(max_examples=300, deadline=None)
def test_moments_are_those_of_all_values_whatever_the_partition(stream):
    features, sizes = stream
    moments = merged([Moments.of(part) for part in features.split(sizes)])
    mean, variance = reference(features)
    deviation = variance.sqrt()
    rounding = 1e-6 if features.dtype != torch.float64 else 1e-11
    assert moments.count == features[:, 0].numel()
    assert moments.tiles == len(features)
    unit = 4e-16 * mean.abs()  # closer means are equal in float64
    assert ((moments.mean - mean).abs() <= rounding * deviation + unit).all()
    assert ((moments.variance - variance).abs() <= rounding * variance + 4 * unit * deviation + unit**2).all()


LARGE_AROUND_ZERO = torch.tensor([[2e4], [-2e4], [10000.3], [-10000.3], [7000.1], [-7000.1]], dtype=torch.float64)


@given(streams(), st.randoms())
@example((LARGE_AROUND_ZERO, [1] * 6), randomness.Random(6))
@settings(max_examples=100, deadline=None)
def test_the_order_of_batches_does_not_matter(stream, random):
    features, sizes = stream
    parts = [Moments.of(part) for part in features.double().split(sizes)]
    one = merged(parts)
    random.shuffle(parts)
    other = merged(parts)
    unit = torch.finfo(torch.float64).eps * features.double().abs().max()  # values that are closer are the same
    deviation = one.variance.sqrt() + unit
    assert ((one.mean - other.mean).abs() <= 1e-9 * deviation + 4 * unit).all()
    assert ((one.variance - other.variance).abs() <= 1e-9 * deviation**2 + 8 * unit * deviation).all()
    units = torch.stack([deviation**2, deviation**3, deviation**4])  # a covariance may be zero in exact arithmetic
    torch.testing.assert_close(one.spread / units, other.spread / units, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_large_features_are_summed_as_exactly_as_small_ones(memory_format):
    features = (torch.randn(3, 16, 300, 300) * 0.5 + 2.5).to(memory_format=memory_format)
    moments = Moments.of(features)
    mean, variance = reference(features)
    torch.testing.assert_close(moments.mean, mean, rtol=1e-6, atol=0)
    torch.testing.assert_close(moments.variance, variance, rtol=1e-6, atol=0)


def test_values_far_from_zero_do_not_cancel():
    features = torch.randn(4, 3, 64, 64, dtype=torch.float64).add(3000).float()
    mean, variance = reference(features)
    moments = merged([Moments.of(part) for part in features.split(1)])
    torch.testing.assert_close(moments.variance, variance, rtol=1e-6, atol=0)
    torch.testing.assert_close(moments.mean, mean, rtol=1e-9, atol=0)


def test_a_constant_channel_has_no_variance_and_no_error():
    moments = Moments.of(torch.full((4, 2, 8, 8), 0.1))
    assert (moments.variance < 1e-15).all()
    errors = moments.standard_errors(eps=1e-5)
    assert all((error < 1e-4).all() for error in errors)


def test_one_tile_has_no_standard_error():
    assert all(torch.isinf(error).all() for error in Moments.of(torch.randn(1, 2, 8, 8)).standard_errors())


def test_the_standard_errors_of_two_tiles_by_hand():
    """Tiles of means 0 and 2, around 1 by 1; the sample of two has one degree of freedom."""
    of_mean, of_log_variance = Moments.of(torch.tensor([[[0.0, 0.0]], [[2.0, 2.0]]])).standard_errors()
    assert of_mean.item() == pytest.approx(1)
    assert of_log_variance.item() == pytest.approx(0)


def test_standard_errors_are_those_of_repeated_draws():
    """Tiles with brightness and contrast of their own; the spread over 400 repetitions is the truth."""
    generator = torch.Generator().manual_seed(0)

    def draw(tiles=30):
        brightness = torch.randn(tiles, 1, 1, 1, generator=generator)
        contrast = (0.3 * torch.randn(tiles, 1, 1, 1, generator=generator)).exp()
        features = brightness + contrast * torch.randn(tiles, 1, 16, 16, generator=generator)
        return merged([Moments.of(part) for part in features.split(7)])

    drawn = [draw() for _ in range(400)]
    deviation = np.mean([moments.variance.item() for moments in drawn]) ** 0.5
    errors = np.mean([[error.item() for error in moments.standard_errors()] for moments in drawn], axis=0)
    truth = (
        np.std([moments.mean.item() for moments in drawn]) / deviation,
        np.std([np.log(moments.variance.item()) for moments in drawn]),
    )
    np.testing.assert_allclose(errors, truth, rtol=0.12)


def test_standard_errors_do_not_depend_on_the_partition():
    features = torch.randn(12, 3, 8, 8, dtype=torch.float64) + torch.randn(12, 3, 1, 1, dtype=torch.float64) + 100
    whole = Moments.of(features).standard_errors()
    parts = merged([Moments.of(part) for part in features.split([1, 4, 7])]).standard_errors()
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=0)
