"""Tiles, crops, intensities and resampling."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from bnadapt.data import DomainPair, Synthetic
from bnadapt.data.domain import Section
from bnadapt.data.drawn_tiles import DrawnTiles
from bnadapt.data.intensity import by_data_type, by_histogram, by_percentiles, by_zscore, reference_quantiles
from bnadapt.data.prepare import PreparedSection, prepare
from bnadapt.data.random_crops import EpochSampler, RandomCrops
from bnadapt.data.section_tiles import Tiles
from bnadapt.data.tiles import Blocks, tiles_of
from bnadapt.data.whole_sections import SectionsToSegment
from bnadapt.errors import InputError


def section(height=50, width=70, seed=0):
    generator = np.random.default_rng(seed)
    image = generator.random((1, height, width), dtype=np.float32)
    return PreparedSection("one", image, (image[0] > 0.5).astype(np.uint8), (height, width), np.dtype(np.float32))


@pytest.mark.parametrize("size", [(32, 32), (33, 50), (250, 97), (500, 32)])
@pytest.mark.parametrize("overlap", [0, 8, 31])
def test_every_pixel_is_the_own_of_exactly_one_tile(size, overlap):
    owned = np.zeros(size, dtype=int)
    for tile in tiles_of(size, 32, overlap, "one"):
        owned[tile.core] += 1
        assert all(area.stop - area.start == 32 for area in tile.area)
        assert all(
            own.start >= area.start and own.stop <= area.stop for own, area in zip(tile.core, tile.area, strict=True)
        )
    assert (owned == 1).all()


def test_tiles_count_every_labelled_pixel_once():
    tiles = Tiles([section()], tile_size=32, overlap=8)
    labelled = sum(int((item["mask"] != 255).sum()) for item in tiles)
    foreground = sum(int((item["mask"] == 1).sum()) for item in tiles)
    assert labelled == 50 * 70
    assert foreground == section().mask.sum()


@pytest.mark.parametrize(
    "blocks", [Blocks(24, 4), Blocks(16, 5, 16), Blocks(20, 9, 8), Blocks(100, 7, 32), Blocks(1, 0)]
)
def test_blocks_put_together_are_the_image_again(blocks):
    whole = SectionsToSegment({3: section}, blocks)
    bag = whole[0]
    assert bag["section"].index == 3
    assert torch.equal(whole.put_together(bag["section"], bag["image"]), torch.from_numpy(section().image))


@pytest.mark.parametrize("blocks", [Blocks(24, 4), Blocks(16, 5, 16), Blocks(20, 9, 8), Blocks(64, 70, 16)])
def test_a_block_is_seen_with_its_margin_as_far_as_the_image_goes(blocks):
    size = blocks.padded((150, 203))
    owned = np.zeros(size, int)
    tiles = blocks.tiles(size)
    for tile in tiles:
        owned[tile.core] += 1
        for side, area, own in zip(size, tile.area, tile.core, strict=True):
            assert area.start % blocks.stride == 0
            assert area.start <= max(0, own.start - blocks.margin)
            assert area.stop >= min(side, own.stop + blocks.margin)
    assert (owned == 1).all()
    assert len({tuple(area.stop - area.start for area in tile.area) for tile in tiles}) == 1


@pytest.mark.parametrize(("size", "tile", "overlap"), [((20, 50), 32, 8), ((50, 50), 32, 32)])
def test_tiles_that_cannot_be_are_refused(size, tile, overlap):
    with pytest.raises(InputError):
        tiles_of(size, tile, overlap, "one")


def test_crops_differ_between_workers_and_epochs_and_come_again_with_the_seed():
    def epochs(workers, seed=5):
        crops = RandomCrops([section()], crop_size=32, length=8, seed=seed)
        sampler = EpochSampler(crops)
        seen = []
        for epoch in range(2):
            sampler.set_epoch(epoch)
            seen += [batch["image"] for batch in DataLoader(crops, batch_size=1, sampler=sampler, num_workers=workers)]
        return torch.cat(seen)

    alone, together = epochs(0), epochs(2)
    assert len(torch.unique(alone, dim=0)) == 16
    assert torch.equal(alone, together)
    assert not torch.equal(alone, epochs(0, seed=6))


def test_crop_and_mask_stay_aligned_and_typed():
    crops = RandomCrops([section()], crop_size=32, length=20, seed=0)
    for index in range(20):
        item = crops[index]
        assert item["image"].shape == (1, 32, 32)
        assert item["mask"].dtype == torch.int64
        agree = ((item["image"][0] > 0.5) == item["mask"].bool()).float().mean()
        assert agree > 0.7


def test_a_crop_larger_than_an_image_is_refused():
    with pytest.raises(InputError, match=r"50 x 70 pixels .* --data.crop_size to 50 or less"):
        RandomCrops([section()], crop_size=64, length=1, seed=0)


def test_intensities():
    image = np.array([[[0, 51], [102, 255]]], dtype=np.uint8)
    assert by_data_type(image).flatten().tolist() == pytest.approx([0, 0.2, 0.4, 1])
    assert by_data_type(image.astype(np.uint16) * 257).flatten().tolist() == pytest.approx([0, 0.2, 0.4, 1])
    assert by_zscore(image).mean() == pytest.approx(0, abs=1e-6)
    assert by_zscore(image).std() == pytest.approx(1, abs=1e-6)
    assert by_percentiles(image).min() == 0
    assert by_percentiles(image).max() == 1


def test_histogram_matching_gives_the_source_histogram():
    generator = np.random.default_rng(0)
    source = generator.normal(0.7, 0.05, (1, 64, 64)).astype(np.float32)
    target = generator.uniform(0, 0.3, (1, 64, 64)).astype(np.float32)
    matched = by_histogram(target, reference_quantiles([source]))
    assert matched.mean() == pytest.approx(source.mean(), abs=1e-3)
    assert matched.std() == pytest.approx(source.std(), rel=0.02)
    order = np.argsort(target.flatten())
    assert (np.diff(matched.flatten()[order]) >= 0).all()


def test_sections_are_resampled_to_the_pixel_size():
    image = np.tile(np.arange(40, dtype=np.uint8), (20, 1))
    small = prepare(
        Section("one", lambda: image, lambda: (image > 20).astype(np.uint8), 5.0), "here", 10.0, lambda x: x
    )
    assert small.image.shape == (1, 10, 20)
    assert small.mask.shape == (10, 20)
    assert small.original_size == (20, 40)
    assert small.image[0, 5] == pytest.approx(np.arange(0.5, 40, 2) / 255, abs=2e-3)


def test_source_and_target_meet_at_the_coarser_pixel_size():
    class Sized(Synthetic):
        def __init__(self, pixel_size_nm, **options):
            super().__init__(size=64, images=6, **options)
            self.pixel_size_nm = pixel_size_nm

        def labelled(self):
            return [Section(e.name, e.read_image, e.read_mask, self.pixel_size_nm) for e in super().labelled()]

    pair = DomainPair(Sized(4.0), Sized(8.0), tile_size=32)
    assert pair.pixel_size_nm == 8.0
    tested = [loader.dataset.tiles[0][0].size for loader in pair.test_dataloader()]
    assert tested == [(32, 32), (64, 64)]


@pytest.mark.parametrize("images", [6, 18])
def test_a_domain_is_listed_as_often_whatever_its_number_of_images(images):
    """Otherwise the start of a training would take time of the square of that number."""

    class Counted(Synthetic):
        listings = 0

        def labelled(self):
            self.listings += 1
            return super().labelled()

    source, target = (Counted(size=32, images=images) for _ in range(2))
    DomainPair(source, target, crop_size=16, tile_size=16, overlap=4).train_dataloader()
    assert source.listings < 10
    assert target.listings < 10


def test_a_checkpoint_brings_scaling_and_pixel_size_unless_the_run_asks_otherwise():
    trained = DomainPair(Synthetic(), Synthetic(), intensity="histogram")
    later = DomainPair(target=Synthetic())
    later.load_state_dict(trained.state_dict())
    assert later.intensity == "histogram"
    assert later.scalings.reference == trained.scalings.reference
    asked = DomainPair(target=Synthetic(), intensity="zscore")
    asked.load_state_dict(trained.state_dict())
    assert asked.intensity == "zscore"


def test_adaptation_tiles_are_images_alone():
    pair = DomainPair(Synthetic(), Synthetic(size=64), tile_size=32)
    tiles = list(pair.unlabelled_tiles("target", 5))
    assert all(set(tile) == {"image", "number"} for tile in tiles)
    assert [tile["number"] for tile in tiles] == [0, 1, 2, 3, 4]


def drawn(sizes, count=None, **options):
    """What DrawnTiles gives of sections whose pixels are their number, and which sections it has read."""
    read = []

    def reader(number, height):
        def prepared():
            read.append(number)
            image = np.full((1, height, 32), number, dtype=np.float32)
            image[0] += np.arange(height)[:, None] / 100 + np.arange(32) / 10_000
            return PreparedSection(str(number), image, None, (height, 32), np.dtype("uint8"))

        return prepared

    tiles = DrawnTiles([reader(*each) for each in enumerate(sizes)], "made", 16, 0, count, **options)
    return [tuple(item["image"].flatten().tolist()) for item in tiles], read


def test_drawn_tiles_take_every_section_in_turn_and_read_only_what_is_due():
    tiles, read = drawn([64] * 5, count=5)
    assert sorted(int(tile[0]) for tile in tiles) == read == [0, 1, 2, 3, 4]
    tiles, read = drawn([64] * 50, count=3)
    assert len(tiles) == len(read) == 3


def test_drawn_tiles_come_once_each_and_the_same_again():
    sizes = [16, 64, 32]
    tiles, _ = drawn(sizes)
    assert len(tiles) == len(set(tiles)) == sum(size // 16 * 2 for size in sizes)
    assert drawn(sizes)[0] == tiles
    assert [int(tile[0]) for tile in tiles[:6]] == [0, 1, 2, 0, 1, 2]


def test_processes_share_drawn_tiles_batch_by_batch():
    everything, _ = drawn([64] * 5, count=11)
    one, two = (drawn([64] * 5, count=11, shard=(rank, 2), batch_size=4)[0] for rank in (0, 1))
    assert one == everything[:4] + everything[8:11]
    assert two == everything[4:8]


@pytest.mark.parametrize("count", [None, 33, 40, 70, 200])
@pytest.mark.parametrize("sections", [1, 20, 33, 100])
def test_a_section_is_read_once_however_many_tiles_are_drawn(sections, count):
    tiles, read = drawn([64] * sections, count)
    assert len(tiles) == len(set(tiles)) == min(count or np.inf, 8 * sections)
    assert len(read) == len(set(read)) == min(sections, len(tiles))
    given = np.bincount([int(tile[0]) for tile in tiles], minlength=sections)
    assert given.max() - given.min() <= 1


def test_more_tiles_hold_those_that_fewer_do():
    few, some, many = (set(drawn([64] * 40, count)[0]) for count in (12, 50, 90))
    assert few < some < many


def test_other_sections_make_up_for_small_ones():
    tiles, read = drawn([16, 96, 16], count=12)
    assert np.bincount([int(tile[0]) for tile in tiles]).tolist() == [2, 8, 2]
    assert len(read) <= 4


def test_blank_sections_and_tiles_are_left_out_and_counted():
    def reader(number):
        def prepared():
            image = np.random.default_rng(number).random((1, 32, 32), dtype=np.float32)
            if number == 1:
                image[:] = 0.5
            if number == 2:
                image[:, :16, :16] = 0
            return PreparedSection(str(number), image, None, (32, 32), np.dtype("uint8"), is_blank=number == 1)

        return prepared

    tiles = DrawnTiles([reader(number) for number in range(4)], "made", 16, 0, None)
    for _ in range(2):
        assert len(list(tiles)) == 4 + 3 + 4
        assert tiles.blank_sections == {"1"}
        assert [section for section, _ in tiles.blank_tiles] == [2]
    few = DrawnTiles(tiles.sections, "made", 16, 0, 8)
    assert len(list(few)) == 8
