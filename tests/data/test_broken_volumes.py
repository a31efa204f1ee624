"""Volumes that are broken, foreign or not whole are refused in one sentence, or read as far as they say the truth."""

import shutil

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
import zarr

from bnadapt.data import Stack
from bnadapt.data.formats import zarr_chunks
from bnadapt.data.readers import open_stack
from bnadapt.errors import InputError

VOLUME = np.random.default_rng(0).integers(255, size=(10, 24, 32), dtype=np.uint8)
AXES = [{"name": name, "unit": "nanometer"} for name in "zyx"]


def level(scale, path="0"):
    return {"path": path, "coordinateTransformations": [{"type": "scale", "scale": scale}]}


def ome_zarr(multiscales):
    group = zarr.open_group("s.zarr", mode="w")
    group.create_array("0", data=VOLUME)
    group.create_array("inside/0", data=VOLUME)
    group.attrs["ome"] = {"multiscales": multiscales}
    return "s.zarr"


GOOD = level([20, 8, 8])
BROKEN = [
    ({"axes": AXES, "datasets": [GOOD]}, "OME metadata are broken"),
    ("nothing", "OME metadata are broken"),
    ([{"axes": AXES, "datasets": [{}]}], "OME metadata are broken .*'path'.*or name the array by its key"),
    ([{"axes": AXES, "datasets": ["0"]}], "OME metadata are broken"),
    ([{"axes": [{}, {}, {}], "datasets": [GOOD]}], "OME metadata are broken"),
    ([{"axes": AXES, "datasets": [level("abc")]}], "OME metadata are broken"),
    ([{"axes": AXES, "datasets": [level(8)]}], "OME metadata are broken"),
    ([{"axes": AXES, "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale"}]}]}], "broken"),
    ([{"axes": [{"name": "z", "unit": ["nm"]}, *AXES[1:]], "datasets": [GOOD]}], "OME metadata are broken"),
]


@pytest.mark.parametrize(("multiscales", "words"), BROKEN)
def test_broken_metadata_of_ome_zarr_are_refused_but_for_an_array_that_is_named(multiscales, words, caplog):
    with pytest.raises(InputError, match=words):
        open_stack(ome_zarr(multiscales))
    stack = open_stack("s.zarr", "0")
    np.testing.assert_array_equal(stack[3], VOLUME[3])
    assert "are ignored" in caplog.text


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ({"axes": AXES}, "is a container of arrays; name one of 0, inside as the key"),
        ({"axes": AXES, "datasets": [level([20, 8, 8], "9")]}, "has no array '9'; name one of 0, inside"),
        ({"axes": AXES, "datasets": [level([20, 8, 8], "inside")]}, "'inside' is a group; name one of inside/0"),
        ({"axes": AXES[1:], "datasets": [GOOD]}, "has 3 axes, but its OME metadata name 2, YX; correct `axes`"),
        ({"axes": [{"name": "c"}, *AXES], "datasets": [GOOD]}, "has 3 axes, but its OME metadata name 4, CZYX"),
        ({"axes": ["y", "y", "x"], "datasets": [GOOD]}, "the axes YYX .* one must be Y, the rows"),
        ({"axes": ["a", "b", "c"], "datasets": [GOOD]}, "the axes ABC .* one must be Y, the rows"),
    ],
)
def test_metadata_that_do_not_fit_the_arrays_are_refused(image, words):
    with pytest.raises(InputError, match=words):
        open_stack(ome_zarr([image]))


@pytest.mark.parametrize("scale", [[np.nan] * 3, [0, 0, 0], [-20, -8, -8], [np.inf] * 3, [8, 8]])
@pytest.mark.parametrize("given", [None, 8.0])
def test_scales_that_are_no_lengths_tell_nothing(scale, given):
    stack = Stack(ome_zarr([{"axes": AXES, "datasets": [level(scale)]}]), pixel_size_nm=given)
    assert stack.pixel_size_nm == given
    assert stack._images.spacing_nm is None


@pytest.mark.parametrize("image", [{"datasets": [GOOD]}, {"axes": None, "datasets": [{"path": "0"}]}])
def test_axes_that_are_not_told_are_guessed(image):
    assert open_stack(ome_zarr([image])).shape == VOLUME.shape


def test_paths_in_a_store_do_not_lead_out_of_it():
    path = ome_zarr([{"axes": AXES, "datasets": [level([20, 8, 8], "./0")]}])
    assert Stack(path).pixel_size_nm == 8
    np.testing.assert_array_equal(open_stack(path, "inside/../inside/./0")[1], VOLUME[1])
    for key in ("../s.zarr/0", "inside/../../s.zarr/0"):
        with pytest.raises(InputError, match="leads out of the store"):
            open_stack(path, key)
    with pytest.raises(InputError, match="leads out of the store"):
        open_stack(ome_zarr([{"axes": AXES, "datasets": [level([20, 8, 8], "../s.zarr/0")]}]))


def cut(path, share):
    with open(path, "r+b") as file:
        file.truncate(int(share * file.seek(0, 2)))
    return path


def hdf5(share, **options):
    with h5py.File("s.h5", "w") as store:
        store.create_dataset("raw", data=VOLUME, **options)
    return cut("s.h5", share)


def mrc(share):
    with mrcfile.new("s.mrc") as file:
        file.set_data(VOLUME.astype(np.int16))
    return cut("s.mrc", share)


def npy(share):
    np.save("s.npy", np.asfortranarray(VOLUME))
    return cut("s.npy", share)


def bigtiff(share):
    tifffile.imwrite("s.btf", VOLUME, bigtiff=True, photometric="minisblack", compression="zlib")
    return cut("s.btf", share)


def zipped(share):
    with zarr.storage.ZipStore("s.zip", mode="w") as store:
        zarr.create_array(store, data=VOLUME)
    return cut("s.zip", share)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.95])
@pytest.mark.parametrize("write", [hdf5, mrc, npy, bigtiff, zipped])
def test_cut_files_are_refused(write, share):
    path = write(share)
    with pytest.raises(InputError, match=r"again|a whole Zarr store"):
        open_stack(path, "raw" if path.endswith(".h5") else None)


@pytest.mark.parametrize("name", ["s.h5", "s.mrc", "s.npy", "s.btf", "s.tif", "s.zip", "s.zarr"])
@pytest.mark.parametrize("content", [b"II*\0" + b"\xff" * 2000, b"hello" * 500])
def test_foreign_files_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        open_stack(tmp_path / name, "raw" if name.endswith(".h5") else None)


def test_archives_of_numpy_under_the_name_of_an_array_are_refused():
    np.savez("s.npz", VOLUME)
    shutil.move("s.npz", "s.npy")
    with pytest.raises(InputError, match="s.npy: cannot be read .*; copy it again"):
        open_stack("s.npy")


@pytest.mark.parametrize("sizes", ["a b c", [np.nan] * 3, 3.0, h5py.Empty("f4"), [0, 0, 0]])
def test_element_sizes_that_are_none_tell_nothing(sizes):
    with h5py.File("s.h5", "w") as store:
        store["raw"] = VOLUME
        store["raw"].attrs["element_size_um"] = sizes
    assert Stack("s.h5", images_key="raw").pixel_size_nm is None


def test_element_sizes_of_rows_and_columns_alone_are_taken():
    with h5py.File("s.h5", "w") as store:
        store["raw"] = VOLUME
        store["raw"].attrs["element_size_um"] = [0.004, 0.004]
    assert Stack("s.h5", images_key="raw").pixel_size_nm == pytest.approx(4)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("raw", "'raw' is not an array"),
        ("loop", "'loop' cannot be opened .*; it may link to itself"),
        ("gone", "'gone' cannot be opened"),
        ("/", "is a container of arrays; name one of gone, loop, raw"),
    ],
)
def test_what_is_no_array_in_hdf5_is_refused(key, words):
    with h5py.File("s.h5", "w") as store:
        store["raw"] = np.dtype("f4")
        store["loop"] = h5py.SoftLink("/loop")
        store["gone"] = h5py.ExternalLink("gone.h5", "raw")
    with pytest.raises(InputError, match=words):
        open_stack("s.h5", key)


@pytest.mark.parametrize("tags", ["[" * 50_000, "[1, 2]", 3], ids=["deep", "list", "number"])
def test_broken_axistags_are_reported_and_ignored(tags, caplog):
    with h5py.File("s.h5", "w") as store:
        store["raw"] = VOLUME
        store["raw"].attrs["axistags"] = tags
    assert open_stack("s.h5", "raw").shape == VOLUME.shape
    assert "its axistags are broken" in caplog.text


def test_a_header_of_mrc_without_voxels_has_no_sizes(recwarn):
    with mrcfile.new("s.mrc") as file:
        file.set_data(VOLUME.astype(np.int16))
        for name in ("mx", "my", "mz"):
            file.header[name] = 0
    assert open_stack("s.mrc").geometry.voxel == (None, None, None)
    assert not recwarn


# Chunks that are not stored


def sparse(kind, written, chunks=(1, 24, 32)):
    """A volume of which this many sections are stored."""
    if kind == "hdf5":
        with h5py.File("s.h5", "w") as store:
            store.create_dataset("raw", shape=VOLUME.shape, dtype="u1", chunks=chunks)[:written] = VOLUME[:written] | 1
        return "s.h5", "raw"
    layout = {"sharded": {"chunks": (1, 12, 16), "shards": (1, 24, 32)}}.get(kind, {"chunks": chunks})
    shutil.rmtree("s.zarr", ignore_errors=True)
    store = zarr.storage.ZipStore("s.zip", mode="w") if kind == "zip" else zarr.storage.LocalStore("s.zarr")
    zarr.create_array(store, shape=VOLUME.shape, dtype="u1", **layout)[:written] = VOLUME[:written] | 1
    store.close()
    return ("s.zip" if kind == "zip" else "s.zarr"), None


KINDS = ["hdf5", "zarr", "sharded", "zip"]


@pytest.mark.parametrize("kind", KINDS)
def test_few_missing_chunks_are_told_and_nearly_all_are_refused(kind, caplog):
    path, key = sparse(kind, 4)
    np.testing.assert_array_equal(open_stack(path, key)[3], VOLUME[3] | 1)
    assert "6 of 10 chunks are not stored" in caplog.text
    path, key = sparse(kind, 0)
    with pytest.raises(InputError, match="10 of 10 chunks are not stored.*copy it again"):
        open_stack(path, key)


def test_masks_may_lack_any_chunks_for_background_is_not_stored(caplog):
    masks, key = sparse("hdf5", 0)
    np.save("s.npy", VOLUME)
    stack = Stack("s.npy", masks, masks_key=key)
    assert not stack.labelled()[2].read_mask().any()
    assert "10 of 10 chunks are not stored" in caplog.text


@pytest.mark.parametrize("kind", ["zarr", "sharded", "zip"])
def test_of_very_many_chunks_some_are_looked_for(kind, monkeypatch, caplog):
    monkeypatch.setattr(zarr_chunks, "MOST_CHUNKS", 9)
    monkeypatch.setattr(zarr_chunks, "DRAWN_CHUNKS", 8)
    path, _ = sparse(kind, 5)
    open_stack(path)
    missing = int(caplog.text.split("about ")[1].split()[0])
    assert 3 <= missing <= 7
    path, _ = sparse(kind, 0)
    with pytest.raises(InputError, match="about 10 of 10 chunks are not stored"):
        open_stack(path)


OME = (
    '<?xml version="1.0"?><OME UUID="urn:uuid:{own}"><Image ID="Image:0"><Pixels ID="Pixels:0" Type="uint8"'
    ' DimensionOrder="XYZCT" SizeX="32" SizeY="24" SizeZ="{count}" SizeC="1" SizeT="1" PhysicalSizeX="0.004"'
    ' PhysicalSizeY="0.004">{files}</Pixels></Image></OME>'
)


def ome_tiff(count, pixels, files="<TiffData/>", own="a"):
    description = OME.format(count=count, files=files, own=own)
    tifffile.imwrite("s.ome.tif", pixels, photometric="minisblack", description=description, metadata=None)


def test_pages_that_an_ome_tiff_states_alone_are_told(caplog):
    ome_tiff(14, VOLUME)
    stack = Stack("s.ome.tif")
    assert "4 of 14 chunks are not stored" in caplog.text
    assert stack.pixel_size_nm == pytest.approx(4)
    others = "".join(
        f'<TiffData IFD="0" FirstZ="{number}"><UUID FileName="{name}.ome.tif">urn:uuid:{name}</UUID></TiffData>'
        for number, name in enumerate("sb")
    )
    ome_tiff(2, VOLUME[:1], others, "s")
    open_stack("s.ome.tif")
    assert "1 of 2 chunks are not stored" in caplog.text


def test_a_cut_tiff_is_refused_by_any_path(tmp_path):
    tifffile.imwrite("s.tif", VOLUME, photometric="minisblack", metadata=None)
    with tifffile.TiffFile("s.tif", mode="r+") as file:
        file.pages[-1].tags["StripOffsets"].overwrite([10**6])
    (tmp_path / "link.tif").symlink_to("s.tif")
    with pytest.raises(InputError, match="is incomplete"):
        open_stack("link.tif")


def test_arrays_of_hdf5_that_were_never_written_or_lack_a_file_are_told(caplog):
    with h5py.File("part.h5", "w") as store:
        store["raw"] = VOLUME[:5]
    layout = h5py.VirtualLayout(VOLUME.shape, "u1")
    for number, name in enumerate(("part.h5", "gone.h5")):
        layout[5 * number : 5 * number + 5] = h5py.VirtualSource(name, "raw", (5, 24, 32))
    with h5py.File("s.h5", "w") as store:
        store.create_dataset("empty", VOLUME.shape, "u1")
        store.create_virtual_dataset("parts", layout)
    np.testing.assert_array_equal(open_stack("s.h5", "parts")[4], VOLUME[4])
    assert "1 of 2 chunks are not stored" in caplog.text
    with pytest.raises(InputError, match="1 of 1 chunks are not stored"):
        open_stack("s.h5", "empty")
