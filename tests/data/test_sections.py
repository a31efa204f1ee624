"""Sections are read once a chunk, by several threads and processes alike."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from torch.utils.data import DataLoader

from bnadapt.commands.cli import main
from bnadapt.data import Stack
from bnadapt.data.formats.base import Opened
from bnadapt.data.readers import open_stack, sections
from bnadapt.data.readers.sections import Sections

VOLUME = np.random.default_rng(0).integers(255, size=(20, 40, 48), dtype=np.uint8)


class Recorded:
    """An array that counts how often each of its sections is read."""

    def __init__(self, pixels, chunks):
        self.pixels, self.chunks = pixels, chunks
        self.shape, self.dtype = pixels.shape, pixels.dtype
        self.asked = []

    def __getitem__(self, where):
        self.asked.append((where[0].start, where[0].stop))
        return self.pixels[where]


def recorded(chunks, pixels=VOLUME):
    array = Recorded(pixels, chunks)
    return array, Sections(Opened(array), "ZYX", {}, "volume", None)


@pytest.mark.parametrize(
    ("depth", "asked"), [(1, [(index, index + 1) for index in range(20)]), (8, [(0, 8), (8, 16), (16, 20)])]
)
def test_the_sections_of_a_chunk_are_read_once(depth, asked):
    array, stack = recorded((depth, 16, 16))
    for index, section in enumerate(stack):
        np.testing.assert_array_equal(section, VOLUME[index])
    assert array.asked == asked


def test_a_chunk_that_is_too_much_for_memory_is_read_in_parts(monkeypatch):
    monkeypatch.setattr(sections, "MOST_SLAB", 3 * VOLUME[0].nbytes)
    array, stack = recorded((8, 16, 16))
    np.testing.assert_array_equal(np.stack(list(stack)), VOLUME)
    assert array.asked == [(0, 3), (3, 6), (6, 8), (8, 11), (11, 14), (14, 16), (16, 19), (19, 20)]


def test_what_a_caller_writes_into_a_section_stays_out_of_the_next_reading():
    _, stack = recorded((8, 16, 16))
    stack[3][:] = 0
    np.testing.assert_array_equal(stack[3], VOLUME[3])


def test_sections_along_another_axis_are_read_by_chunks_too(tmp_path):
    zarr.create_array(tmp_path / "s.zarr", data=np.stack([VOLUME, 255 - VOLUME], 1)[None], chunks=(1, 8, 1, 16, 16))
    stack = open_stack(tmp_path / "s.zarr", index={"2": 1})
    np.testing.assert_array_equal(stack[17], 255 - VOLUME[17])
    assert len(stack) == 20


def test_threads_read_what_they_ask_for():
    _, stack = recorded((8, 16, 16))
    order = np.random.default_rng(0).integers(len(VOLUME), size=400).tolist()
    with ThreadPoolExecutor(4) as pool:
        for index, section in zip(order, pool.map(stack.__getitem__, order), strict=True):
            np.testing.assert_array_equal(section, VOLUME[index])


def written(kind, volume=VOLUME):
    """The volume in a file of this kind: its name and key."""
    if kind == "hdf5":
        with h5py.File("s.h5", "w") as store:
            store.create_dataset("raw", data=volume, chunks=(4, 16, 16), compression="gzip")
        return "s.h5", "raw"
    if kind == "zarr":
        zarr.create_array("s.zarr", data=volume, chunks=(4, 16, 16))
        return "s.zarr", None
    if kind == "zip":
        with zarr.storage.ZipStore("s.zip", mode="w") as store:
            zarr.create_array(store, data=volume, chunks=(4, 16, 16))
        return "s.zip", None
    if kind == "npy":
        np.save("s.npy", volume)
        return "s.npy", None
    white = kind == "tiff that is converted"
    pixels = 255 - volume if white else volume
    tifffile.imwrite("s.tif", pixels, photometric="miniswhite" if white else "minisblack", compression="zlib")
    return "s.tif", None


KINDS = ["hdf5", "zarr", "zip", "npy", "tiff", "tiff that is converted"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickled_stack_opens_its_file_again(kind):
    stack = open_stack(*written(kind))
    stack[0]
    pickled = pickle.dumps(stack)
    assert len(pickled) < VOLUME.nbytes / 4
    again = pickle.loads(pickled)
    assert again.shape == stack.shape
    np.testing.assert_array_equal(again[5], VOLUME[5])


@pytest.mark.parametrize("kind", KINDS)
def test_processes_do_not_share_their_place_in_the_file(kind):
    stack = open_stack(*written(kind, np.repeat(VOLUME, 5, axis=0)))
    stack[0]
    for index, section in enumerate(DataLoader(stack, batch_size=None, num_workers=2, multiprocessing_context="fork")):
        np.testing.assert_array_equal(section, VOLUME[index // 5])
    assert index == len(stack) - 1


@pytest.mark.parametrize("kind", ["zarr"])
def test_predict_reads_volumes_in_worker_processes(best, tmp_path, kind):
    path, key = written(kind)
    images = [
        "--data.target=Stack",
        f"--data.target.images={path}",
        *([f"--data.target.images_key={key}"] if key else []),
    ]
    for workers in (0, 2):
        options = ["--data.tile_size=32", f"--data.num_workers={workers}", f"--output=with_{workers}"]
        main(["predict", "--ckpt_path", str(best), *images, *options])
    name = path.replace(".", "_probability.")
    alone, both = (np.stack(list(open_stack(tmp_path / f"with_{workers}" / name, key))) for workers in (0, 2))
    np.testing.assert_array_equal(alone, both)
    assert len(Stack(f"with_2/{name}", images_key=key).all_sections()) == len(VOLUME)
