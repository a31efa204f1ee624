"""The same picture gives the same segmentation, however its numbers are stored."""

import logging

import imageio.v3
import numpy as np
import pytest
import tifffile

from bnadapt.commands.cli import main
from bnadapt.data import DomainPair, Folder, Synthetic
from bnadapt.data.domain import Section
from bnadapt.data.intensity import IntensityRange, by_data_set, by_percentiles, by_zscore
from bnadapt.data.prepare import prepare
from bnadapt.errors import InputError

STORED = {
    "uint8": lambda image: image,
    "12 bits in uint16": lambda image: image.astype(np.uint16) * 16,
    "uint16": lambda image: image.astype(np.uint16) * 257,
    "int16 around zero": lambda image: image.astype(np.int16) * 100 - 12000,
    "uint32": lambda image: image.astype(np.uint32) * 1000,
    "float32 of the same values": lambda image: image.astype(np.float32),
    "float32 from 0 to 1": lambda image: image.astype(np.float32) / 255,
    "float64 of physical units": lambda image: image.astype(np.float64) * 1e-6 - 3e-5,
    "big-endian": lambda image: image.astype(">u2") * 3,
    "int64": lambda image: image.astype(np.int64),
    "uint64 of its whole range": lambda image: image.astype(np.uint64) << np.uint64(56),
    "int64 far from zero": lambda image: image.astype(np.int64) - 10**9,
    "uint32 far from zero": lambda image: image.astype(np.uint32) * 1000 + 2 * 10**9,
    "float16": lambda image: image.astype(np.float16),
    "float32 times 1e-16": lambda image: image.astype(np.float32) * np.float32(1e-16),
    "float32 times 1e30": lambda image: image.astype(np.float32) * np.float32(1e30),
    "float64 times 1e-300": lambda image: image * 1e-300,
    "float64 times 1e300": lambda image: image * 1e300,
}


@pytest.fixture(scope="module")
def pictures():
    """Images (48, 48) uint8, of whose range noise fills a part."""
    domain = Synthetic(size=48, images=6, object_size=12, mean=(0.6, 0.3), std=(0.08, 0.08))
    return [np.clip(255 * each.read_image(), 0, 255).astype(np.uint8) for each in domain.labelled()]


def stored(folder, pictures, how):
    (folder / how / "images").mkdir(parents=True)
    for index, picture in enumerate(pictures):
        tifffile.imwrite(folder / how / "images" / f"{index}.tif", STORED[how](picture))
    return Folder(str(folder / how / "images"))


@pytest.mark.parametrize("intensity", [None, "dataset", "percentile", "histogram"])
@pytest.mark.parametrize("how", [*STORED][1:])
def test_a_network_sees_the_same_whatever_the_number_type(tmp_path, pictures, how, intensity):
    source = Synthetic(size=48, images=6) if intensity == "histogram" else None
    one, other = (
        DomainPair(source, stored(tmp_path, pictures, name), tile_size=48, intensity=intensity).prediction_dataset()
        for name in ("uint8", how)
    )
    for index in range(len(pictures)):
        np.testing.assert_allclose(other.sections[index]().image, one.sections[index]().image, atol=2e-3)


@pytest.mark.parametrize("how", ["int16 around zero"])
def test_predict_gives_the_same_masks_whatever_the_number_type(best, tmp_path, pictures, how):
    masks = {}
    for name in ("uint8", how):
        domain = stored(tmp_path, pictures, name)
        options = ["--data.target=Folder", f"--data.target.images={domain.images}", "--data.tile_size=32"]
        output = ["--data.intensity=dataset", "--trainer.logger=false", "--output", str(tmp_path / f"{name} masks")]
        main(["predict", "--ckpt_path", str(best), *options, *output])
        files = sorted((tmp_path / f"{name} masks").glob("*_mask.tif"))
        masks[name] = np.stack([imageio.v3.imread(path) for path in files])
    assert 0.05 < (masks["uint8"] > 0).mean() < 0.95
    assert (masks["uint8"] != masks[how]).mean() < 1e-3


@pytest.mark.parametrize("how", ["12 bits in uint16", "int16 around zero", "float32 of the same values"])
def test_by_data_type_another_range_is_told_in_numbers(tmp_path, pictures, how, caplog):
    trained = DomainPair(stored(tmp_path, pictures, "uint8"), intensity="dtype")
    trained.scalings.of("source", trained.source)
    pair = DomainPair(target=stored(tmp_path, pictures, how), tile_size=48)
    pair.load_state_dict(trained.state_dict())
    with caplog.at_level(logging.WARNING):
        assert len(pair.prediction_dataset())
    assert "of its data type's range, the training images" in caplog.text
    assert "--data.intensity zscore or dataset" in caplog.text


def test_by_data_type_a_like_range_raises_no_warning(tmp_path, pictures, caplog):
    trained = DomainPair(stored(tmp_path, pictures, "uint8"), intensity="dtype")
    trained.scalings.of("source", trained.source)
    pair = DomainPair(target=stored(tmp_path, pictures, "uint16"), tile_size=48)
    pair.load_state_dict(trained.state_dict())
    assert len(pair.prediction_dataset())
    assert not caplog.text


def test_the_numbers_of_a_domain_are_stored_and_hold_for_later_images_alike(tmp_path, pictures, caplog):
    first = DomainPair(target=stored(tmp_path, pictures, "uint8"), tile_size=48, intensity="dataset")
    first.scalings.of("target", first.target)
    state = first.state_dict()
    assert set(state["ranges"]) == {"target"}
    brighter = [np.clip(picture.astype(int) + 4, 0, 255).astype(np.uint8) for picture in pictures]
    later = DomainPair(target=stored(tmp_path / "later", brighter, "uint8"), tile_size=48)
    later.load_state_dict(state)
    expected = by_data_set(brighter[0][None] / np.float32(255), IntensityRange(**state["ranges"]["target"]))
    np.testing.assert_allclose(later.prediction_dataset().sections[0]().image, expected, atol=1e-5)
    assert not caplog.text
    other = DomainPair(target=stored(tmp_path, pictures, "12 bits in uint16"), tile_size=48)
    other.load_state_dict(state)
    one, another = (pair.prediction_dataset().sections[0]().image for pair in (other, first))
    np.testing.assert_allclose(one, another, atol=1e-3)
    assert "it is scaled by its own range" in caplog.text


def test_the_scaling_of_a_data_set_does_not_depend_on_the_tile(pictures):
    stack = [picture[None] / np.float32(255) for picture in pictures]
    occupied = IntensityRange.of(stack)
    whole = by_data_set(stack[0], occupied)
    np.testing.assert_array_equal(by_data_set(stack[0][:, :16, :16], occupied), whole[:, :16, :16])


def test_a_channel_that_is_flat_stays_so_beside_others_however_it_is_resampled():
    image = np.stack([np.full((40, 60), 0.1, np.float32), np.random.default_rng(0).random((40, 60), np.float32)])
    prepared = prepare(Section("a", lambda: np.moveaxis(image, 0, -1), pixel_size_nm=4.0), "b", 10.0, by_zscore)
    assert prepared.size == (16, 24)
    assert (prepared.image[0] == 0).all()
    assert prepared.image[1].std() == pytest.approx(1, abs=1e-5)


def test_images_of_which_nearly_all_pixels_are_the_same_are_scaled_from_end_to_end():
    image = np.zeros((1, 100, 100), np.float32)
    image[0, 0, 0] = 3e-9
    assert by_data_set(image, IntensityRange.of([image])).max() == 1
    assert by_percentiles(image).max() == 1


def test_floating_point_numbers_that_networks_do_not_take_are_refused_by_data_type(tmp_path, pictures):
    pair = DomainPair(target=stored(tmp_path, pictures, "float64 times 1e300"), tile_size=48, intensity="dtype")
    with pytest.raises(InputError, match="some exceed float32; use another scaling, such as zscore"):
        pair.prediction_dataset().sections[0]()


@pytest.mark.parametrize("scaling", ["percentile", "dataset"])
def test_half_a_percent_of_the_pixels_lie_beyond_each_end(scaling):
    image = np.arange(100_000, dtype=np.float32).reshape(1, 250, 400) / 100_000
    if scaling == "percentile":
        scaled = by_percentiles(image)
        shares = (scaled == 0).mean(), (scaled == 1).mean()
    else:
        scaled = by_data_set(image, IntensityRange.of([image]))
        shares = (scaled <= -1).mean(), (scaled >= 1).mean()
    assert shares == pytest.approx((0.005, 0.005), abs=1e-4)


def test_a_frame_of_padding_is_no_part_of_the_range(tmp_path, pictures):
    framed = [np.pad(picture, 20) for picture in pictures]
    one, other = (
        DomainPair(target=stored(tmp_path / name, images, "uint8"), tile_size=48, intensity="dataset")
        for name, images in (("plain", pictures), ("framed", framed))
    )
    for pair in (one, other):
        pair.scalings.of("target", pair.target)
    low, high = (
        np.asarray([pair.scalings.ranges["target"].low, pair.scalings.ranges["target"].high]) for pair in (one, other)
    )
    np.testing.assert_allclose(low, high, atol=0.02)


def test_images_of_other_channels_than_the_range_are_refused():
    with pytest.raises(InputError, match="an image has 3 channels, the others 1"):
        by_data_set(np.zeros((3, 4, 4), np.float32), IntensityRange([0.0], [1.0]))
