"""Volumes seen, segmented and averaged in other planes than that of their sections."""

import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import h5py
import imageio.v3
import numpy as np
import ome_zarr_models
import pytest
import tifffile
import zarr

from bnadapt.__main__ import run
from bnadapt.commands.cli import main
from bnadapt.data import Stack
from bnadapt.data.geometry import Geometry
from bnadapt.data.readers import open_masks, open_stack
from bnadapt.data.readers.sections import Sections
from bnadapt.data.writers import ImageFiles, StackFile, stored_probability
from bnadapt.errors import InputError
from tests.volumes.conftest import stored

QUIET = ["--trainer.logger=false", "--trainer.enable_progress_bar=false"]
SHAPE = 9, 33, 26
TURNED = {"xy": (0, 1, 2), "xz": (1, 0, 2), "yz": (2, 0, 1)}
BACK = {"xy": (0, 1, 2), "xz": (1, 0, 2), "yz": (1, 2, 0)}
FORMATS = [".zarr", ".ome.zarr", ".tif", ".h5", ".npy", ".mrc"]


@pytest.fixture
def pixels():
    generator = np.random.default_rng(0)
    steps = 80 * generator.integers(3, size=(4, 5, 7)).repeat(10, 0).repeat(10, 1).repeat(10, 2)
    steps = steps[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return (steps + generator.integers(60, size=steps.shape)).astype(np.uint8)


def isotropic(path, pixels):
    return stored(path, pixels, (16, 16, 16), (8.0, 8.0, 8.0))


def command(best, volume, output, *options):
    target = ["--data.target=Stack", f"--data.target.images={volume}"]
    key = ["--data.target.images_key=raw"] if volume.suffix == ".h5" else []
    return ["predict", "--ckpt_path", str(best), *target, *key, *QUIET, "--output", str(output), *options]


def written(folder, kind="probability"):
    path = next(Path(folder).glob(f"volume_{kind}.*"))
    sections = open_masks(path, key="raw" if path.suffix == ".h5" else None)
    return np.stack([sections[index] for index in range(len(sections))])


@pytest.fixture
def average(monkeypatch, capsys):
    def average(*masks, options=()):
        given = ["--masks", f"[{', '.join(map(str, masks))}]", *options]
        monkeypatch.setattr(sys, "argv", ["bnadapt", "average", *given])
        run()
        return capsys.readouterr().out

    return average


@pytest.mark.parametrize("plane", ["xz", "yz"])
def test_a_plane_is_segmented_as_the_turned_volume_is(best, pixels, tmp_path, plane):
    """In the other formats too, by tests/data/test_writers.py."""
    (tmp_path / "turned").mkdir()
    turned = isotropic(tmp_path / "turned" / "volume.tif", pixels.transpose(TURNED[plane]).copy())
    volume = isotropic(tmp_path / "volume.tif", pixels)
    main(command(best, turned, "of-turned"))
    main(command(best, volume, "out", f"--data.target.plane={plane}"))
    for kind in ("mask", "probability"):
        found = written("out", kind)
        assert found.shape == SHAPE
        assert np.ptp(found) > 0
        np.testing.assert_array_equal(found, written("of-turned", kind).transpose(BACK[plane]))


def test_ome_zarr_of_a_plane_is_that_of_the_volume(best, pixels, tmp_path):
    volume = isotropic(tmp_path / "volume.ome.zarr", pixels)
    main(command(best, volume, "out", "--data.target.plane=yz"))
    main(command(best, volume, "as-taken"))
    found, other = (zarr.open_group(f"{folder}/volume_mask.ome.zarr", mode="r") for folder in ("out", "as-taken"))
    ome_zarr_models.open_ome_zarr(found)
    assert found.attrs["ome"] == other.attrs["ome"]
    assert found["0"].chunks == other["0"].chunks


def test_a_plane_that_is_cut_off_goes_on(best, pixels, tmp_path, monkeypatch):
    arguments = command(best, isotropic(tmp_path / "volume.ome.zarr", pixels), "out", "--data.target.plane=xz")
    main([*arguments, "--output=whole"])
    write, seen = StackFile.write, []

    def failing(self, index, *rest):
        if len(seen) == 5:
            raise KeyError
        seen.append(index)
        write(self, index, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(StackFile, "write", failing)
        with pytest.raises(KeyError):
            main(arguments)
    monkeypatch.setattr(StackFile, "write", lambda self, index, *rest: (seen.append(index), write(self, index, *rest)))
    main(arguments)
    assert seen == list(range(SHAPE[1]))
    np.testing.assert_array_equal(written("out"), written("whole"))
    np.testing.assert_array_equal(written("out", "mask"), written("whole", "mask"))


def test_another_plane_does_not_go_on_with_it(best, pixels, tmp_path, refused):
    volume = isotropic(tmp_path / "volume.zarr", pixels)
    main(command(best, volume, "out", "--sections=[0, 1]"))
    assert "out: holds an unfinished run of predict" in refused("average", "--masks=[out, out]")
    assert "differs in pieces and images" in refused(*command(best, volume, "out", "--data.target.plane=xz"))


def test_masks_are_seen_in_the_plane_of_their_images(tmp_path, pixels):
    volume, labels = isotropic(tmp_path / "volume.zarr", pixels), pixels > 100
    np.save(tmp_path / "labels.npy", labels)
    sections = Stack(str(volume), str(tmp_path / "labels.npy"), plane="yz").labelled()
    assert [section.name for section in sections[:2]] == ["volume.zarr[:, :, 0]", "volume.zarr[:, :, 1]"]
    assert len(sections) == SHAPE[2]
    np.testing.assert_array_equal(sections[7].read_image(), pixels[:, :, 7])
    np.testing.assert_array_equal(sections[7].read_mask(), labels[:, :, 7])


def test_channels_stay_channels(tmp_path):
    colours = np.random.default_rng(0).integers(256, size=(6, 8, 10, 3), dtype=np.uint8)
    np.save(tmp_path / "volume.npy", colours)
    sections = Stack(str(tmp_path / "volume.npy"), plane="xz").unlabelled()
    np.testing.assert_array_equal(sections[5].read_image(), colours[:, 5])


def test_chunks_are_decoded_once_however_a_volume_is_seen(tmp_path, pixels, monkeypatch):
    volume, read = isotropic(tmp_path / "volume.zarr", pixels), []
    of_sections = Sections._read
    monkeypatch.setattr(Sections, "_read", lambda *where: (read.append(where[1:]), of_sections(*where))[1])
    for section in Stack(str(volume), plane="yz").unlabelled():
        section.read_image()
    assert read == [(0, 16), (16, 26)]


def test_a_layer_of_chunks_is_let_go_before_the_next_one_is_read(tmp_path):
    shape, layer = (64, 256, 256), 32 * 256 * 256
    with h5py.File(tmp_path / "volume.h5", "w") as file:
        file.create_dataset("raw", data=np.ones(shape, np.uint8), chunks=(32, 256, 256))
    sections = open_stack(tmp_path / "volume.h5", "raw")
    tracemalloc.start()
    for index in (0, 32):
        sections[index]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert layer < most < 1.5 * layer


def test_voxels_of_unequal_sides_and_single_sections_are_refused(tmp_path, pixels, caplog):
    volume = stored(tmp_path / "volume.ome.zarr", pixels, sides_nm=(40.0, 8.0, 8.0))
    with pytest.raises(InputError, match="40 nm apart and its pixels are 8 nm wide"):
        Stack(str(volume), plane="xz")
    assert len(Stack(str(volume)).unlabelled()) == SHAPE[0]
    stored(tmp_path / "oblong.ome.zarr", pixels, sides_nm=(8.0, 8.0, 40.0))
    with pytest.raises(InputError, match="its pixels are not square"):
        Stack(str(tmp_path / "oblong.ome.zarr"), plane="xz", pixel_size_nm=8)
    isotropic(tmp_path / "equal.ome.zarr", pixels)
    overriding = {"pixel_size_nm": 4, "override_pixel_size": True}
    assert Stack(str(tmp_path / "equal.ome.zarr"), plane="xz", **overriding).pixel_size_nm == 4
    stored(tmp_path / "nearly.ome.zarr", pixels, sides_nm=(9.0, 8.0, 8.0))
    assert len(Stack(str(tmp_path / "nearly.ome.zarr"), plane="xz").unlabelled()) == SHAPE[1]
    assert "equal sides" not in caplog.text
    assert len(Stack(str(isotropic(tmp_path / "volume.npy", pixels)), plane="xz").unlabelled()) == SHAPE[1]
    assert "assumed to have equal sides" in caplog.text
    with pytest.raises(InputError, match="plane is zx; give one of xy, xz, yz"):
        Stack(str(volume), plane="zx")
    tifffile.imwrite(tmp_path / "times.ome.tif", pixels, metadata={"axes": "TYX"})
    with pytest.raises(InputError, match="has times, and so no sections in the plane xz"):
        Stack(str(tmp_path / "times.ome.tif"), plane="xz")


def segmentation(seed):
    probability = np.random.default_rng(seed).uniform(size=SHAPE)
    return probability > 0.5, probability


def write(name, seed, dtype=np.uint8):
    """What predict writes for a volume of that name."""
    folder = Path(f"seed-{seed}")
    folder.mkdir()
    path = Path(name)
    key = "raw" if path.suffix == ".h5" else None
    writer = StackFile(folder, path, key, Geometry("ZYX").with_sides(8.0, 9.0))
    writer.begin(SHAPE[0])
    for index, (mask, part) in enumerate(zip(*segmentation(seed), strict=True)):
        writer.write(index, "", mask * np.uint8(255), stored_probability(part, np.dtype(dtype)))
    writer.close()
    return writer.paths([])[0]


@pytest.mark.parametrize("extension", FORMATS)
def test_the_average_of_stacks(average, extension):
    masks = [write(f"volume{extension}", seed) for seed in range(3)]
    key = ["--masks_key", "raw"] if extension == ".h5" else []
    said = average(*masks, options=["--output", "mean", *key])
    mean = np.mean([segmentation(seed)[1] for seed in range(3)], axis=0)
    one = 65535 if extension == ".mrc" else 255
    assert np.abs(written("mean") / one - mean).max() < 1 / 255
    clear = np.abs(mean - 0.5) > 1 / 255
    np.testing.assert_array_equal((written("mean", "mask") > 0)[clear], (mean > 0.5)[clear])
    assert set(np.unique(written("mean", "mask"))) == {0, 255}
    assert f"Average of 3: mean/volume_mask{extension}" in said
    paths = masks[0], Path(f"mean/volume_mask{extension}")
    voxels = [open_masks(path, key=key[1] if key else None).opened.geometry.voxel for path in paths]
    assert voxels[0] == voxels[1]
    assert [path.name for path in Path("mean").glob(".*")] == []


def test_the_average_of_folders_of_images(average):
    expected = {}
    for seed in range(2):
        folder = Path(f"seed-{seed}")
        folder.mkdir()
        for name, side in (("a.png", 9), ("b.png", 11)):
            probability = np.random.default_rng([seed, side]).uniform(size=(side, 8))
            expected.setdefault(name, []).append(probability)
            mask = (probability > 0.5) * np.uint8(255)
            ImageFiles(folder).write(0, name, mask, stored_probability(probability, np.dtype(np.uint16)))
    average("seed-0", "seed-1", options=["--output", "mean"])
    for name, probabilities in expected.items():
        found = imageio.v3.imread(f"mean/{name[0]}_probability.png")
        assert found.dtype == np.uint16
        np.testing.assert_allclose(found / 65535, np.mean(probabilities, 0), atol=2e-5)


def test_three_planes_of_a_volume(best, pixels, tmp_path, average):
    volume = isotropic(tmp_path / "volume.ome.zarr", pixels)
    for plane in TURNED:
        main(command(best, volume, plane, f"--data.target.plane={plane}", "--probabilities=float32"))
    average(*TURNED, options=["--output", "mean"])
    expected = np.mean([written(plane) for plane in TURNED], axis=0)
    np.testing.assert_allclose(written("mean"), expected, atol=1e-6)
    np.testing.assert_array_equal(written("mean", "mask") > 0, expected > 0.5)
    group = zarr.open_group("mean/volume_mask.ome.zarr", mode="r")
    ome_zarr_models.open_ome_zarr(group)
    assert "xz/volume_mask.ome.zarr" in group.attrs["bnadapt"]["average of"]


@pytest.fixture
def sentence(average, capsys):
    def sentence(*masks, options=()):
        with pytest.raises(SystemExit):
            average(*masks, options=options)
        said = capsys.readouterr().err
        assert "Traceback" not in said
        return said

    return sentence


@pytest.mark.parametrize("other", [(8.0, 9.0, 100.0), (4.0, 9.0, 0.0), (8.0, 20.0, 0.0)], ids=["place", "size", "z"])
def test_segmentations_of_other_places_are_not_averaged(sentence, other):
    for folder, (pixel, spacing, start) in (("a", (8.0, 9.0, 0.0)), ("b", other)):
        Path(folder).mkdir()
        geometry = Geometry("ZYX").with_sides(pixel, spacing)
        axes = {**geometry.axes, "Y": replace(geometry["Y"], start=start)}
        writer = StackFile(Path(folder), Path("v.ome.zarr"), None, replace(geometry, axes=axes))
        writer.begin(1)
        writer.write(0, "", np.zeros((8, 9), np.uint8), np.zeros((8, 9), np.uint8))
        writer.close()
    said = sentence("a", "b", options=["--output", "mean"])
    assert "b/v_mask.ome.zarr: differs in position or pixel size from a/v_mask.ome.zarr" in said


def test_what_cannot_be_averaged_is_refused(sentence):
    first, second = write("volume.tif", 0), write("volume.tif", 1)
    assert "fewer than two masks" in sentence(first)
    assert "no such" in sentence(first, "2/volume_mask.tif")
    assert "read by this command" in sentence(first, second, options=["--output", "seed-0"])
    np.save("other_mask.npy", np.zeros((2, 5, 5), np.uint8))
    assert "no probability" in sentence(first, "other_mask.npy")
    np.save("other_probability.npy", np.zeros((2, 5, 5), np.uint8))
    assert "not belong to the same images" in sentence(first, "other_mask.npy", options=["--output", "mean"])
    np.save("classes_mask.npy", np.full(SHAPE, 2, np.uint8))
    np.save("classes_probability.npy", np.zeros(SHAPE, np.uint8))
    assert "more than two classes" in sentence(first, "classes_mask.npy", options=["--output", "mean"])
    assert not Path("mean").exists()
    Path("mean").mkdir()
    Path("mean/volume_mask.tif").touch()
    assert "exists already" in sentence(first, second, options=["--output", "mean"])
