"""Domains: synthetic images, folders, stacks, public sets; their blocks and their refusals."""

from pathlib import Path

import h5py
import imageio.v3
import numpy as np
import pytest
import tifffile
import zarr

from bnadapt.data import (
    ISBI2012,
    VNC,
    AxonDeepSeg,
    CDeep3M,
    Domain,
    FlyEM,
    Folder,
    Lucchi,
    Stack,
    Synthetic,
    TilesByForeground,
)
from bnadapt.data.domain import contiguous_block
from bnadapt.data.formats import OME_ZARR
from bnadapt.errors import InputError
from tests.conftest import needs_em_data, write_images


@pytest.mark.parametrize("count", [6, 20, 250])
@pytest.mark.parametrize("gap", [0, 1, 3])
def test_blocks_are_contiguous_and_apart(count, gap):
    blocks = [range(count)[contiguous_block(count, (0.6, 0.2, 0.2), gap, name)] for name in ("train", "val", "test")]
    used = [list(block) for block in blocks if block]
    assert used[0][0] == 0
    for before, after in zip(used, used[1:], strict=False):
        assert after[0] - before[-1] == gap + 1
    if len(used) == 3:
        assert used[-1][-1] == count - 1


def test_too_few_images_for_a_block_are_refused_with_a_remedy():
    with pytest.raises(InputError, match="leave none for the val block.*give more images"):
        Synthetic(images=1).block("val")


@pytest.mark.parametrize("split", [[0.5, 0.5], [0.5, 0.5, 0.5], [1.5, -0.5, 0], [float("nan"), 0.5, 0.5]])
def test_a_split_that_is_none_is_refused(split):
    with pytest.raises(InputError, match="split is"):
        Synthetic(split=split)


@pytest.mark.parametrize("shapes", ["blobs", "ellipses", "cells"])
@pytest.mark.parametrize("foreground", [0.1, 0.5])
def test_synthetic_masks_have_the_foreground_asked_for(shapes, foreground):
    domain = Synthetic(shapes=shapes, foreground=foreground, size=(64, 96), images=2)
    for section in domain.labelled():
        assert section.read_mask().shape == (64, 96)
        assert section.read_mask().mean() == pytest.approx(foreground, abs=0.01)


@pytest.mark.parametrize("correlation", [0.0, 2.0])
def test_synthetic_intensities_have_the_means_and_deviations_asked_for(correlation):
    domain = Synthetic(mean=(0.8, 0.2), std=(0.05, 0.2), correlation=correlation, images=1)
    section = domain.labelled()[0]
    image, mask = section.read_image(), section.read_mask()
    assert image[mask == 1].mean() == pytest.approx(0.8, abs=0.03)
    assert image[mask == 0].mean() == pytest.approx(0.2, abs=0.05)
    assert image[mask == 1].std() == pytest.approx(0.05, rel=0.2)
    assert image[mask == 0].std() == pytest.approx(0.2, rel=0.2)
    neighbours = np.corrcoef(image[:, 1:][mask[:, 1:] == 0], image[:, :-1][mask[:, 1:] == 0])[0, 1]
    assert neighbours > 0.7 if correlation else True


def test_synthetic_images_are_a_function_of_their_seed():
    first, again, other = Synthetic(seed=3), Synthetic(seed=3), Synthetic(seed=4)
    assert np.array_equal(first.image(5), again.image(5))
    assert not np.array_equal(first.image(5), first.image(6))
    assert not np.array_equal(first.image(5), other.image(5))


@pytest.mark.parametrize(
    ("ending", "dtype"), [(".png", np.uint8), (".png", np.uint16), (".tif", np.uint16), (".tif", np.float32)]
)
def test_a_folder_pairs_images_and_masks_by_name(tmp_path, ending, dtype):
    folder = write_images(tmp_path / "mine", ending=ending, dtype=dtype)
    (folder / "masks" / "03.png").unlink()
    domain = Folder(str(folder / "images"), str(folder / "masks"))
    assert domain.name == folder.name
    assert [section.name for section in domain.unlabelled()] == [f"03{ending}"]
    assert len(domain.labelled()) == 5
    section = domain.labelled()[1]
    assert section.read_image().dtype == dtype
    assert set(np.unique(section.read_mask())) == {0, 1}
    expected = imageio.v3.imread(folder / "masks" / "01.png") > 0
    assert np.array_equal(section.read_mask(), expected)


def test_numbers_in_names_count_as_numbers(tmp_path):
    (tmp_path / "c").mkdir()
    for number in (1, 2, 10, 11, 9):
        imageio.v3.imwrite(tmp_path / "c" / f"s{number}.png", np.arange(64, dtype=np.uint8).reshape(8, 8))
    names = [section.name for section in Folder(str(tmp_path / "c")).unlabelled()]
    assert names == ["s1.png", "s2.png", "s9.png", "s10.png", "s11.png"]


def test_pixels_without_a_label_are_ignored_where_the_user_says_so(images):
    mask = np.zeros((48, 48), np.uint8)
    mask[:8], mask[40:] = 1, 255
    imageio.v3.imwrite(images / "masks" / "00.png", mask)
    with pytest.raises(InputError, match="mask value 255 is not a class.*set `ignored` to 255"):
        Folder(str(images / "images"), str(images / "masks")).labelled()[0].read_mask()
    domain = Folder(str(images / "images"), str(images / "masks"), ignored=255)
    assert np.array_equal(domain.labelled()[0].read_mask(), mask)
    assert set(np.unique(domain.labelled()[1].read_mask())) == {0, 255}


def test_what_adaptation_reads_has_no_masks(images):
    domain = Folder(str(images / "images"), str(images / "masks"), gap=0)
    sections = domain.adaptation()
    assert sections
    assert all(section.read_mask is None for section in sections)
    assert {section.name for section in sections}.isdisjoint(section.name for section in domain.block("test"))


def test_grey_images_stored_in_colour_become_grey(tmp_path):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    (tmp_path / "c").mkdir()
    imageio.v3.imwrite(tmp_path / "c" / "rgb.png", np.stack([grey] * 3, -1))
    imageio.v3.imwrite(tmp_path / "c" / "rgba.png", np.stack([grey] * 3 + [grey * 0 + 255], -1))
    for section in Folder(str(tmp_path / "c")).unlabelled():
        assert np.array_equal(section.read_image(), grey)


@pytest.fixture
def volume():
    domain = Synthetic(size=32, images=7)
    sections = domain.labelled()
    stack = np.stack([(np.clip(section.read_image(), 0, 1) * 255).astype(np.uint8) for section in sections])
    return stack, np.stack([section.read_mask() for section in sections])


def stored(tmp_path, kind, volume):
    """The volume in a file of that kind, and the arguments of the Stack that reads it."""
    images, masks = volume
    if kind == "tiff":
        tifffile.imwrite(tmp_path / "images.tif", images)
        tifffile.imwrite(tmp_path / "masks.tif", masks)
        return {"images": str(tmp_path / "images.tif"), "masks": str(tmp_path / "masks.tif")}
    if kind == "hdf5":
        with h5py.File(tmp_path / "volume.h5", "w") as store:
            store["raw/em"], store["labels"] = images, masks
        path = str(tmp_path / "volume.h5")
        return {"images": path, "masks": path, "images_key": "raw/em", "masks_key": "labels"}
    zarr.save_group(tmp_path / "volume.zarr", raw=images, labels=masks)
    path = str(tmp_path / "volume.zarr")
    return {"images": path, "masks": path, "images_key": "raw", "masks_key": "labels"}


@pytest.mark.parametrize("kind", ["tiff", "hdf5", "zarr"])
def test_stacks_are_read_section_by_section(tmp_path, volume, kind):
    domain = Stack(**stored(tmp_path, kind, volume))
    assert len(domain.labelled()) == 7
    assert np.array_equal(domain.labelled()[4].read_image(), volume[0][4])
    assert np.array_equal(domain.labelled()[4].read_mask(), volume[1][4])


@pytest.mark.parametrize("kind", ["hdf5", "zarr"])
def test_a_missing_key_is_answered_with_those_there_are(tmp_path, volume, kind):
    arguments = stored(tmp_path, kind, volume) | {"images_key": "nosuch"}
    with pytest.raises(InputError, match=r"no array 'nosuch'; name one of .*labels"):
        Stack(**arguments)


def test_a_key_that_names_a_group_is_answered_with_its_arrays(tmp_path, volume):
    arguments = stored(tmp_path, "hdf5", volume) | {"images_key": "raw"}
    with pytest.raises(InputError, match="'raw' is a group; name one of raw/em"):
        Stack(**arguments)


def test_a_negative_gap_is_refused():
    with pytest.raises(InputError, match="gap is -1"):
        Folder("anywhere", gap=-1)


def test_stacks_of_other_shapes_are_refused(tmp_path, volume):
    tifffile.imwrite(tmp_path / "flat.tif", volume[0][0])
    tifffile.imwrite(tmp_path / "short.tif", volume[1][:4])
    tifffile.imwrite(tmp_path / "images.tif", volume[0])
    with pytest.raises(InputError, match=r"flat.tif: has the shape \(32, 32\), one image"):
        Stack(str(tmp_path / "flat.tif"))
    with pytest.raises(InputError, match="every section needs one mask"):
        Stack(str(tmp_path / "images.tif"), str(tmp_path / "short.tif"))


@needs_em_data
@pytest.mark.parametrize(
    ("domain", "labelled", "unlabelled", "shape", "foreground", "pixel_size"),
    [
        (VNC(), 20, 0, (1024, 1024), 0.19, 4.6),
        (VNC(task="mitochondria"), 20, 0, (1024, 1024), 0.054, 4.6),
        (ISBI2012(), 30, 0, (512, 512), 0.22, 4.0),
        (ISBI2012(task="mitochondria"), 30, 0, (512, 512), 0.048, 4.0),
        (ISBI2012(task="synapses"), 30, 0, (512, 512), 0.038, 4.0),
        (VNC(task="synapses"), 20, 0, (1024, 1024), 0.006, 4.6),
        (Lucchi(), 66, 0, (768, 1024), 0.069, 5.0),
        (CDeep3M(), 30, 5, (1024, 1024), 0.08, None),
        (FlyEM(), 250, 0, (250, 250), 0.10, 10.0),
        (AxonDeepSeg(), 10, 0, None, 0.34, None),
    ],
    ids=lambda value: f"{value.name}-{value.classes[1]}" if isinstance(value, Domain) else "",
)
def test_public_sets_have_the_images_and_foreground_that_their_origin_states(
    domain, labelled, unlabelled, shape, foreground, pixel_size
):
    assert (len(domain.labelled()), len(domain.unlabelled())) == (labelled, unlabelled)
    chosen = domain.labelled()[:: max(1, labelled // 10)]
    for section in chosen:
        assert section.read_image().shape == section.read_mask().shape == (shape or section.read_image().shape)
        assert pixel_size is None or section.pixel_size_nm == pixel_size
    assert np.mean([section.read_mask().mean() for section in chosen]) == pytest.approx(foreground, rel=0.25)


@needs_em_data
@pytest.mark.parametrize(("domain", "count"), [(VNC(stack=2), 20), (FlyEM(sample=1), 250)], ids=["vnc", "flyem"])
def test_unlabelled_volumes_are_domains_of_their_own(domain, count):
    assert not domain.labelled()
    assert len(domain.adaptation()) == count
    assert domain.name not in (VNC().name, FlyEM().name)


@needs_em_data
def test_the_test_block_of_lucchi_lies_in_its_test_volume():
    blocks = {name: [section.name for section in Lucchi().block(name)] for name in ("train", "val", "test")}
    assert [len(names) for names in blocks.values()] == [26, 6, 32]
    assert all(name.startswith("Train-") for name in blocks["train"] + blocks["val"])
    assert all(name.startswith("Test-") for name in blocks["test"])
    assert [section.name for section in Lucchi(every=10).labelled()][:3] == [
        "Train-0.png",
        "Train-50.png",
        "Train-100.png",
    ]
    with pytest.raises(InputError, match="every is 0"):
        Lucchi(every=0)


@needs_em_data
def test_rats_never_fall_into_two_blocks():
    blocks = [{section.group for section in AxonDeepSeg().block(name)} for name in ("train", "val", "test")]
    assert not blocks[0] & blocks[1]
    assert not blocks[1] & blocks[2]


def test_a_public_set_that_is_not_there_says_where_it_belongs(monkeypatch, tmp_path):
    monkeypatch.setenv("BNADAPT_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setattr("pooch.retrieve", lambda *_, **__: (_ for _ in ()).throw(ConnectionError("offline")))
    with pytest.raises(InputError, match="nowhere.*cannot be fetched from https.*BNADAPT_DATA"):
        ISBI2012().labelled()


def test_tiles_by_foreground_are_those_within_the_bounds_and_stay_in_their_blocks():
    whole = Synthetic(size=96, images=10, seed=2)
    domain = TilesByForeground(whole, 32, (0.0, 0.2))
    tiles = {name: domain.block(name) for name in ("train", "val", "test")}
    assert all((tile.read_mask() == 1).mean() <= 0.2 for block in tiles.values() for tile in block)
    for name, block in tiles.items():
        sections = {section.name: section for section in whole.block(name)}
        assert {tile.group for tile in block} <= set(sections)
        for tile in block[:3]:
            top, left = (int(each.split(":")[0]) for each in tile.name.rpartition("[")[2].split(", "))
            area = slice(top, top + 32), slice(left, left + 32)
            np.testing.assert_array_equal(tile.read_image(), sections[tile.group].read_image()[area])
            np.testing.assert_array_equal(tile.read_mask(), sections[tile.group].read_mask()[area])
    more = TilesByForeground(whole, 32, (0.2, 1.0))
    assert len(domain.labelled()) + len(more.labelled()) == 9 * 10
    assert all(section.read_mask is None for section in domain.adaptation())
    assert len(domain.adaptation()) == len(tiles["train"])
    assert domain.name == "synthetic, foreground 0 to 0.2"


def test_tiles_by_foreground_refuse_what_gives_none():
    with pytest.raises(InputError, match="foreground is \\[0.5, 0.1\\]; give the least and the greatest share"):
        TilesByForeground(Synthetic(), 32, (0.5, 0.1))
    with pytest.raises(InputError, match="tile_size is 0"):
        TilesByForeground(Synthetic(), 0, (0.0, 0.1))
    with pytest.raises(InputError, match="no tile of 32 pixels in the 5 sections of the train block has a share"):
        TilesByForeground(Synthetic(size=64, images=8), 32, (0.99, 1.0)).block("train")


def test_a_folder_of_images_is_not_written_as_a_volume(images):
    with pytest.raises(InputError, match="is not a single volume, so it cannot be written as OME-Zarr"):
        Folder(str(images / "images")).writer(Path("out"), OME_ZARR)
