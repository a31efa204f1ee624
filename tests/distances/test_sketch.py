"""Sketches are of constant size, merge, and do not depend on how latents come."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bnadapt.distances import (
    MEASURES,
    DistanceError,
    Distribution,
    Gaussian,
    Histograms,
    Sketch,
    compare,
    distances_between,
)


def latents(tiles=24, positions=20, channels=3, seed=0, shift=0.0):
    """Latents of tiles with a brightness of their own, and the number of each one's tile."""
    generator = torch.Generator().manual_seed(seed)
    brightness = torch.randn(tiles, 1, 1, generator=generator) / 2
    drawn = brightness + torch.randn(tiles, positions, channels, generator=generator) + shift
    return drawn.flatten(0, 1), torch.arange(tiles).repeat_interleave(positions)


def values(found):
    return {name: (each.value, each.bias_corrected, each.standard_error) for name, each in found.items()}


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.sampled_from([0.0, 1e3]), st.randoms())
@settings(max_examples=40, deadline=None)
def test_batches_and_their_order_do_not_matter(sizes, shift, random):
    tiles = sum(sizes)
    cloud, numbers = latents(tiles, shift=shift)
    other = Sketch.of(*latents(seed=1, shift=shift + 1))
    parts = list(zip(cloud.split([20 * size for size in sizes]), numbers.split([20 * s for s in sizes]), strict=True))
    random.shuffle(parts)
    merged = Sketch.of(*parts[0])
    for part in parts[1:]:
        merged = merged.merged(Sketch.of(*part))
    whole = Sketch.of(cloud, numbers)
    assert torch.equal(merged.axes.counts, whole.axes.counts)
    assert merged.samples == whole.samples == 20 * tiles
    one, another = values(compare(merged, other)), values(compare(whole, other))
    for name in MEASURES:
        unit = another[name][0]  # of which bias and error are small differences
        assert one[name] == pytest.approx(another[name], rel=1e-6, abs=1e-8 * unit, nan_ok=True)


def test_the_size_does_not_grow_with_the_latents():
    few, many = Sketch.of(*latents(2)), Sketch.of(*latents(500))
    assert few.axes.counts.shape == many.axes.counts.shape == (8, 3 + 64, 512)
    assert few.covariances.scatter.shape == many.covariances.scatter.shape == (8, 3, 3)


def test_some_groups_are_the_sketch_of_their_tiles():
    cloud, numbers = latents()
    chosen = torch.tensor([[1, 1, 0, 0, 0, 0, 1, 0]])
    own = (numbers % 8 == 0) | (numbers % 8 == 1) | (numbers % 8 == 6)
    part, alone = Sketch.of(cloud, numbers).distribution(chosen), Distribution.of(cloud[own])
    torch.testing.assert_close(part.gaussian.mean, alone.gaussian.mean)
    torch.testing.assert_close(part.gaussian.covariance, alone.gaussian.covariance)
    assert all(value < 0.02 for value in distances_between(part, alone).values())  # bins may differ


def test_parts_of_a_wide_layer_are_the_distributions_in_order():
    sketch = Sketch.of(*latents(channels=600))
    chosen = 1 - torch.eye(8)[:5]
    whole, parts = sketch.distribution(chosen), list(sketch.distributions(chosen))
    assert [len(part.gaussian.mean) for part in parts] == [2, 2, 1]
    torch.testing.assert_close(torch.cat([part.gaussian.covariance for part in parts]), whole.gaussian.covariance)
    torch.testing.assert_close(torch.cat([part.axes.counts for part in parts]), whole.axes.counts)


def test_an_empty_sketch_changes_nothing():
    cloud, numbers = latents()
    sketch, empty = Sketch.of(cloud, numbers), Sketch.empty(3)
    assert empty.samples == 0
    assert empty.groups == []
    for merged in (sketch.merged(empty), empty.merged(sketch)):
        assert torch.equal(merged.axes.counts, sketch.axes.counts)
        torch.testing.assert_close(merged.covariances.scatter, sketch.covariances.scatter)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.float16, torch.bfloat16])
def test_numbers_of_any_type_are_those_numbers(dtype):
    samples = [torch.randint(low, low + 50, (500, 3)).to(dtype) for low in (0, 30)]
    found = distances_between(*map(Distribution.of, samples))
    expected = distances_between(*(Distribution.of(sample.double()) for sample in samples))
    for name, distance in expected.items():
        torch.testing.assert_close(found[name], distance, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("make", [Distribution.of, Gaussian.of, Histograms.of])
@pytest.mark.parametrize(
    "latents",
    [
        torch.full((9, 3), torch.nan),
        torch.full((9, 3), -torch.inf),
        torch.zeros(0, 3),
        torch.zeros(9, 0),
        torch.zeros(9, 3, dtype=torch.complex64),
    ],
)
def test_what_are_no_latents_is_refused(make, latents):
    with pytest.raises(DistanceError, match="^Latents (are|have)"):
        make(latents)
