"""Files become layers with their pixel size, and layers files again."""

import imageio.v3
import numpy as np
import pytest

pytest.importorskip("napari", reason="napari is not installed; pip install 'bnadapt[napari]'")

from napari.components import ViewerModel
from napari.layers import Labels

from bnadapt.errors import InputError
from bnadapt.napari.inputs import Look, ProposedTile, Region
from bnadapt.napari.overlays import (
    CANDIDATE,
    CORRECTIONS,
    DISAGREEMENT,
    drawn_region,
    go_to,
    of_kind,
    painted,
    section_shown,
    set_visible,
    show_look,
    show_tiles,
    view_region,
)
from bnadapt.napari.reader import FILE, layers_of, reader_of
from bnadapt.napari.writer import write_image, write_labels
from tests.volumes.conftest import stored

LOOK_AT = Region(2, (10, 30), (5, 40))


def layer_of(path):
    ((pixels, options, kind),) = layers_of(path)
    return pixels, options, kind


def test_a_volume_has_its_pixel_size_and_unit(volume):
    pixels, options, kind = layer_of(volume)
    assert (kind, pixels.shape, options["name"]) == ("image", (6, 48, 48), "volume")
    assert options["scale"] == pytest.approx([20, 8, 8])
    assert options["units"] == ["nanometer"] * 3
    assert options["metadata"][FILE] == str(volume)


@pytest.mark.parametrize("name", ["a.ome.zarr", "a.tif", "a.h5"])
def test_what_is_saved_is_read_again(name, tmp_path):
    labels = np.random.default_rng(0).integers(0, 300, (3, 20, 30))
    attributes = {"scale": [20.0, 8.0, 8.0], "translate": [0.0, 16.0, 24.0], "units": ["nanometer"] * 3}
    path = tmp_path / f"cells_labels{name[1:]}"
    assert write_labels(str(path), labels, attributes) == [str(path)]
    pixels, options, kind = layer_of(path)
    np.testing.assert_array_equal(pixels, labels)
    assert (kind, pixels.dtype) == ("labels", np.uint16)
    assert options["scale"] == pytest.approx([20, 8, 8])
    write_image(str(tmp_path / name), labels.astype(np.float64) / 7, attributes)
    image, _, kind = layer_of(tmp_path / name)
    assert (kind, image.dtype) == ("image", np.float32)
    np.testing.assert_allclose(image, labels / 7, rtol=1e-6)


def test_a_section_is_saved_as_an_image(tmp_path):
    write_labels(str(tmp_path / "one.png"), np.eye(8, dtype=int), {})
    assert imageio.v3.imread(tmp_path / "one.png").sum() == 8
    with pytest.raises(InputError, match="has 4 axes"):
        write_labels(str(tmp_path / "many.tif"), np.zeros((1, 2, 3, 4), int), {})
    with pytest.raises(InputError, match="in colours"):
        write_image(str(tmp_path / "rgb.tif"), np.zeros((2, 3, 3)), {"rgb": True})


def test_masks_become_labels_and_folders_stacks(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for number in range(3):
            imageio.v3.imwrite(tmp_path / kind / f"{number}.png", np.full((8, 9), number, np.uint8))
    assert [layer_of(tmp_path / kind)[2] for kind in ("images", "masks")] == ["image", "labels"]
    assert layer_of(tmp_path / "images")[0].shape == (3, 8, 9)
    (tmp_path / "empty").mkdir()
    assert reader_of(str(tmp_path / "empty")) is None
    assert reader_of(str(tmp_path / "images")) is layers_of
    imageio.v3.imwrite(tmp_path / "images" / "4.png", np.zeros((9, 9), np.uint8))
    with pytest.raises(InputError, match="differ in shape"):
        layers_of(tmp_path / "images")


def test_large_volumes_are_read_on_demand(tmp_path, monkeypatch):
    monkeypatch.setattr("bnadapt.napari.lazy.IN_MEMORY", 0)
    pixels = np.random.default_rng(0).integers(0, 255, (3, 40, 50), np.uint8)
    lazy, _, _ = layer_of(stored(tmp_path / "a.ome.zarr", pixels))
    np.testing.assert_array_equal(np.asarray(lazy[1:, 3:9]), pixels[1:, 3:9])
    write_image(str(tmp_path / "b.ome.zarr"), np.zeros((2, 600, 500), np.uint8), {})
    levels, _, _ = layer_of(tmp_path / "b.ome.zarr")
    assert [each.shape for each in levels] == [(2, 600, 500), (2, 300, 250), (2, 150, 125)][: len(levels)]


def look(names=("none", "adapted")):
    classes = {name: np.full(LOOK_AT.size, number, np.uint8) for number, name in enumerate(names)}
    return Look(LOOK_AT, classes, {name: name.title() for name in names}, np.zeros(LOOK_AT.size, np.float32), {}, 4)


def test_candidates_lie_where_the_region_does(viewer):
    image = viewer.layers["volume"]
    viewer.dims.set_point(0, 40)
    assert section_shown(viewer, image, "xy") == 2
    show_look(viewer, image, look(), "xy", ["none"])
    layers = of_kind(viewer, CANDIDATE)
    assert [layers[name].visible for name in ("none", "adapted")] == [True, False]
    np.testing.assert_allclose(layers["none"].translate, [40, 80, 40])
    assert layers["adapted"].contour > 0
    assert viewer.layers.selection.active is image
    set_visible(viewer, CANDIDATE, True)
    show_look(viewer, image, look(("none",)), "xy", [])
    assert of_kind(viewer, CANDIDATE)["none"].visible  # as the user has left it
    assert list(of_kind(viewer, CANDIDATE)) == ["none"]
    assert len(of_kind(viewer, DISAGREEMENT)) == 1


@pytest.mark.parametrize(("plane", "shape", "place"), [("xz", (4, 1, 6), (1, 2, 3)), ("yz", (4, 6, 1), (1, 3, 2))])
def test_so_they_do_in_other_planes(plane, shape, place):
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((10, 10, 10)))
    found = Look(Region(2, (1, 5), (3, 9)), {"none": np.ones((4, 6), np.uint8)}, {"none": ""}, np.zeros((4, 6)), {}, 1)
    show_look(viewer, image, found, plane, [])
    made = of_kind(viewer, CANDIDATE)["none"]
    assert made.data.shape == shape
    np.testing.assert_allclose(made.translate, place)


def test_a_rectangle_and_the_view_are_regions(viewer):
    image = viewer.layers["volume"]
    like = {"scale": image.scale, "translate": image.translate, "units": image.units}
    shapes = viewer.add_shapes(ndim=3, **like)
    assert drawn_region(viewer, image, shapes, "xy") is None
    shapes.add_rectangles(np.array([[3, 10, 5], [3, 10, 39.5], [3, 29.5, 39.5], [3, 29.5, 5]]))
    assert drawn_region(viewer, image, shapes, "xy") == Region(3, (10, 30), (5, 40))
    assert view_region(viewer, image, "xy").size == (48, 48)
    assert Region(0, (-5, 100), (0, 48)).within((48, 48), 20) == Region(0, (14, 34), (14, 34))


def test_tiles_count_that_are_painted_on_or_ticked(viewer):
    image = viewer.layers["volume"]
    tiles = [
        ProposedTile(f"{number}.png", Region(number, (0, 16), (8, 24)), np.ones((16, 16), np.uint8))
        for number in range(3)
    ]
    labels = show_tiles(viewer, image, tiles, "xy")
    assert isinstance(labels, Labels)
    assert labels.data.sum() == 3 * 16 * 16
    labels.data[1, 3, 9] = 0
    masks = painted(viewer, image, tiles, "xy", ["2.png"])
    assert masks["0.png"] is None
    assert masks["1.png"][3, 1] == 0
    assert masks["2.png"].all()
    go_to(viewer, image, tiles[1].region, "xy")
    assert section_shown(viewer, image, "xy") == 1
    show_tiles(viewer, image, tiles[:1], "xy")
    assert len(of_kind(viewer, CORRECTIONS)) == 1


def test_a_single_image_has_no_sections(tmp_path):
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((30, 40)), name="one")
    show_look(
        viewer,
        image,
        Look(Region(0, (1, 5), (3, 9)), {"none": np.ones((4, 6), np.uint8)}, {"none": ""}, np.zeros((4, 6)), {}, 1),
        "xy",
        [],
    )
    assert of_kind(viewer, CANDIDATE)["none"].data.shape == (4, 6)
    assert section_shown(viewer, image, "xy") == 0
