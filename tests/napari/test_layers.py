"""Results lie in the layers where they belong."""

import numpy as np
import pytest

pytest.importorskip("napari", reason="napari is not installed; pip install 'bnadapt[napari]'")

from napari.components import ViewerModel
from napari.layers import Labels

from bnadapt.napari.overlays import (
    CANDIDATE,
    CORRECTIONS,
    DISAGREEMENT,
    of_kind,
    painted,
    set_visible,
    show_look,
    show_tiles,
)
from bnadapt.napari.results import Look, ProposedTile, Region
from bnadapt.napari.view import View

LOOK_AT = Region(2, (10, 30), (5, 40))


def look(names=("none", "adapted")):
    classes = {name: np.full(LOOK_AT.size, number, np.uint8) for number, name in enumerate(names)}
    return Look(LOOK_AT, classes, {name: name.title() for name in names}, np.zeros(LOOK_AT.size, np.float32), {}, 4)


def test_candidates_lie_where_the_region_does(viewer):
    image = viewer.layers["volume"]
    viewer.dims.set_point(0, 40)
    assert View(viewer, image).section == 2
    show_look(View(viewer, image), look(), ["none"])
    layers = of_kind(viewer, CANDIDATE)
    assert [layers[name].visible for name in ("none", "adapted")] == [True, False]
    np.testing.assert_allclose(layers["none"].translate, [40, 80, 40])
    assert layers["adapted"].contour > 0
    assert viewer.layers.selection.active is image
    set_visible(viewer, CANDIDATE, True)
    show_look(View(viewer, image), look(("none",)), [])
    assert of_kind(viewer, CANDIDATE)["none"].visible  # as the user has left it
    assert list(of_kind(viewer, CANDIDATE)) == ["none"]
    assert len(of_kind(viewer, DISAGREEMENT)) == 1


@pytest.mark.parametrize(("plane", "shape", "place"), [("xz", (4, 1, 6), (1, 2, 3)), ("yz", (4, 6, 1), (1, 3, 2))])
def test_so_they_do_in_other_planes(plane, shape, place):
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((10, 10, 10)))
    found = Look(Region(2, (1, 5), (3, 9)), {"none": np.ones((4, 6), np.uint8)}, {"none": ""}, np.zeros((4, 6)), {}, 1)
    show_look(View(viewer, image, plane), found, [])
    made = of_kind(viewer, CANDIDATE)["none"]
    assert made.data.shape == shape
    np.testing.assert_allclose(made.translate, place)


def test_a_rectangle_and_the_view_are_regions(viewer):
    image = viewer.layers["volume"]
    like = {"scale": image.scale, "translate": image.translate, "units": image.units}
    shapes = viewer.add_shapes(ndim=3, **like)
    assert View(viewer, image).drawn(shapes) is None
    shapes.add_rectangles(np.array([[3, 10, 5], [3, 10, 39.5], [3, 29.5, 39.5], [3, 29.5, 5]]))
    assert View(viewer, image).drawn(shapes) == Region(3, (10, 30), (5, 40))
    assert View(viewer, image).region.size == (48, 48)
    assert Region(0, (-5, 100), (0, 48)).within((48, 48), 20) == Region(0, (14, 34), (14, 34))


def test_tiles_count_that_are_painted_on_or_ticked(viewer):
    image = viewer.layers["volume"]
    tiles = [
        ProposedTile(f"{number}.png", Region(number, (0, 16), (8, 24)), np.ones((16, 16), np.uint8))
        for number in range(3)
    ]
    labels = show_tiles(View(viewer, image), tiles)
    assert isinstance(labels, Labels)
    assert labels.data.sum() == 3 * 16 * 16
    labels.data[1, 3, 9] = 0
    masks = painted(View(viewer, image), tiles, ["2.png"])
    assert masks["0.png"] is None
    assert masks["1.png"][3, 1] == 0
    assert masks["2.png"].all()
    View(viewer, image).go_to(tiles[1].region)
    assert View(viewer, image).section == 1
    show_tiles(View(viewer, image), tiles[:1])
    assert len(of_kind(viewer, CORRECTIONS)) == 1


def test_a_single_image_has_no_sections(tmp_path):
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((30, 40)), name="one")
    found = Look(Region(0, (1, 5), (3, 9)), {"none": np.ones((4, 6), np.uint8)}, {"none": ""}, np.zeros((4, 6)), {}, 1)
    show_look(View(viewer, image), found, [])
    assert of_kind(viewer, CANDIDATE)["none"].data.shape == (4, 6)
    assert View(viewer, image).section == 0
