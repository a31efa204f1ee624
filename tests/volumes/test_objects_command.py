"""`bnadapt objects`: every format that predict writes, units, what is said, and what is refused."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import imageio.v3
import numpy as np
import ome_zarr_models
import pandas as pd
import pytest
import tifffile
import zarr
from skimage.measure import label, regionprops

from bnadapt.__main__ import run
from bnadapt.commands.cli import main
from bnadapt.data.geometry import Axis, named_axes
from bnadapt.data.readers import open_masks
from bnadapt.data.writers import VOLUME, ImageFiles, StackFile, stored_probability
from tests.conftest import TARGET_ALONE

SHAPE = 4, 20, 24


@pytest.fixture
def objects(monkeypatch, capsys):
    """Run the command; give the table and what was printed."""

    def objects(*arguments, output="objects.csv"):
        monkeypatch.setattr(sys, "argv", ["bnadapt", "objects", *map(str, arguments), "--output", output])
        capsys.readouterr()
        run()
        return pd.read_csv(output), capsys.readouterr().out

    return objects


def segmentation(classes=2, seed=0):
    """Class indices (4, 20, 24), and probabilities that are above a half in objects."""
    generator = np.random.default_rng(seed)
    volume = generator.choice(classes, SHAPE, p=[0.7, *[0.3 / (classes - 1)] * (classes - 1)]).astype(np.uint8)
    probability = generator.uniform(0, 0.5, SHAPE)
    return volume, np.where(volume > 0, probability + 0.5, probability)


def write_stack(name="volume.tif", dtype=np.uint8, classes=2, geometry=VOLUME):
    """What predict writes for a volume of that name and type."""
    volume, probability = segmentation(classes)
    writer = StackFile(Path(), Path(name), "raw" if name.endswith((".h5", ".zarr")) else None, geometry)
    writer.begin(len(volume))
    masks = volume * np.uint8(255 if classes == 2 else 1)
    for index, (mask, part) in enumerate(zip(masks, probability, strict=True)):
        writer.write(index, "", mask, stored_probability(part, np.dtype(dtype)))
    writer.close()
    return volume, probability


@pytest.mark.parametrize("name", ["volume.tif", "volume.ome.zarr", "volume.npy"])
def test_the_folder_of_a_stack_stands_for_it(objects, name):
    write_stack(name)
    table, _ = objects("--mask", f"volume_mask{name[6:]}")
    table_of_folder, said = objects("--mask", ".", output="other.csv")
    pd.testing.assert_frame_equal(table, table_of_folder)
    assert "volume_probability" in said


def write_folder(folder="predictions", ending=".png"):
    Path(folder).mkdir()
    volume, probability = segmentation()
    writer = ImageFiles(Path(folder))
    for index, (mask, part) in enumerate(zip(volume, probability, strict=True)):
        writer.write(index, f"{index + 8}{ending}", mask * 255, stored_probability(part, np.dtype(np.uint8)))
    return volume, probability


def whole(volume, probability):
    """Sizes and mean probabilities of objects in the whole volume, sorted."""
    labels = label(volume, background=0, connectivity=1)
    sizes = np.bincount(labels.ravel())[1:]
    means = np.bincount(labels.ravel(), weights=probability.ravel())[1:] / sizes
    return np.sort(sizes), np.sort(means)


@pytest.mark.parametrize(
    ("extension", "dtype", "classes"),
    [
        (".tif", np.uint8, 3),
        (".h5", np.uint16, 2),
        (".zarr", np.float32, 3),
        (".npy", np.float32, 2),
        (".mrc", np.uint16, 3),
    ],
)
def test_whatever_predict_writes_is_read(objects, extension, dtype, classes):
    volume, probability = write_stack(f"volume{extension}", dtype, classes)
    key = ["--mask_key", "raw"] if extension in (".h5", ".zarr") else []
    table, printed = objects("--mask", f"volume_mask{extension}", *key)
    sizes, means = whole(volume, probability)
    assert np.sort(table["voxels"]).tolist() == sizes.tolist()
    assert set(table["class"]) == set(range(1, classes))
    np.testing.assert_allclose(np.sort(table["mean_probability"]), means, atol=1 / 255)
    assert f"Probability: volume_probability{extension}" in printed
    assert "--pixel_size_nm sets it" in printed


def test_sizes_that_a_file_states_are_those_of_the_table(objects):
    volume, _ = write_stack("volume.ome.zarr", geometry=VOLUME.with_sides(4.0, 40.0))
    table, printed = objects("--mask", "volume_mask.ome.zarr")
    np.testing.assert_allclose(table["volume_nm3"], table["voxels"] * 640)
    assert table["volume_nm3"].sum() == pytest.approx(640 * volume.sum())
    assert "nm3" in printed
    assert "sets it" not in printed
    overriding = ("--pixel_size_nm", 8, "--override_pixel_size", "true")
    other, _ = objects("--mask", "volume_mask.ome.zarr", *overriding, output="other.csv")
    np.testing.assert_allclose(other["centroid_x_nm"], 2 * table["centroid_x_nm"])
    np.testing.assert_allclose(other["centroid_z_nm"], table["centroid_z_nm"])


def test_pixels_that_are_not_square_have_their_own_area(objects):
    geometry = VOLUME.with_sides(4.0, 40.0)
    oblong = replace(geometry, axes={**geometry.axes, "Y": Axis("y", 8.0, unit="nanometer")})
    volume, _ = write_stack("volume.ome.zarr", geometry=oblong)
    table, _ = objects("--mask", "volume_mask.ome.zarr")
    np.testing.assert_allclose(table["volume_nm3"], table["voxels"] * 40 * 8 * 4)
    flat, _ = objects("--mask", "volume_mask.ome.zarr", "--dimensions", 2, output="flat.csv")
    np.testing.assert_allclose(flat["area_nm2"], flat["pixels"] * 32)
    centres = regionprops(label(volume[0], connectivity=1))
    expected = sorted(each.centroid[0] * 8 for each in centres)
    np.testing.assert_allclose(sorted(flat.loc[flat["section"] == 0, "centroid_y_nm"]), expected)


@pytest.mark.parametrize("name", ["volume.ome.zarr", "volume.tif", "volume.h5"])
def test_objects_do_not_go_through_times(objects, refused, name):
    geometry = named_axes("tyx").with_sides(4.0)
    volume, _ = write_stack(name, geometry=geometry)
    key = ["--mask_key", "raw"] if name == "volume.h5" else []
    table, _ = objects("--mask", name.replace(".", "_mask.", 1), *key, "--labels", "labels.ome.zarr")
    assert len(table) == sum(label(section, connectivity=1).max() for section in volume)
    assert {"section", "pixels", "area_nm2"} <= set(table)
    assert zarr.open_group("labels.ome.zarr").attrs["ome"]["multiscales"][0]["axes"][0]["type"] == "time"
    spacing = ["--dimensions", 3, "--spacing_nm", 40, "--output", "b.csv"]
    assert "do not lie along Z; leave out --spacing_nm" in refused(
        "objects", "--mask", name.replace(".", "_mask.", 1), *key, *spacing
    )


@pytest.mark.parametrize("extension", [".ome.zarr", ".tif", ".h5", ".zarr", ".npy"])
def test_labels_lie_where_their_mask_does(objects, extension, caplog):
    geometry = named_axes("xyz").with_sides(4.0, 40.0)
    moved = {**geometry.axes, "X": replace(geometry["X"], start=100.0)}
    volume, _ = write_stack("volume.ome.zarr", geometry=replace(geometry, axes=moved))
    objects("--mask", "volume_mask.ome.zarr", "--labels", f"labels{extension}")
    labels = open_masks(f"labels{extension}", key="labels" if extension == ".h5" else None)
    np.testing.assert_array_equal(np.stack(list(labels)) > 0, volume > 0)
    keeps_names, keeps_size = extension not in (".tif", ".npy"), extension not in (".zarr", ".npy")
    assert labels.geometry.letters == ("XYZ" if keeps_names else "ZYX")
    assert labels.geometry.voxel == pytest.approx((40, 4, 4) if keeps_size else (None, None, None))
    keeps_place = extension in (".ome.zarr", ".tif")
    assert labels.geometry["X"].in_nanometres().start == pytest.approx(100 if keeps_place else 0)
    assert ("the format cannot store" in caplog.text) == (not keeps_place)


def test_names_that_are_not_utf8_are_escaped_in_tables(objects):
    Path("predictions").mkdir()
    name = os.fsdecode(b"b\xe9ton_mask.png")
    try:
        imageio.v3.imwrite("predictions/a.png", segmentation()[0][0] * 255)
        os.rename("predictions/a.png", f"predictions/{name}")
    except OSError:
        pytest.skip("the file system has no such names")
    table, _ = objects("--mask", "predictions")
    assert set(table["image"]) == {"b\\xe9ton"}


def test_the_scale_of_images_of_a_folder_is_that_of_the_table(objects):
    Path("predictions").mkdir()
    volume, _ = segmentation()
    options = {"imagej": True, "resolution": (250, 250), "metadata": {"unit": "um"}}
    tifffile.imwrite("predictions/a_mask.tif", volume[0] * 255, **options)
    table, _ = objects("--mask", "predictions")
    np.testing.assert_allclose(table["area_nm2"], 16 * table["pixels"])


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_images_of_a_folder_are_measured_each_for_itself(objects, ending):
    volume, probability = write_folder(ending=ending)
    table, _ = objects("--mask", "predictions", "--pixel_size_nm", 2)
    assert table["image"].unique().tolist() == [8, 9, 10, 11]
    for index, section in enumerate(volume):
        rows = table[table["image"] == index + 8]
        sizes, means = whole(section, probability[index])
        assert np.sort(rows["pixels"]).tolist() == sizes.tolist()
        np.testing.assert_allclose(np.sort(rows["mean_probability"]), means, atol=1 / 255)
    np.testing.assert_allclose(table["area_nm2"], 4 * table["pixels"])


def test_images_of_a_folder_may_be_sections(objects):
    volume, probability = write_folder()
    table, _ = objects("--mask", "predictions", "--dimensions", 3)
    assert np.sort(table["voxels"]).tolist() == whole(volume, probability)[0].tolist()


def test_a_mask_alone_has_no_probability(objects):
    write_stack()
    Path("volume_probability.tif").rename("elsewhere.tif")
    table, printed = objects("--mask", "volume_mask.tif")
    assert table["mean_probability"].isna().all()
    assert "none beside the mask" in printed
    named, _ = objects("--mask", "volume_mask.tif", "--probability", "elsewhere.tif", output="named.csv")
    assert named["mean_probability"].between(0.5, 1).all()
    pd.testing.assert_frame_equal(named.drop(columns="mean_probability"), table.drop(columns="mean_probability"))


def test_a_probability_elsewhere_has_the_key_of_the_mask(objects):
    volume, probability = write_stack("volume.h5", np.float32)
    Path("volume_probability.h5").rename("elsewhere.h5")
    table, _ = objects("--mask", "volume_mask.h5", "--mask_key", "raw", "--probability", "elsewhere.h5")
    np.testing.assert_allclose(np.sort(table["mean_probability"]), whole(volume, probability)[1], atol=1e-6)


def test_mask_and_probability_may_be_in_one_file(objects):
    volume, probability = segmentation()
    with h5py.File("all.h5", "w") as store:
        store["mask"], store["probability"] = volume, probability
    table, _ = objects("--mask", "all.h5", "--mask_key", "mask", "--probability_key", "probability")
    np.testing.assert_allclose(np.sort(table["mean_probability"]), whole(volume, probability)[1])


def test_what_is_left_out_is_said(objects):
    volume, probability = write_stack()
    sizes, _ = whole(volume, probability)
    table, printed = objects("--mask", "volume_mask.tif", "--min_size", 3)
    assert np.sort(table["voxels"]).tolist() == sizes[sizes >= 3].tolist()
    assert f"Objects: {len(table)} of class 1; median size {np.median(sizes[sizes >= 3]):g} voxels" in printed
    assert f"Left out: {(sizes < 3).sum()} of less than 3 voxels" in printed


@pytest.mark.parametrize(("mask", "said"), [(0, "background everywhere"), (255, "none of at least 9999 voxels")])
def test_without_objects_the_table_has_no_rows(objects, mask, said):
    tifffile.imwrite("a_mask.tif", np.full((3, 9, 9), mask, np.uint8), photometric="minisblack")
    table, printed = objects("--mask", "a_mask.tif", "--min_size", 9999)
    assert len(table) == 0
    assert {"object", "class", "voxels", "centroid_x_px"} <= set(table)
    assert said in printed


@pytest.mark.parametrize(
    ("option", "given", "stated"), [("--pixel_size_nm", 8, 4), ("--spacing_nm", 4, 40), ("--pixel_size_nm", 3.9, 4)]
)
def test_sizes_that_contradict_the_file_are_refused(refused, option, given, stated):
    write_stack("volume.ome.zarr", geometry=VOLUME.with_sides(4.0, 40.0))
    words = f"volume_mask.ome.zarr: states {stated} nm, {option} is {given}; leave out {option}, or add --override"
    assert words in refused("objects", "--mask", "volume_mask.ome.zarr", option, given)


@pytest.mark.parametrize("extension", [".tif", ".h5", ".zarr", ".npy", ".ome.zarr"])
def test_labels_are_the_numbers_of_the_table(objects, extension):
    volume, _ = write_stack(classes=3)
    path = f"labels{extension}"
    asked = ("--mask", "volume_mask.tif", "--min_size", 2, "--labels", path, "--pixel_size_nm", 4)
    table, _ = objects(*asked)
    stack = open_masks(path, key="labels" if extension == ".h5" else None)
    labels = np.stack([stack[index] for index in range(len(stack))])
    assert np.bincount(labels.ravel())[1:].tolist() == table["voxels"].tolist()
    assert volume[labels > 0].tolist() == table["class"].to_numpy()[labels[labels > 0] - 1].tolist()
    if extension == ".ome.zarr":
        ome_zarr_models.open_ome_zarr(zarr.open_group(path, mode="r"), version="0.5")
        assert stack.opened.geometry.voxel.pixel_size_nm == 4
    objects(*asked, "--overwrite")


def test_a_prediction_becomes_a_table(best, objects):
    main(["predict", "--ckpt_path", str(best), *TARGET_ALONE, "--trainer.logger=false", "--output=predictions"])
    table, printed = objects("--mask", "predictions", "--min_size", 5)
    assert len(table)
    assert table["mean_probability"].between(0.5, 1).all()
    assert "Probability: predictions" in printed


@pytest.fixture
def inputs():
    """Files that fit, and such that do not."""
    volume, probability = write_stack()
    write_folder()
    imageio.v3.imwrite("predictions/8_probability.png", np.zeros((3, 3), np.uint8))
    Path("empty").mkdir()
    Path("images").mkdir()
    imageio.v3.imwrite("images/a.png", volume[0])
    Path("some").mkdir()
    for name in ("a_mask", "b_mask", "b_probability"):
        imageio.v3.imwrite(f"some/{name}.png", volume[0])
    np.save("short.npy", probability[:3])
    np.save("raw.npy", probability * 7)
    np.save("signed.npy", volume.astype(np.int16))
    np.save("numbered.npy", np.arange(volume.size, dtype=np.uint16).reshape(SHAPE))
    np.save("ignored.npy", np.where(probability < 0.1, 255, volume).astype(np.uint8))
    np.save("negative.npy", -volume.astype(np.int8))
    np.save("colours.npy", np.random.default_rng(0).integers(0, 255, (*SHAPE, 3), np.uint8))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", "this needs --mask"),
        ("--maks volume_mask.tif", "did you mean --mask"),
        ("--mask nosuch.tif", "nosuch.tif: no such file"),
        ("--mask volume_mask.tif --min_size -1", "--min_size is -1; give a number of pixels"),
        ("--mask volume_mask.tif --min_size a", "a is not a whole number"),
        ("--mask volume_mask.tif --dimensions 4", "'4' is not one of 2, 3"),
        ("--mask volume_mask.tif --connectivity 4", "in 3-D it ranges from 1 to 3"),
        ("--mask volume_mask.tif --connectivity 3 --dimensions 2", "in 2-D it ranges from 1 to 2"),
        ("--mask volume_mask.tif --connectivity 0", "--connectivity is 0"),
        ("--mask volume_mask.tif --pixel_size_nm 0", "--pixel_size_nm is 0; give a number from 1e-06"),
        ("--mask volume_mask.tif --spacing_nm -3", "--spacing_nm is -3; give a number from 1e-06"),
        ("--mask volume_mask.tif --spacing_nm 4 --dimensions 2", "leave out --spacing_nm"),
        ("--mask volume_probability.tif", "volume_probability.tif, section 0: holds values such as"),
        ("--mask raw.npy", "which is not a class"),
        ("--mask numbered.npy", "not the probability or numbered objects"),
        ("--mask ignored.npy", "values such as 255, which is not a class"),
        ("--mask negative.npy", "values such as -1, which is not a class"),
        ("--mask colours.npy", "is a mask in colours"),
        ("--mask volume_mask.tif --mask_key raw", "holds 1 series (0: (4, 20, 24)), none of them 'raw'"),
        ("--mask volume_mask.tif --probability short.npy", "short.npy: has the shape (3, 20, 24), volume_mask.tif"),
        ("--mask volume_mask.tif --probability raw.npy", "raw.npy, section 0: does not hold probabilities"),
        ("--mask volume_mask.tif --probability signed.npy", "signed.npy, section 0: does not hold probabilities"),
        ("--mask volume_mask.tif --probability predictions", "give two stacks, or two folders"),
        ("--mask predictions --probability volume_probability.tif", "give two stacks, or two folders"),
        ("--mask predictions", "predictions, 8: has the shape (3, 3), its mask (20, 24)"),
        ("--mask predictions --mask_key raw", "have no keys"),
        ("--mask empty", "holds no images"),
        ("--mask images", "holds no image with a name that ends in _mask"),
        ("--mask some", "some/a_mask.png: 1 of 2 masks have no probability"),
        ("--mask volume_mask.tif --output volume_mask.tif", "give an --output that ends in .csv"),
        ("--mask volume_mask.tif --output there.csv", "there.csv: exists already"),
        ("--mask volume_mask.tif --output volume_mask.tif/a.csv", "cannot be written"),
        ("--mask volume_mask.tif --labels a.png", "labels are written as"),
        ("--mask volume_mask.tif --labels volume_mask.tif --overwrite", "is read by this command"),
        ("--mask volume_mask.tif --labels volume_probability.tif --overwrite", "is read by this command"),
        ("--mask predictions --labels a.tif", "labels are written for stacks only"),
    ],
)
def test_what_cannot_be_used_is_refused(inputs, refused, arguments, words, tmp_path):
    (tmp_path / "there.csv").write_text("earlier")
    assert words in refused("objects", *arguments.split())
    assert not (tmp_path / "objects.csv").exists()
    assert (tmp_path / "there.csv").read_text() == "earlier"
    assert not list(tmp_path.glob(".partial*"))


def test_values_must_mean_the_same_in_all_sections(refused):
    mask = np.zeros((3, 8, 8), np.uint8)
    mask[0, 0, 0], mask[2, 0, 0] = 255, 2
    np.save("a_mask.npy", mask)
    assert "a_mask.npy, section 2: holds values such as 255" in refused("objects", "--mask", "a_mask.npy")


def twins(sides=(1, 1, 1), apart=18.0):
    """Two touching balls of radius 10 in a volume of such voxels, and a third one alone."""
    axes = [np.arange(0, extent, side) for extent, side in zip((28, 30, 90), sides, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    centres = (15, 15, 13), (15, 15, 13 + apart), (15, 15, 74)
    return np.any([np.hypot(np.hypot(z - c, y - b), x - a) < 10 for c, b, a in centres], axis=0).astype(np.uint8)


@pytest.mark.parametrize("sides", [(1, 1, 1), (4, 1, 1), (2, 0.5, 0.5)])
@pytest.mark.parametrize(("split", "count"), [((), 2), (("--split", 3), 3), (("--split", 12), 2)])
def test_objects_that_touch_are_split_in_physical_units(objects, sides, split, count):
    volume = twins(sides)
    np.save("a_mask.npy", volume)
    sizes = ("--pixel_size_nm", sides[1], "--spacing_nm", sides[0])
    table, _ = objects("--mask", "a_mask.npy", *sizes, *split, "--labels", "labels.npy")
    assert len(table) == count
    assert table["voxels"].sum() == volume.sum()
    if count == 3:
        np.testing.assert_allclose(table["centroid_x_nm"].sort_values(), [12.5, 31.5, 74], atol=1)
    labels = np.load("labels.npy")
    assert np.bincount(labels.ravel())[1:].tolist() == table["voxels"].tolist()


def test_each_section_is_split_for_itself(objects):
    volume = twins()[12:17]
    np.save("a_mask.npy", volume)
    table, _ = objects("--mask", "a_mask.npy", "--dimensions", 2, "--split", 3, "--labels", "labels.npy")
    assert table.groupby("section").size().tolist() == [3] * 5
    assert np.bincount(np.load("labels.npy").ravel())[1:].tolist() == table["pixels"].tolist()


def test_a_split_goes_by_all_sides_of_a_voxel(refused):
    np.save("a_mask.npy", twins())
    assert "give --spacing_nm" in refused("objects", "--mask", "a_mask.npy", "--split", 3, "--pixel_size_nm", 4)
    assert "--split is 0; give a number from 1e-06" in refused("objects", "--mask", "a_mask.npy", "--split", 0)


@pytest.mark.parametrize("mask", ["there/volume_mask.tif", "there"])
def test_the_table_lies_beside_the_mask(monkeypatch, capsys, mask):
    Path("there").mkdir()
    os.chdir("there")
    write_stack()
    os.chdir("..")
    monkeypatch.setattr(sys, "argv", ["bnadapt", "objects", "--mask", mask])
    run()
    assert Path("there/objects.csv").exists()
    assert "Table: there/objects.csv" in capsys.readouterr().out
