"""What is written states the sides of a voxel as the input does, where its format has a place for them."""

from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile

from bnadapt.commands.cli import main
from bnadapt.data import Stack
from bnadapt.data.geometry import Geometry
from bnadapt.data.writers import StackFile
from tests.data.test_pixel_size import VOLUME, ome_zarr


def ome_tiff(unit="nm", spacing=20.0):
    sizes = {"PhysicalSizeX": 8.0, "PhysicalSizeY": 8.0, "PhysicalSizeZ": spacing}
    units = {f"{name}Unit": unit for name in sizes}
    tifffile.imwrite("volume.ome.tif", VOLUME, metadata={"axes": "ZYX", **sizes, **units})
    return "volume.ome.tif"


def imagej(axes="ZYX"):
    metadata = {"unit": "um", "spacing": 0.02, "axes": axes}
    tifffile.imwrite("volume.tif", VOLUME, imagej=True, resolution=(125.0, 125.0), metadata=metadata)
    return "volume.tif"


def mrc():
    with mrcfile.new("volume.mrc") as file:
        file.set_data(VOLUME.astype(np.int16))
        file.voxel_size = (80.0, 80.0, 200.0)
    return "volume.mrc"


def hdf5():
    with h5py.File("volume.h5", "w") as store:
        store["raw"] = VOLUME
        store["raw"].attrs["element_size_um"] = [0.02, 0.008, 0.008]
    return "volume.h5"


def reopened(path):
    return Stack(str(path), images_key="raw" if Path(path).suffix == ".h5" else None)


def written(stack):
    """The paths of what its writer makes of its own sections."""
    Path("out").mkdir()
    writer = stack.writer(Path("out"))
    writer.begin(len(VOLUME))
    for index, section in enumerate(VOLUME):
        writer.write(index, "", section, section)
    writer.close()
    return writer.paths([])


@pytest.mark.parametrize("write", [ome_tiff, imagej, mrc, hdf5, ome_zarr([1, 1, 20, 8, 8])])
def test_sides_of_a_voxel_come_through(write):
    stack = reopened(write())
    assert (stack.pixel_size_nm, stack._images.spacing_nm) == pytest.approx((8, 20))
    for path in written(stack):
        again = reopened(path)
        assert (again.pixel_size_nm, again._images.spacing_nm) == pytest.approx((8, 20))
        found = np.array([section.read_image() for section in again.unlabelled()])
        is_16_bit = found.dtype == np.uint16 and path.stem.endswith("probability")  # as of MRC
        np.testing.assert_array_equal(found, VOLUME * np.uint16(257) if is_16_bit else VOLUME)


@pytest.mark.parametrize(("name", "key"), [("s.tif", None), ("s.h5", "raw"), ("s.mrc", None), ("s.npy", None)])
@pytest.mark.parametrize("sides", [(None, None), (3.7, None), (None, 20.0)])
def test_only_what_is_known_is_stated(tmp_path, name, key, sides):
    writer = StackFile(tmp_path, Path(name), key, Geometry("ZYX").with_sides(*sides))
    writer.begin(len(VOLUME))
    for index, section in enumerate(VOLUME):
        writer.write(index, "", section, section)
    writer.close()
    for path in writer.paths([]):
        again = Stack(str(path), images_key=key)
        known = sides[0] if name != "s.npy" else None
        assert again.pixel_size_nm == (known if known is None else pytest.approx(known))
        assert again._images.spacing_nm is None


def test_tiff_is_written_as_imagej_reads_it():
    path, _ = written(Stack(ome_tiff()))
    with tifffile.TiffFile(path) as file:
        assert file.is_imagej
        assert file.imagej_metadata["unit"] == "nm"
        assert file.imagej_metadata["spacing"] == 20
        assert file.imagej_metadata["slices"] == len(VOLUME)
        assert file.series[0].axes == "ZYX"
        assert file.pages[2].tags["XResolution"].value == (1, 8)


def test_a_stack_of_unknown_size_is_read_again_without_guessing_its_axes(caplog):
    tifffile.imwrite("volume.tif", VOLUME, imagej=True, metadata={"axes": "ZYX"})
    path, _ = written(Stack("volume.tif"))
    again = Stack(str(path))
    assert again.all_sections()[0].pixel_size_nm is None
    assert "does not name all of its axes" not in caplog.text


def test_mrc_is_written_in_angstrom():
    path, _ = written(Stack(mrc()))
    with mrcfile.open(path) as file:
        assert tuple(file.voxel_size.item()) == pytest.approx((80, 80, 200))


def test_imagej_states_reversed_sections_below_zero():
    metadata = {"unit": "nm", "spacing": -20.0, "axes": "ZYX"}
    tifffile.imwrite("a.tif", VOLUME, imagej=True, resolution=(1 / 8, 1 / 8), metadata=metadata)
    assert Stack("a.tif")._images.spacing_nm == 20


def test_imagej_states_units_that_differ():
    """Each axis has its own unit if that differs from the unit of X, in the file and in what is written."""
    metadata = {"unit": "um", "yunit": "nm", "zunit": "mm", "spacing": 2e-5, "axes": "ZYX"}
    tifffile.imwrite("a.tif", VOLUME, imagej=True, resolution=(125, 0.125), metadata=metadata)
    stack = Stack("a.tif")
    for each in (stack, Stack(str(written(stack)[0]))):
        assert each._images.geometry.voxel == pytest.approx((20, 8, 8))


def test_times_have_no_distance_in_space():
    stack = Stack(imagej("TYX"))
    assert stack.pixel_size_nm == pytest.approx(8)
    assert stack._images.spacing_nm is None


def test_units_that_are_unknown_tell_nothing():
    assert Stack(ome_tiff("pixel"))._images.spacing_nm is None
    assert Stack(ome_tiff("µm", 0.02))._images.spacing_nm == pytest.approx(20)


def test_predict_states_what_the_user_has_said(best, tmp_path):
    tifffile.imwrite("volume.tif", VOLUME, photometric="minisblack")
    options = ["--data.target.pixel_size_nm=5", "--data.tile_size=32", "--output=predicted"]
    images = ["--data.target=Stack", "--data.target.images=volume.tif"]
    main(["predict", "--ckpt_path", str(best), *images, *options])
    for kind in ("mask", "probability"):
        assert Stack(str(tmp_path / "predicted" / f"volume_{kind}.tif")).pixel_size_nm == 5
