"""What training sees of its images: turned, mirrored, deformed, of other intensities; image and mask alike."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from bnadapt.data import Section
from bnadapt.data.prepare import PreparedSection, prepare
from bnadapt.data.random_crops import RandomCrops
from bnadapt.errors import InputError


def section(image, mask):
    def unscaled(image):
        return image.astype(np.float32)

    return prepare(Section("one", lambda: image, None if mask is None else lambda: mask), "here", None, unscaled)


def test_crops_are_turned_and_mirrored_in_all_eight_ways():
    image = np.arange(1, 17, dtype=np.float32).reshape(4, 4) / 16
    crops = RandomCrops([section(image, (image > 0.5).astype(np.uint8))], crop_size=4, length=200, seed=0)
    seen = [crops[index]["image"][0].numpy() for index in range(200)]
    symmetries = [np.rot90(kind, turns) for kind in (image, image.T) for turns in range(4)]
    counts = [sum(np.array_equal(crop, each) for crop in seen) for each in symmetries]
    assert sum(counts) == 200
    assert min(counts) > 10


def test_masks_turn_with_their_images():
    image = np.random.default_rng(0).random((12, 12)).astype(np.float32)
    crops = RandomCrops([section(image, (image > 0.5).astype(np.uint8))], crop_size=8, length=50, seed=0)
    for index in range(50):
        np.testing.assert_array_equal(crops[index]["mask"], crops[index]["image"][0] > 0.5)


def test_crops_come_from_everywhere():
    image = np.arange(400, dtype=np.float32).reshape(20, 20) / 400
    crops = RandomCrops([section(image, np.zeros((20, 20), np.uint8))], crop_size=8, length=300, seed=0)
    corners = {round(crops[index]["image"].min().item() * 400) for index in range(300)}
    assert len(corners) > 100


def test_resampling_to_coarser_pixels_averages_what_they_cover():
    """Without a filter in front, every second pixel of noise would be left out, and its spread would stay."""
    image = np.random.default_rng(0).normal(0.5, 0.1, (240, 240)).astype(np.float32)
    coarse = prepare(Section("one", lambda: image, None, 4.0), "here", 16.0, lambda image: image)
    assert isinstance(coarse, PreparedSection)
    assert coarse.image.shape == (1, 60, 60)
    assert coarse.image.std() < 0.035


def augmented(name, image, mask, count=40):
    crops = RandomCrops([section(image, mask)], crop_size=32, length=count, seed=0, augmentation=name)
    return [crops[index] for index in range(count)]


@pytest.fixture(scope="module")
def smooth():
    """An image of mean 5 and standard deviation 2, bright where its mask is."""
    field = gaussian_filter(np.random.default_rng(0).normal(size=(96, 96)), 4)
    mask = (field > 0).astype(np.uint8)
    return (5 + 2 * field / field.std()).astype(np.float32), mask


@pytest.mark.parametrize("name", ["moderate", "strong"])
def test_changed_crops_fit_their_masks(name, smooth):
    """Image and mask are deformed alike: the foreground stays the brighter part of every crop, gamma or not."""
    for item in augmented(name, *smooth):
        image, mask = item["image"][0].numpy(), item["mask"].numpy()
        assert image.shape == mask.shape == (32, 32)
        assert item["mask"].dtype == torch.int64
        assert set(np.unique(mask)) <= {0, 1}
        if 0.1 < mask.mean() < 0.9:
            threshold = np.quantile(gaussian_filter(image, 1), 1 - mask.mean())
            assert ((gaussian_filter(image, 1) > threshold) == (mask == 1)).mean() > 0.85


def test_intensities_stay_in_the_range_that_the_strength_names(smooth):
    """Contrast by 1.26 and brightness by 0.25 standard deviations at most, whatever the unit of the image."""
    image, mask = smooth
    plain, other = (augmented(name, image, mask) for name in ("flips", "moderate"))
    means = [item["image"].mean().item() for item in other]
    deviations = [item["image"].std().item() for item in other]
    assert np.mean(means) == pytest.approx(np.mean([item["image"].mean().item() for item in plain]), abs=0.4)
    assert 1.2 < np.mean(deviations) < 2.6
    assert np.std(means) > 0.2
    in_other_units = augmented("moderate", 1000 * image, mask)
    for one, thousandfold in zip(other, in_other_units, strict=True):
        torch.testing.assert_close(1000 * one["image"], thousandfold["image"], rtol=1e-3, atol=2)


def test_a_crop_is_a_function_of_seed_and_index(smooth):
    first, second = augmented("moderate", *smooth), augmented("moderate", *smooth)
    assert all(torch.equal(one["image"], other["image"]) for one, other in zip(first, second, strict=True))
    assert len({item["image"].sum().item() for item in first}) == len(first)


def test_constant_crops_and_images_without_masks_pass():
    flat = RandomCrops([section(np.full((40, 40), 3.0, np.float32), None)], 32, 5, 0, augmentation="moderate")
    assert all(torch.isfinite(flat[index]["image"]).all() for index in range(5))
    assert "mask" not in flat[0]


def test_several_channels_keep_their_own_scale():
    image = np.random.default_rng(0).normal([0, 100, -5], [1, 10, 0.1], (48, 48, 3)).astype(np.float32)
    crops = RandomCrops([section(image, None)], 32, 20, 0, augmentation="moderate")
    means = torch.stack([crops[index]["image"].mean((1, 2)) for index in range(20)]).mean(0)
    torch.testing.assert_close(means, torch.tensor([0.0, 100.0, -5.0]), rtol=0.03, atol=0.2)


@pytest.mark.parametrize("name", ["moderate", "strong"])
def test_crops_that_are_too_small_to_be_deformed_are_refused(name):
    image = section(np.random.default_rng(0).random((40, 40), np.float32), None)
    with pytest.raises(InputError, match=f"crops of 11 pixels a side are too small for the augmentation {name}"):
        RandomCrops([image], 11, 5, 0, augmentation=name)
    for size, fitting in ((12, name), (1, "flips")):
        crops = RandomCrops([image], size, 20, 0, augmentation=fitting)
        assert {crops[index]["image"].shape for index in range(20)} == {(1, size, size)}
