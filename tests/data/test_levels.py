"""Which part of a file is read: a level of OME-Zarr by pixel size, an index of an axis, a series of TIFF."""

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from bnadapt.commands.cli import main
from bnadapt.data import DomainPair, Stack
from bnadapt.data.readers import open_stack
from bnadapt.errors import InputError

FINEST = np.random.default_rng(0).integers(255, size=(4, 64, 64), dtype=np.uint8)
LEVELS = [FINEST, FINEST[:, ::2, ::2], FINEST[:, ::4, ::4]]
TIMES = np.random.default_rng(1).integers(255, size=(3, 2, 5, 24, 32), dtype=np.uint8)  # T C Z Y X


def pyramid(version="0.5", pixel_sizes=(8, 16, 32), unit="nanometer", sharded=False, group="", name="s.ome.zarr"):
    """Writes an OME-Zarr image of three levels."""
    store = zarr.open_group(name, mode="a", zarr_format=2 if version == "0.4" else 3)
    image = store.require_group(group) if group else store
    for number, level in enumerate(LEVELS):
        shards = {"shards": (2, *level.shape[1:])} if sharded else {}
        image.create_array(str(number), data=level, chunks=(1, 16, 16), **shards)
    datasets = [
        {"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": [20, size, size]}]}
        for number, size in enumerate(pixel_sizes)
    ]
    axes = [{"name": axis, "type": "space", "unit": unit} for axis in "zyx"]
    multiscales = [{"version": version, "axes": axes, "datasets": datasets}]
    image.attrs.update({"multiscales": multiscales} if version == "0.4" else {"ome": {"multiscales": multiscales}})
    return name


@pytest.mark.parametrize("options", [{"version": "0.4"}, {"version": "0.5"}, {"sharded": True}])
@pytest.mark.parametrize(("given", "level", "size"), [(None, 0, 8), (8, 0, 8), (16, 1, 16), (15.9, 1, 16), (32, 2, 32)])
def test_the_level_of_a_pixel_size_is_read(options, given, level, size, caplog):
    stack = Stack(pyramid(**options), pixel_size_nm=given)
    section = stack.unlabelled()[2]
    np.testing.assert_array_equal(section.read_image(), LEVELS[level][2])
    assert section.pixel_size_nm == stack.pixel_size_nm == size
    (said,) = caplog.messages
    assert "as its file says" in said
    assert f"{size} nm" in said
    assert (f"level {level} is read" in said) == (given is not None)


@pytest.mark.parametrize("given", [5, 12, 50])
def test_a_pixel_size_of_no_level_is_refused_unless_it_overrides_the_file(given, caplog):
    words = rf"s.ome.zarr:0: states 8 nm, pixel_size_nm is {given}; .* one of its resolution levels \(8, 16, 32 nm\)"
    with pytest.raises(InputError, match=words):
        Stack(pyramid(), pixel_size_nm=given)
    stack = Stack("s.ome.zarr", pixel_size_nm=given, override_pixel_size=True)
    assert stack.pixel_size_nm == given
    np.testing.assert_array_equal(stack.unlabelled()[2].read_image(), FINEST[2])
    assert f"taken as {given} nm wide, though its file says 8" in caplog.text


def test_a_size_that_overrides_the_file_chooses_no_level():
    stack = Stack(pyramid(), pixel_size_nm=16, override_pixel_size=True)
    assert stack.pixel_size_nm == 16
    np.testing.assert_array_equal(stack.unlabelled()[2].read_image(), FINEST[2])


def test_a_level_that_is_named_has_its_own_pixel_size():
    with pytest.raises(InputError, match="states 16 nm, pixel_size_nm is 8"):
        Stack(pyramid(), images_key="1", pixel_size_nm=8)
    named, overriding = {"images_key": "1"}, {"pixel_size_nm": 8, "override_pixel_size": True}
    assert Stack("s.ome.zarr", **named).pixel_size_nm == Stack("s.ome.zarr", **named, pixel_size_nm=16).pixel_size_nm
    stack = Stack("s.ome.zarr", **named, **overriding)
    assert stack.pixel_size_nm == 8
    np.testing.assert_array_equal(stack.unlabelled()[2].read_image(), LEVELS[1][2])


@pytest.mark.parametrize("options", [{"unit": "pixel"}, {"pixel_sizes": (float("nan"), 0, -4)}])
def test_levels_of_unknown_pixel_size_are_not_chosen(options):
    stack = Stack(pyramid(**options), pixel_size_nm=16)
    assert stack.pixel_size_nm == 16
    assert stack.unlabelled()[0].read_image().shape == (64, 64)


def test_masks_are_read_at_the_level_of_the_images():
    images, masks = pyramid(), pyramid(group="labels/cells")
    stack = Stack(
        images,
        masks,
        masks_key="labels/cells",
        pixel_size_nm=16,
        classes=[str(each) for each in range(255)],
        ignored=255,
    )
    np.testing.assert_array_equal(stack.labelled()[1].read_mask(), LEVELS[1][1])
    with pytest.raises(InputError, match=r"masks of shape \(4, 64, 64\) for images of shape \(4, 32, 32\)"):
        Stack(images, masks, masks_key="labels/cells/0", pixel_size_nm=16)


def test_an_image_inside_a_store_is_named_by_its_group():
    stack = open_stack(pyramid(group="0"), "0")
    np.testing.assert_array_equal(stack[1], FINEST[1])
    assert stack.opened.geometry.voxel.pixel_size_nm == 8
    assert open_stack("s.ome.zarr", "0/1").opened.geometry.voxel.pixel_size_nm == 16


@pytest.mark.parametrize("size", [0, -4, float("nan"), float("inf"), 1e-300, 1e300])
def test_pixel_sizes_that_are_none_are_refused(size):
    with pytest.raises(InputError, match=r"pixel_size_nm is .*; give a number from 1e-06 to 1e\+12"):
        Stack(pyramid(), pixel_size_nm=size)
    with pytest.raises(InputError, match="--data.pixel_size_nm is .*; give a number"):
        DomainPair(pixel_size_nm=size)


# An index of an axis


def ome_zarr():
    group = zarr.open_group("t.zarr", mode="w")
    group.create_array("0", data=TIMES)
    image = {"axes": [{"name": axis} for axis in "tczyx"], "datasets": [{"path": "0"}]}
    group.attrs["ome"] = {"multiscales": [image]}
    return "t.zarr", None


def ome_tiff():
    tifffile.imwrite("t.ome.tif", TIMES, metadata={"axes": "TCZYX"}, photometric="minisblack")
    return "t.ome.tif", None


def imagej():
    tifffile.imwrite("t.tif", np.moveaxis(TIMES, 1, 2), imagej=True, metadata={"axes": "TZCYX"})
    return "t.tif", None


def hdf5():
    with h5py.File("t.h5", "w") as store:
        store.create_dataset("raw", data=TIMES, chunks=(1, 1, 3, 12, 16))
    return "t.h5", "raw"


def npy():
    np.save("t.npy", TIMES)
    return "t.npy", None


@pytest.mark.parametrize(
    ("write", "index"),
    [
        (ome_zarr, {"T": 2, "C": 1}),
        (ome_zarr, {"t": 2, "1": 1}),
        (ome_tiff, {"T": 2, "C": 1}),
        (imagej, {"T": 2, "C": 1}),
        (hdf5, {"0": 2, "1": 1}),
        (npy, {"0": 2, "1": 1}),
    ],
)
def test_one_index_of_an_axis_is_read(write, index):
    path, key = write()
    with pytest.raises(InputError, match=r"choose one index of an axis, such as --data.target.index '\{\"[T1]\": 0\}'"):
        open_stack(path, key)
    stack = open_stack(path, key, index=index)
    np.testing.assert_array_equal(np.stack(list(stack)), TIMES[2, 1])


def test_the_next_axis_to_choose_of_is_named_by_its_place_in_the_file():
    with pytest.raises(InputError, match=r"index '\{\"1\": 0\}'"):
        open_stack(*npy(), index={"0": 2})


def test_channels_are_all_read_where_none_is_chosen():
    stack = open_stack(*ome_zarr(), index={"T": 1})
    np.testing.assert_array_equal(stack[3], np.moveaxis(TIMES[1, :, 3], 0, -1))


def test_more_channels_than_are_read_are_refused_with_the_option():
    np.save("c.npy", TIMES[0, 0])
    group = zarr.open_group("c.zarr", mode="w")
    group.create_array("0", data=TIMES[0, 0])
    group.attrs["ome"] = {"multiscales": [{"axes": ["c", "y", "x"], "datasets": [{"path": "0"}]}]}
    with pytest.raises(InputError, match=r"has 5 channels, but at most 4 .*index '\{\"C\": 0\}'"):
        open_stack("c.zarr")
    np.testing.assert_array_equal(open_stack("c.zarr", index={"C": 4})[0], TIMES[0, 0, 4])


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ({"T": 3}, "index 3 of the axis T is outside its length 3; give one from 0 to 2"),
        ({"T": -1}, "index -1 of the axis T is outside its length 3"),
        ({"S": 0}, r"has the axes TCZYX of lengths \(3, 2, 5, 24, 32\), and no unique axis 'S'"),
        ({"5": 0}, "and no unique axis '5'; name an axis in `index` by its letter, or by its number from 0 to 4"),
        ({"Y": 0}, "'Y' holds rows or columns"),
        ({"T": 1, "0": 1}, "names the axis T twice"),
    ],
)
def test_an_index_of_no_axis_is_refused(index, words):
    with pytest.raises(InputError, match=words):
        open_stack(*ome_zarr(), index=index)


def test_an_axis_of_an_array_without_names_is_chosen_by_its_number_or_its_guessed_letter():
    np.save("z.npy", TIMES[0, 0])
    assert len(open_stack("z.npy", index={"Z": 3})) == 1
    with pytest.raises(InputError, match="has the axes ZYX .* and no unique axis 'T'"):
        open_stack("z.npy", index={"T": 0})


@pytest.mark.parametrize(
    "masks",
    [TIMES[:, :1] % 2, TIMES % 2, TIMES[2, 1] % 2, TIMES[2:, 1:] % 2],
    ids=["without channels", "with all axes", "volume", "of length one"],
)
def test_a_choice_holds_for_the_axes_that_masks_have(masks):
    with h5py.File("m.h5", "w") as store:
        store["raw"], store["labels"] = TIMES, masks
    stack = Stack("m.h5", "m.h5", "raw", "labels", index={"0": 2, "1": 1})
    expected = masks.reshape(-1, 5, 24, 32)[-1]
    np.testing.assert_array_equal(stack.labelled()[3].read_mask(), expected[3])


def test_a_choice_by_letter_holds_for_named_masks():
    images, _ = ome_zarr()
    tifffile.imwrite("m.ome.tif", TIMES[:, 0] % 2, metadata={"axes": "TZYX"}, photometric="minisblack")
    stack = Stack(images, "m.ome.tif", index={"T": 1, "C": 0})
    np.testing.assert_array_equal(stack.labelled()[4].read_mask(), TIMES[1, 0, 4] % 2)


def test_the_command_line_takes_an_index(best, tmp_path):
    path, _ = ome_zarr()
    volume = np.repeat(np.repeat(TIMES, 2, 3), 2, 4)
    zarr.open_group(path, mode="a").create_array("0", data=volume, overwrite=True)
    options = ['--data.target.index={"T": 2, "C": 1}', "--data.tile_size=32", "--output=predicted"]
    main(["predict", "--ckpt_path", str(best), "--data.target=Stack", f"--data.target.images={path}", *options])
    assert open_stack(tmp_path / "predicted" / "t_mask.ome.zarr").shape == (5, 48, 64)


# A series of TIFF


def two_series(name="two.tif", **options):
    with tifffile.TiffWriter(name) as writer:
        for number, volume in enumerate((LEVELS[0], LEVELS[1].astype(np.uint16))):
            size = 4.0 * (number + 1)
            sizes = {f"PhysicalSize{axis}": size for axis in "XY"} | {f"PhysicalSize{axis}Unit": "nm" for axis in "XY"}
            told = {"metadata": {"axes": "ZYX", **sizes}} if ".ome" in name else {}
            writer.write(volume, photometric="minisblack", **told)
    return name


def test_a_series_of_tiff_is_chosen_by_its_number():
    stack = open_stack(two_series(), "1")
    np.testing.assert_array_equal(stack[3], LEVELS[1][3])
    assert stack.dtype == np.uint16
    stack = open_stack(two_series("two.ome.tif"), "1")
    np.testing.assert_array_equal(stack[3], LEVELS[1][3])
    assert stack.opened.geometry.voxel.pixel_size_nm == 8
    assert open_stack("two.ome.tif", "0").opened.geometry.voxel.pixel_size_nm == 4


@pytest.mark.parametrize("key", [None, "2", "raw", "-1"])
def test_series_that_are_not_there_are_refused(key):
    words = r"holds 2 series \(0: \(4, 64, 64\), 1: \(4, 32, 32\)\).*name one by its number as the key .*images_key 0"
    with pytest.raises(InputError, match=words):
        open_stack(two_series(), key)
