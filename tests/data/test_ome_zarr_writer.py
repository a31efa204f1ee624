"""OME-Zarr outputs: valid, with units and a pyramid of what the level before says."""

import numpy as np
import ome_zarr_models
import pytest
import zarr

from bnadapt.commands.cli import main
from bnadapt.data import Stack
from bnadapt.data.formats.base import NewVolume
from bnadapt.data.formats.pyramid import halved, majority, mean
from bnadapt.data.formats.zarr_store import OmeZarr
from bnadapt.data.geometry import Geometry
from tests.data.test_pixel_size import ome_zarr


def test_a_pyramid_is_valid_and_has_scales_and_units(tmp_path):
    volume = np.random.default_rng(0).integers(255, size=(3, 300, 601), dtype=np.uint8)
    writer = OmeZarr().create(
        NewVolume(
            tmp_path / "out.ome.zarr", volume.shape, volume.dtype, Geometry("ZYX").with_sides(8.0, 20.0), reduce=mean
        )
    )
    for index, section in enumerate(volume):
        writer.write(index, section)
    writer.close()
    group = zarr.open_group(tmp_path / "out.ome.zarr", mode="r")
    image = ome_zarr_models.open_ome_zarr(group, version="0.5")
    (multiscale,) = image.attributes.ome.multiscales
    assert [axis.unit for axis in multiscale.axes] == ["nanometer"] * 3
    scales = [dataset.coordinateTransformations[0].scale for dataset in multiscale.datasets]
    assert scales == [[20, 8, 8], [20, 16, 16], [20, 32, 32]]
    np.testing.assert_array_equal(group["0"][:], volume)
    assert group["1"].shape == (3, 150, 301)
    whole = volume[:, :300, :600].reshape(3, 150, 2, 300, 2).mean((2, 4))
    np.testing.assert_allclose(group["1"][:, :, :300], whole, atol=0.51)


def test_a_volume_without_sizes_has_no_units(tmp_path):
    OmeZarr().create(NewVolume(tmp_path / "out.ome.zarr", (1, 10, 10), np.dtype(np.uint8), Geometry("ZYX")))
    image = ome_zarr_models.open_ome_zarr(zarr.open_group(tmp_path / "out.ome.zarr", mode="r"), version="0.5")
    assert [axis.unit for axis in image.attributes.ome.multiscales[0].axes] == [None] * 3


@pytest.mark.parametrize(
    ("four", "found"),
    [([0, 0, 0, 255], 0), ([255, 0, 255, 255], 255), ([0, 255, 255, 0], 0), ([3, 1, 2, 1], 1), ([2, 7, 7, 5], 7),
     ([1, 2, 9, 9], 9), ([4, 4, 4, 4], 4)],
)  # fmt: skip
def test_classes_are_reduced_by_majority(four, found):
    section = np.array(four, np.uint8).reshape(2, 2)
    assert halved(section, majority).tolist() == [[found]]
    assert halved(section.T, majority).tolist() == [[found]]


def test_an_odd_last_row_counts_for_itself():
    section = np.array([[0, 0, 1], [0, 0, 1], [2, 2, 3]], np.uint8)
    assert halved(section, majority).tolist() == [[0, 1], [2, 3]]
    assert halved(section.astype(np.float32), mean).tolist() == [[0, 1], [2, 3]]


def test_predict_writes_ome_zarr_for_ome_zarr(best, tmp_path):
    path = ome_zarr([1, 1, 20, 8, 8])()
    options = ["--data.target=Stack", f"--data.target.images={path}", "--data.tile_size=32", "--output=predicted"]
    main(["predict", "--ckpt_path", str(best), *options])
    for kind in ("mask", "probability"):
        written = tmp_path / "predicted" / f"volume_{kind}.ome.zarr"
        ome_zarr_models.open_ome_zarr(zarr.open_group(written, mode="r"), version="0.5")
        stack = Stack(str(written))
        assert stack.pixel_size_nm == 8
        assert len(stack.unlabelled()) == 3
        assert stack.unlabelled()[0].read_image().shape == (40, 40)
