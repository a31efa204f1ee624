"""Images come from anywhere; of a volume only what is drawn is read."""

import h5py
import numpy as np
import pytest
import torch
import zarr
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bnadapt.batchnorm import StatisticsError, UntilConverged, VolumeTiles, estimate, measure_class_moments


@pytest.fixture
def net():
    return nn.Sequential(nn.BatchNorm2d(1))


def variance(net, images, **options):
    return estimate(net, images, **options).bank.variance["0"].item()


def test_all_kinds_of_batches_give_the_same(net, images):
    expected = images.double().var(correction=0).item()
    parts = images.split(4)
    for given, pick in [
        (images, None),
        (parts, None),
        ((part for part in parts), None),
        (DataLoader(TensorDataset(images, torch.zeros(11)), batch_size=4), None),
        ([(torch.zeros(4), part) for part in parts], 1),
        ([{"image": part, "mask": None} for part in parts], None),
        ([{"pixels": part} for part in parts], "pixels"),
        ([{"image": part - 3} for part in parts], lambda batch: batch["image"] + 3),
        (images.numpy(), None),
        ([part.numpy().astype(">f4") for part in parts], None),
        (TensorDataset(images.unsqueeze(0)), None),
    ]:
        assert variance(net, given, pick=pick) == pytest.approx(expected, rel=1e-6)


def test_labelled_batches_are_pairs_or_mappings(net, images):
    masks = (images[:, 0] > 0).to(torch.uint8)
    expected = measure_class_moments(net, [(images, masks.long())])
    for given in (
        (images, masks),
        [images, masks.unsqueeze(1), None],
        {"image": images, "mask": masks},
        (images.numpy(), masks.numpy() > 0),
        (images, masks.float()),
    ):
        moments = measure_class_moments(net, [given])
        assert torch.equal(moments.mean["0"], expected.mean["0"])
        assert moments.pixels.tolist() == expected.pixels.tolist()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (torch.ones(2, 1, 4, 4), "Batch 0 has no masks; give"),
        ({"image": torch.ones(2, 1, 4, 4)}, "Batch 0 has no masks; give"),
        ((torch.ones(2, 1, 4, 4), torch.ones(3, 4, 4)), r"masks of shape \(3, 4, 4\); give"),
        (
            (torch.ones(2, 1, 4, 4), torch.full((2, 4, 4), 0.9)),
            "masks of values that are not whole numbers; give class indices",
        ),
    ],
)
def test_batches_without_masks_are_refused(net, given, words):
    with pytest.raises(StatisticsError, match=words):
        measure_class_moments(net, [given])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.ma.masked_greater(np.arange(64.0).reshape(4, 1, 4, 4), 60), "masked pixels; fill these"),
        (np.ones((4, 1, 4, 4), complex), "of type complex128; give integers or floating"),
        (np.full((4, 1, 4, 4), None), "of type object; give"),
        ([np.ones((4, 1, 4, 4), np.uint8)], "of type torch.uint8; scale it"),
        (None, "of type NoneType; give tensors or arrays"),
        (3.0, "of type float; give tensors or arrays"),
    ],
)
def test_what_is_not_pixels_is_refused(net, given, words):
    with pytest.raises(StatisticsError, match=words):
        estimate(net, given)


NOISE = torch.rand(128, 1, 8, 8, generator=torch.Generator().manual_seed(0))
SORTED = NOISE + torch.tensor([0.0, 5.0]).repeat_interleave(64).view(-1, 1, 1, 1)  # by content


@pytest.mark.parametrize(
    "images",
    [SORTED, SORTED.numpy(), DataLoader(TensorDataset(SORTED), batch_size=8, shuffle=True)],
    ids=["tensor", "array", "shuffled"],
)
def test_what_is_sorted_by_content_is_drawn_at_random(net, images):
    torch.manual_seed(0)
    found = estimate(net, images, until=UntilConverged(0.1))
    assert found.converged
    assert found.tiles < 128
    assert found.bank.mean["0"].item() == pytest.approx(3, abs=0.5)


@pytest.mark.parametrize(
    "images",
    [SORTED.split(8), list(SORTED.split(8)), DataLoader(TensorDataset(SORTED), batch_size=8)],
    ids=["tuple", "list", "loader"],
)
def test_what_comes_in_a_fixed_order_is_read_to_its_end(net, images):
    with pytest.warns(UserWarning, match="All 128 tiles were read, although .* fixed order"):
        found = estimate(net, images, until=UntilConverged(0.1))
    assert found.tiles == 128
    assert found.bank.mean["0"].item() == pytest.approx(3, abs=0.01)
    assert estimate(net, images, until=UntilConverged(0.1, max_tiles=16)).tiles == 16


def test_integers_of_arrays_are_divided_by_their_greatest_value(net):
    array = np.random.default_rng(0).integers(0, 65535, (5, 1, 8, 8), dtype=np.uint16)
    assert variance(net, array) == pytest.approx((array / 65535).var(), rel=1e-6)


@pytest.mark.parametrize("kind", ["memmap", "hdf5", "zarr"])
def test_volumes_on_disk(net, tmp_path, kind):
    volume = np.random.default_rng(0).integers(0, 255, (6, 64, 96), dtype=np.uint8)
    if kind == "memmap":
        np.save(tmp_path / "v.npy", volume)
        opened = np.load(tmp_path / "v.npy", mmap_mode="r")
    elif kind == "hdf5":
        opened = h5py.File(tmp_path / "v.h5", "w").create_dataset("v", data=volume, chunks=(1, 32, 32))
    else:
        opened = zarr.create_array(tmp_path / "v.zarr", data=volume, chunks=(1, 32, 32))
    tiles = VolumeTiles(opened, tile_size=32)
    assert len(tiles) == len(list(tiles)) == 6 * 2 * 3
    assert variance(net, tiles) == pytest.approx((volume / 255).var(), rel=1e-6)
    assert estimate(net, opened).tiles == 6 * 2  # 64 x 64, the two of a section overlap


class Endless:
    """A volume of a terabyte that counts what is read of it."""

    shape, dtype = (10_000, 10_000, 10_000), np.dtype(np.uint8)

    def __init__(self):
        self.read = []

    def __getitem__(self, where):
        self.read.append(where)
        return np.random.default_rng(len(self.read)).integers(0, 255, (64, 64), dtype=np.uint8)


def test_of_a_terabyte_only_the_drawn_tiles_are_read(net):
    volume = Endless()
    found = estimate(net, VolumeTiles(volume, tile_size=64), until=UntilConverged(0.05))
    assert found.converged
    assert len(volume.read) == found.tiles < 100


def test_any_beginning_covers_the_volume_evenly():
    volume = Endless()
    tiles = iter(VolumeTiles(volume, tile_size=64))
    for _ in range(64):
        next(tiles)
    sections = np.array([section for section, _, _ in volume.read])
    rows, columns = (np.array([where[axis].start for where in volume.read]) for axis in (1, 2))
    for places in (sections, rows, columns):
        counts, _ = np.histogram(places, bins=8, range=(0, 10_000))
        assert counts.min() >= 6  # at random, about one draw in three has a bin below 4
        assert counts.max() <= 10


def test_tiles_of_several_volumes_come_once_each_and_the_same_again():
    volumes = [np.arange(depth * 40 * 40, dtype=np.float32).reshape(depth, 40, 40) + depth for depth in (1, 3)]
    tiles = VolumeTiles(volumes, tile_size=20)
    first, second = ([tile[0, 0, 0].item() for tile in tiles] for _ in range(2))
    assert first == second
    assert len(set(first)) == len(first) == len(tiles) == 16
    assert [tile[0, 0, 0].item() for tile in VolumeTiles(volumes, tile_size=20, seed=1)] != first


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            [{"pixels": torch.ones(2, 1, 4, 4)}],
            "a mapping of 'pixels'; call its images 'image', or say which by `pick`",
        ),
        (["nonsense"], "of type str; give tensors"),
        ([torch.ones(2, 1, 4, 4, dtype=torch.uint8)], "of type torch.uint8; scale it"),
        ([torch.ones(0, 1, 4, 4)], r"the shape \(0, 1, 4, 4\); give"),
        (torch.ones(5), "the shape"),
        (np.zeros((3, 3)), "neither images .* nor a volume"),
        (np.zeros((2, 1, 8, 8), np.int64), "of type int64, with a range too large to scale by; convert"),
    ],
)
def test_what_is_no_image_is_refused(net, given, words):
    with pytest.raises(StatisticsError, match=words):
        estimate(net, given)


def test_a_tile_larger_than_the_volume_is_refused():
    with pytest.raises(StatisticsError, match="tile_size is 64, the shortest side of a section 40"):
        VolumeTiles(np.zeros((2, 40, 50)), tile_size=64)
    for nothing in ([], np.zeros((0, 40, 40)), np.zeros((2, 0, 40))):
        with pytest.raises(StatisticsError, match="at least one section"):
            VolumeTiles(nothing)
    with pytest.raises(StatisticsError, match=r"shape \(40, 50\); give \(Z, H, W\)"):
        VolumeTiles([np.zeros((40, 50))])


def test_batches_of_nothing_are_refused(net, images):
    with pytest.raises(StatisticsError, match="batch_size is 0"):
        estimate(net, images, batch_size=0)
