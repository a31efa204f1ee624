"""Layers for a viewer: names, scale, kinds, and resolution levels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnadapt.data.geometry import Geometry, named_axes
from bnadapt.data.writers import VOLUME, StackFile
from bnadapt.errors import InputError
from bnadapt.volumes.layers import layers_of

SECTIONS = np.random.default_rng(0).integers(2, size=(3, 40, 600), dtype=np.uint8)


def predicted(tmp_path, name, geometry=VOLUME, key=None):
    writer = StackFile(tmp_path, Path(name), key, geometry)
    writer.begin(len(SECTIONS))
    for index, section in enumerate(SECTIONS):
        writer.write(index, "", section * np.uint8(255), section)
    writer.close()
    return tmp_path


@pytest.mark.parametrize("name", ["a.tif", "a.h5", "a.npy", "a.zarr", "a.ome.zarr"])
def test_masks_are_labels_on_top_of_probabilities(tmp_path, name):
    key = "raw" if name == "a.h5" else None
    layers = layers_of(predicted(tmp_path, name, Geometry("ZYX").with_sides(8.0, 20.0), key), key)
    assert [kind for *_, kind in layers] == ["image", "labels"]
    assert [options["name"] for _, options, _ in layers] == ["a_probability", "a_mask"]
    for data, options, kind in layers:
        knows_sides = name not in ("a.npy", "a.zarr")
        assert options["scale"] == pytest.approx((20, 8, 8) if knows_sides else (1, 1, 1))
        finest = data[0] if name == "a.ome.zarr" else data
        np.testing.assert_array_equal(np.asarray(finest), SECTIONS * (255 if kind == "labels" else 1))
    if name == "a.ome.zarr":
        assert [level.shape for level in layers[1][0]] == [(3, 40, 600), (3, 20, 300), (3, 10, 150)]


def test_layers_lie_where_their_file_says(tmp_path):
    geometry = named_axes("xyz").with_sides(8.0, 20.0)
    moved = replace(geometry, axes={**geometry.axes, "X": replace(geometry["X"], start=100.0)})
    (data, options, _), _ = layers_of(predicted(tmp_path, "a.ome.zarr", moved))
    assert data[0].shape == (600, 40, 3)
    assert (options["scale"], options["translate"]) == ((8, 8, 20), (100, 0, 0))


def test_napari_makes_layers_of_them(tmp_path):
    layers = pytest.importorskip("napari.layers", reason="napari is not installed")
    made = [layers.Layer.create(*each) for each in layers_of(predicted(tmp_path, "a.ome.zarr"))]
    assert [type(each).__name__ for each in made] == ["Image", "Labels"]
    assert all(each.multiscale for each in made)


def test_a_folder_without_predictions_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds nothing that predict has written"):
        layers_of(tmp_path)
