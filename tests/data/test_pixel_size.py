"""The pixel size that a file states is that of its stack."""

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
import zarr

from bnadapt.data import DomainPair, Folder, Stack
from bnadapt.errors import InputError

VOLUME = np.random.default_rng(0).integers(255, size=(3, 40, 40), dtype=np.uint8)
OME_ZARR = "volume.ome.zarr"


def ome_zarr(scale, unit="nanometer", version="0.4", beyond=None):
    """Writes an image of OME-Zarr whose first level has this scale of t, c, z, y, x."""

    def write():
        group = zarr.open_group(OME_ZARR, mode="w", zarr_format=2 if version == "0.4" else 3)
        group.create_array("0", data=VOLUME[None, None])
        axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
        axes += [{"name": name, "type": "space", **({"unit": unit} if unit else {})} for name in "zyx"]
        level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        image = {"version": version, "axes": axes, "datasets": [level]}
        if beyond:
            image["coordinateTransformations"] = [{"type": "scale", "scale": beyond}]
        group.attrs.update({"multiscales": [image]} if version == "0.4" else {"ome": {"multiscales": [image]}})
        return OME_ZARR

    return write


def ome_tiff(x=8.0, y=8.0, unit="nm"):
    def write():
        sizes = {"PhysicalSizeX": x, "PhysicalSizeXUnit": unit, "PhysicalSizeY": y, "PhysicalSizeYUnit": unit}
        tifffile.imwrite("volume.ome.tif", VOLUME, metadata={"axes": "ZYX", **sizes})
        return "volume.ome.tif"

    return write


def imagej(unit, per_unit):
    def write():
        resolution = (per_unit, per_unit)
        tifffile.imwrite("j.tif", VOLUME, imagej=True, resolution=resolution, metadata={"unit": unit, "axes": "ZYX"})
        return "j.tif"

    return write


def mrc(angstroms):
    def write():
        with mrcfile.new("volume.mrc") as file:
            file.set_data(VOLUME.astype(np.int16))
            file.voxel_size = angstroms
        return "volume.mrc"

    return write


def hdf5(sizes):
    def write():
        with h5py.File("volume.h5", "w") as store:
            store["raw"] = VOLUME
            if sizes is not None:
                store["raw"].attrs["element_size_um"] = sizes
        return "volume.h5"

    return write


def plain():
    tifffile.imwrite("plain.tif", VOLUME, photometric="minisblack", resolution=(300, 300), resolutionunit="INCH")
    return "plain.tif"


@pytest.mark.parametrize(
    ("write", "size"),
    [
        (ome_zarr([1, 1, 20, 8, 8]), 8.0),
        (ome_zarr([1, 1, 0.02, 0.008, 0.008], "micrometer", "0.5"), 8.0),
        (ome_zarr([1, 1, 1, 2, 2], beyond=[1, 1, 1, 4, 4]), 8.0),
        (ome_zarr([1, 1, 20, 8, 8], unit=None), None),
        (ome_zarr([1, 1, 20, 8, 4]), None),
        (ome_zarr([20, 8, 8]), None),
        (ome_tiff(), 8.0),
        (ome_tiff(0.008, 0.008, "µm"), 8.0),
        (ome_tiff(8.0, 4.0), None),
        (ome_tiff(unit="pixel"), None),
        (imagej("nm", 1 / 8), 8.0),
        (imagej("micron", 125.0), 8.0),
        (imagej("inch", 300.0), None),
        (mrc(80.0), 8.0),
        (mrc(1.0), None),
        (mrc(0.0), None),
        (hdf5([0.02, 0.008, 0.008]), 8.0),
        (hdf5(None), None),
        (plain, None),
    ],
)
def test_a_stack_has_the_pixel_size_of_its_file(write, size, caplog):
    path = write()
    stack = Stack(path, images_key="raw" if path.endswith(".h5") else None)
    assert stack.pixel_size_nm == (None if size is None else pytest.approx(size, rel=1e-3))
    assert ("nm wide, as its file says" in caplog.text) == (size is not None)


@pytest.mark.parametrize(
    ("write", "stated"),
    [(ome_zarr([1, 1, 20, 8, 8]), "8"), (ome_tiff(), "8"), (imagej("nm", 1 / 8), "8"), (mrc(80.0), "8"),
     (hdf5([0.02, 0.008, 0.008]), "8"), (ome_tiff(8.0, 4.0), "4 x 8")],
)  # fmt: skip
def test_a_size_that_contradicts_the_file_is_refused_unless_it_overrides_it(write, stated):
    path = write()
    key = {"images_key": "raw"} if path.endswith(".h5") else {}
    with pytest.raises(InputError, match=f"{path}.*: states {stated} nm, pixel_size_nm is 9; .*override_pixel_size"):
        Stack(path, **key, pixel_size_nm=9)
    stack = Stack(path, **key, pixel_size_nm=9, override_pixel_size=True)
    assert stack.pixel_size_nm == 9
    assert stack.unlabelled()[0].pixel_size_nm == 9


def test_a_rounded_size_is_that_of_the_file():
    assert Stack(ome_tiff(7.9, 7.9)(), pixel_size_nm=8).pixel_size_nm == 7.9


def test_a_size_without_a_file_that_states_one_is_taken(caplog):
    assert Stack(plain(), pixel_size_nm=5.0).pixel_size_nm == 5.0
    assert "nm" not in caplog.text


def test_a_size_that_is_to_override_must_be_given():
    for make in (lambda: Stack(plain(), override_pixel_size=True), lambda: Folder(".", override_pixel_size=True)):
        with pytest.raises(InputError, match="no pixel size is given; add pixel_size_nm"):
            make()


@pytest.mark.parametrize(
    ("network", "stated", "said"),
    [
        (4, 10.0, "its images are enlarged 2.5 times, from pixels of 10 nm to the network's 4 nm"),
        (20, 10.0, "its images are reduced 2 times, from pixels of 10 nm to the network's 20 nm"),
        (8, 10.0, None),
        (None, 10.0, None),
        (4, None, "its pixel size is unknown, so images are not resampled to the network's 4 nm"),
    ],
)
def test_the_network_decides_on_the_pixel_size_and_far_resampling_is_said(network, stated, said, caplog):
    path = plain() if stated is None else ome_tiff(stated, stated)()
    pair = DomainPair(target=Stack(path), tile_size=16)
    pair.load_state_dict({"intensity": "zscore", "pixel_size_nm": network, "ranges": {}, "reference": None, "epoch": 0})
    sections = pair.prediction_dataset().sections
    side = round(40 * stated / network) if network and stated else 40
    assert {each().size for each in sections.values()} == {(side, side)}
    told = [each for each in caplog.messages if "network's" in each]
    assert len(told) == (said is not None)
    assert all(f"{pair.target.name}: {said}" in each for each in told)


def test_source_and_target_are_resampled_by_what_their_files_say():
    source, target = Stack(ome_zarr([1, 1, 1, 4, 4])()), Stack(ome_tiff()())
    pair = DomainPair(source, target, tile_size=16)
    assert pair.pixel_size_nm == 8
    assert pair.prediction_dataset().sections[0]().size == (40, 40)
    coarse = DomainPair(target, source, tile_size=16)
    assert coarse.prediction_dataset().sections[0]().size == (20, 20)
