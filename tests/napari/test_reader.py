"""Files become layers with their pixel size, and layers files again; for both napari itself is not needed."""

from dataclasses import replace
from pathlib import Path

import imageio.v3
import numpy as np
import pytest

from bnadapt.data.geometry import Geometry, named_axes
from bnadapt.data.writers import StackFile
from bnadapt.errors import InputError
from bnadapt.napari.reader import FILE, layers_of, reader_of
from bnadapt.napari.writer import write_image, write_labels
from tests.volumes.conftest import stored

SECTIONS = np.random.default_rng(0).integers(2, size=(3, 40, 600), dtype=np.uint8)


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
    written = write_labels(str(tmp_path / "one.png"), np.eye(8, dtype=int), {})
    assert written == [str(tmp_path / "one.png")]
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


def predicted(folder, name, geometry, key=None):
    """A folder of `predict`."""
    writer = StackFile(folder, Path(name), key, geometry)
    writer.begin(len(SECTIONS))
    for index, section in enumerate(SECTIONS):
        writer.write(index, "", section * np.uint8(255), section)
    writer.close()
    return folder


@pytest.mark.parametrize("name", ["a.tif", "a.h5", "a.npy", "a.zarr", "a.ome.zarr"])
def test_predicted_masks_are_labels_on_top_of_probabilities(tmp_path, name):
    key = "raw" if name == "a.h5" else None
    folder = predicted(tmp_path / "out", name, Geometry("ZYX").with_sides(8.0, 20.0), key)
    assert reader_of(str(folder)) is layers_of
    layers = layers_of(folder)
    assert [kind for *_, kind in layers] == ["image", "labels"]
    for data, options, kind in layers:
        assert options["name"].startswith("a_mask" if kind == "labels" else "a_probability")
        knows_sides = name not in ("a.npy", "a.zarr")
        assert options.get("scale") == (pytest.approx([20, 8, 8]) if knows_sides else None)
        np.testing.assert_array_equal(data, SECTIONS * (255 if kind == "labels" else 1))


def test_layers_lie_where_their_file_says(tmp_path):
    geometry = named_axes("xyz").with_sides(8.0, 20.0)
    moved = replace(geometry, axes={**geometry.axes, "X": replace(geometry["X"], start=100.0)})
    (pixels, options, _), _ = layers_of(predicted(tmp_path / "out", "a.ome.zarr", moved))
    assert pixels.shape == (3, 40, 600)
    assert (options["scale"], options["translate"]) == ([20, 8, 8], [0, 0, 100])


def test_napari_makes_layers_of_them(tmp_path, monkeypatch):
    layers = pytest.importorskip("napari.layers", reason="napari is not installed; pip install 'bnadapt[napari]'")
    monkeypatch.setattr("bnadapt.napari.lazy.IN_MEMORY", 0)
    folder = predicted(tmp_path / "out", "a.ome.zarr", Geometry("ZYX").with_sides(8.0, 20.0))
    made = [layers.Layer.create(*each) for each in layers_of(folder)]
    assert [type(each).__name__ for each in made] == ["Image", "Labels"]
    assert all(each.multiscale for each in made)
    assert [str(each.units[0]) for each in made] == ["nanometer"] * 2
