"""A run goes on only with what it began with, and no two of them write into one folder."""

import multiprocessing
import os
import signal
from pathlib import Path

import h5py
import imageio.v3
import mrcfile
import numpy as np
import pytest
import tifffile
import zarr

from bnadapt.data import Folder, Shifted, Stack, TilesByForeground
from bnadapt.errors import InputError
from bnadapt.files import ensure_folder
from bnadapt.volumes.identity import domain_identity
from bnadapt.volumes.unfinished import Unfinished

VOLUME = np.random.default_rng(0).integers(255, size=(4, 32, 40), dtype=np.uint8)
OTHER = np.random.default_rng(1).integers(255, size=VOLUME.shape, dtype=np.uint8)


def hdf5(pixels):
    with h5py.File("a.h5", "w") as file:
        file.create_dataset("raw", data=pixels, chunks=(1, 32, 40))


def tiff(pixels):
    tifffile.imwrite("a.tif", pixels, photometric="minisblack")


def mrc(pixels):
    with mrcfile.new("a.mrc", overwrite=True) as file:
        file.set_data(pixels.astype(np.int16))


def store(pixels):
    zarr.create_array("a.zarr", data=pixels, chunks=(1, 32, 40), overwrite=True, compressors=None)


def zipped(pixels):
    Path("a.zip").unlink(missing_ok=True)
    with zarr.storage.ZipStore("a.zip", mode="w") as file:
        zarr.create_array(file, data=pixels, compressors=None)


def group(pixels):
    zarr.open_group("b.zarr", mode="a").create_array("em/raw", data=pixels, chunks=(1, 32, 40), overwrite=True)


def images(pixels):
    Path("images").mkdir(exist_ok=True)
    for index, section in enumerate(pixels):
        imageio.v3.imwrite(f"images/{index}.tif", section)


TARGETS = {
    "HDF5": (hdf5, lambda: Stack("a.h5", images_key="raw")),
    "TIFF": (tiff, lambda: Stack("a.tif")),
    "MRC": (mrc, lambda: Stack("a.mrc")),
    ".npy": (lambda pixels: np.save("a.npy", pixels), lambda: Stack("a.npy")),
    "Zarr": (store, lambda: Stack("a.zarr")),
    "Zarr group": (group, lambda: Stack("b.zarr", images_key="em/raw")),
    "zipped Zarr": (zipped, lambda: Stack("a.zip")),
    "folder": (images, lambda: Folder("images")),
    "shifted": (images, lambda: Shifted(Folder("images"), "gamma", 1.0)),
}


def files():
    return sorted(path for path in Path().rglob("*") if path.is_file())


@pytest.mark.parametrize(("write", "target"), TARGETS.values(), ids=TARGETS)
def test_other_pixels_are_another_target_even_of_the_same_size_and_time(write, target):
    write(VOLUME)
    first, times = domain_identity(target()), {path: path.stat() for path in files()}
    assert domain_identity(target()) == first
    write(OTHER)
    for path, about in times.items():
        assert path.stat().st_size == about.st_size
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert domain_identity(target()) != first


@pytest.mark.parametrize(("write", "target"), TARGETS.values(), ids=TARGETS)
def test_a_file_that_was_touched_is_another_target(write, target):
    write(VOLUME)
    first = domain_identity(target())
    os.utime(files()[-1], (2e9, 2e9))
    assert domain_identity(target()) != first


@pytest.mark.parametrize("options", [{"index": {"0": 1}}, {"plane": "xz"}, {"pixel_size_nm": 4}, {"label": "b"}])
def test_other_options_are_another_target(options):
    np.save("a.npy", VOLUME)
    assert domain_identity(Stack("a.npy")) != domain_identity(Stack("a.npy", **options))


def test_the_files_of_what_a_domain_is_made_of_are_its_own():
    images(VOLUME)
    assert TilesByForeground(Folder("images"), 16, (0.0, 1.0)).files() == Folder("images").files()


def test_what_does_not_belong_to_the_images_of_a_store_does_not_count():
    group(VOLUME)
    first = domain_identity(Stack("b.zarr", images_key="em/raw"))
    zarr.open_group("b.zarr", mode="a").create_array("labels", data=VOLUME)
    assert domain_identity(Stack("b.zarr", images_key="em/raw")) == first


# Runs


def begun(count=3, overwrite=False, is_shared=False, **identity):
    run = Unfinished(Path("out"), identity, count, [Path("out/result")])
    run.begin(overwrite, is_shared)
    return run


def test_a_second_run_is_refused_while_the_first_one_is_at_work():
    first = begun(images="a")
    for options in ({"images": "a"}, {"images": "b"}, {"images": "b", "overwrite": True}):
        with pytest.raises(InputError, match="out: another run is at work there; wait until it has ended"):
            begun(**options)
    first.finish(0)
    assert first.finished() == {0: ""}
    assert first.keep_partial() == 1
    assert begun(images="a").finished() == {0: ""}


def test_parts_of_one_run_work_at_the_same_time_and_the_last_run_waits_for_them():
    parts = [begun(is_shared=True, images="a") for _ in range(2)]
    with pytest.raises(InputError, match="another run is at work there"):
        begun(is_shared=True, images="b", overwrite=True)
    with pytest.raises(InputError, match="another run is at work there"):
        begun(images="a")
    for number, part in enumerate(parts):
        part.finish(number)
        part.keep_partial()
    last = begun(images="a")
    assert last.missing() == [2]


def test_a_run_that_is_refused_leaves_the_other_one_alone():
    first = begun(images="a")
    second = Unfinished(Path("out"), {"images": "b"}, 3)
    with pytest.raises(InputError):
        second.begin(overwrite=False)
    assert second.keep_partial() == 0
    first.finish(0)
    assert first.keep_partial() == 1
    with pytest.raises(InputError, match="with 1 of 3 pieces, from which this one differs in images"):
        second.begin(overwrite=False)
    assert second.keep_partial() == 0
    assert begun(images="a").finished() == {0: ""}


def test_a_run_that_comes_when_another_one_has_ended_replaces_nothing():
    late = Unfinished(Path("out"), {"images": "a"}, 1, [Path("out/result")])
    first = begun(count=1, images="a")
    (first.results / "result").touch()
    first.publish()
    first.keep_partial()
    with pytest.raises(InputError, match="exists already"):
        late.begin(overwrite=False)
    assert [path.name for path in Path("out").iterdir()] == ["result"]


def test_what_is_written_after_another_run_has_ended_is_refused_in_a_sentence():
    run = begun(images="a")
    run.discard()
    with pytest.raises(InputError, match="out: another run has finished there in the meantime; look at its results"):
        run.finish(0)


def test_other_failures_stay_as_they_are():
    with pytest.raises(FileNotFoundError) as raised, begun(images="a").refusing():
        raise FileNotFoundError("gone")
    assert raised.value.__cause__ is None


def test_a_run_that_is_killed_is_at_work_no_more():
    def work():
        begun(images="a").finish(1)
        os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert begun(images="a").finished() == {1: ""}


def test_an_address_is_no_place_for_results():
    with pytest.raises(InputError, match="is an address"):
        ensure_folder("s3://bucket/out")
    assert not Path("s3:").exists()
