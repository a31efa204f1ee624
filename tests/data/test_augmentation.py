"""What training sees of its images: turned and mirrored, image and mask alike."""

import numpy as np

from bnadapt.data import Section
from bnadapt.data.datasets import RandomCrops
from bnadapt.data.prepare import PreparedSection, prepare


def section(image, mask):
    def unscaled(image):
        return image.astype(np.float32)

    return prepare(Section("one", lambda: image, lambda: mask), "here", None, unscaled)


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
