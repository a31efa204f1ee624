"""Axes, steps, places and units of an image are read once, and written by every writer."""

import json
import struct
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import ome_zarr_models
import pytest
import tifffile
import zarr

from bnadapt.data import Folder, Stack
from bnadapt.data.formats import FORMATS, stem_of
from bnadapt.data.geometry import letter_of
from bnadapt.data.lengths import nanometres_in
from bnadapt.data.readers import open_masks, open_stack
from bnadapt.data.writers import StackFile
from bnadapt.errors import InputError

VOLUME = np.random.default_rng(0).integers(255, size=(3, 20, 28), dtype=np.uint8)
ORDERS = {"zyx": (0, 1, 2), "xyz": (2, 1, 0), "yxz": (1, 2, 0)}


def ome_zarr(pixels, axes, scale, translation=None, unit="nanometer", transformations=(), name="a.ome.zarr"):
    group = zarr.open_group(name, mode="w", zarr_format=3)
    group.create_array("0", data=pixels)
    steps = [{"type": "scale", "scale": scale}]
    steps += [{"type": "translation", "translation": translation}] if translation else []
    kinds = {"t": "time", "c": "channel"}
    told = [{"name": axis, "type": kinds.get(axis[0], "space"), **({"unit": unit} if unit else {})} for axis in axes]
    datasets = [{"path": "0", "coordinateTransformations": [*steps, *transformations]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": told, "datasets": datasets}]}
    return name


def written(stack, sections=VOLUME):
    """The paths of what a domain's writer makes of these sections."""
    Path("out").mkdir(exist_ok=True)
    writer = stack.writer(Path("out"))
    writer.begin(len(sections))
    for index, section in enumerate(sections):
        writer.write(index, "", section, section)
    writer.close()
    return writer.paths([])


def levels_of(path):
    """Shapes, axes and the scale and translation of every level of what was written as OME-Zarr."""
    group = zarr.open_group(path, mode="r")
    ome_zarr_models.open_ome_zarr(group, version="0.5")
    image = group.attrs["ome"]["multiscales"][0]
    steps = [
        {step["type"]: step[step["type"]] for step in level["coordinateTransformations"]} for level in image["datasets"]
    ]
    return [group[level["path"]].shape for level in image["datasets"]], image["axes"], steps


# Units and names


@pytest.mark.parametrize(
    ("unit", "nanometres"),
    [
        *[(unit, 1) for unit in ("nm", "nanometer", "nanometers", "Nanometres", " nm ")],
        *[(unit, 1e3) for unit in ("um", "µm", "μm", "\\u00B5m", "\\u03bcm", "UM", "micron", "microns", "micrometre")],
        *[(unit, 0.1) for unit in ("Å", "Å", "A", "\\u00C5", "angstrom", "Angstroms", "ångström")],
        *[("m", 1e9), ("meter", 1e9), ("metre", 1e9), ("cm", 1e7), ("mm", 1e6), ("millimeter", 1e6)],
        *[("pm", 1e-3), ("picometer", 1e-3), ("femtometer", 1e-6), ("kilometer", 1e12), ("inches", 2.54e7)],
        *[(unit, None) for unit in (None, "", "pixel", "foo", "second", "Mm", "parsec")],
    ],
)
def test_units_of_length_by_symbols_and_words(unit, nanometres):
    assert nanometres_in(unit) == (nanometres if nanometres is None else pytest.approx(nanometres))


@pytest.mark.parametrize(
    ("name", "letter"),
    [("z", "Z"), ("depth", "Z"), ("Sections", "Z"), ("rows", "Y"), ("height", "Y"), ("col", "X"), ("width", "X"),
     ("time", "T"), ("channel", "C"), ("angle", "A"), ("band", "C"), ("ch", "C"), ("t_s", "T"), ("z_um", "Z"),
     ("sample", "A"), ("camera", "A"), ("crop", "R"), ("tile", "I"), ("2theta", "H"), ("ss", "O"),
     (None, "?"), ("", "?"), ("dim_0", "?"), ("phony_dim_2", "?")],
)  # fmt: skip
def test_axes_are_known_by_their_names(name, letter):
    assert letter_of(name) == letter


def test_the_type_of_an_ome_axis_goes_before_its_name():
    assert letter_of("wavelength", "channel") == "C"
    assert letter_of("frame number", "time") == "T"


# Axes that a file names


def zarr3(axes, pixels):
    zarr.create_array("a.zarr", data=pixels, dimension_names=list(axes))
    return "a.zarr", None


def xarray(axes, pixels):
    array = zarr.open_group("a.zarr", mode="w", zarr_format=2).create_array("em", data=pixels)
    array.attrs["_ARRAY_DIMENSIONS"] = list(axes)
    return "a.zarr", "em"


def hdf5(axes, pixels, how="labels"):
    with h5py.File("a.h5", "w") as file:
        array = file.create_dataset("em", data=pixels)
        if how == "axistags":
            array.attrs["axistags"] = json.dumps({"axes": [{"key": axis, "resolution": 0} for axis in axes]})
        for number, axis in enumerate(axes):
            if how == "labels":
                array.dims[number].label = axis
            elif how == "scales":
                file[axis] = np.arange(pixels.shape[number])
                file[axis].make_scale(axis)
                array.dims[number].attach_scale(file[axis])
    return "a.h5", "em"


def mrc(axes, pixels):
    with mrcfile.new("a.mrc") as file:
        file.set_data(pixels.astype(np.int16))
        for field, axis in zip(("maps", "mapr", "mapc"), axes, strict=True):
            file.header[field] = "xyz".index(axis) + 1
    return "a.mrc", None


NAMING = {
    "OME-Zarr": lambda axes, pixels: (ome_zarr(pixels, axes, [1, 1, 1], unit=None), None),
    "Zarr 3": zarr3,
    "xarray": xarray,
    "HDF5 labels": hdf5,
    "HDF5 scales": lambda *volume: hdf5(*volume, "scales"),
    "axistags": lambda *volume: hdf5(*volume, "axistags"),
    "MRC": mrc,
}


@pytest.mark.parametrize("write", NAMING.values(), ids=NAMING)
@pytest.mark.parametrize("axes", ORDERS)
def test_axes_that_a_file_names_are_believed_and_written(write, axes, caplog):
    path, key = write(axes, VOLUME.transpose(ORDERS[axes]).copy())
    stack = Stack(path, images_key=key)
    np.testing.assert_array_equal(np.stack([each.read_image() for each in stack.unlabelled()]), VOLUME)
    mask = open_masks(written(stack)[0], key=key)
    assert mask.opened.array.shape == tuple(VOLUME.shape["zyx".index(axis)] for axis in axes)
    assert mask.geometry.letters == axes.upper()
    np.testing.assert_array_equal(np.stack(list(mask)), VOLUME)
    assert not caplog.messages


@pytest.mark.parametrize("plane", ["xz", "yz"])
def test_a_plane_is_written_with_the_axes_of_the_input(plane):
    stack = Stack(ome_zarr(VOLUME.transpose(2, 1, 0).copy(), "xyz", [4, 4, 4]), plane=plane)
    sections = [each.read_image() for each in stack.unlabelled()]
    np.testing.assert_array_equal(zarr.open_array(f"{written(stack, sections)[0]}/0")[:], VOLUME.transpose(2, 1, 0))


def test_a_part_of_the_names_is_believed_and_the_rest_is_said(caplog):
    path, _ = zarr3([None, "x", None], VOLUME.transpose(0, 2, 1).copy())
    np.testing.assert_array_equal(np.stack(list(open_stack(path))), VOLUME)
    assert "a.zarr: does not name all of its axes; the others are taken as 3 sections, 20 rows." in caplog.text


@pytest.mark.parametrize("axes", [[None] * 3, ["dim_0", "dim_1", "dim_2"]])
def test_axes_without_names_are_said(axes, caplog):
    np.testing.assert_array_equal(np.stack(list(open_stack(zarr3(axes, VOLUME)[0]))), VOLUME)
    (said,) = caplog.messages
    assert said == "a.zarr: does not name its axes; they are taken as 3 sections, 20 rows, 28 columns."


def test_names_without_rows_and_columns_are_said(caplog):
    assert open_stack(zarr3("abc", VOLUME)[0]).shape == VOLUME.shape
    assert "names its axes a, b, c, none of them rows or columns" in caplog.text


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda: xarray("yx", VOLUME), r"has 3 axes, but its attributes name 2, \['y', 'x'\]; correct them"),
        (lambda: zarr3("ykb", VOLUME), "has the axes YKB .*; one must be Y, the rows, and one X"),
        (lambda: mrc("yyx", VOLUME), r"names its columns, rows and sections \[1, 2, 2\]; correct mapc, mapr and maps"),
    ],
)
def test_names_that_cannot_be_are_refused(write, words):
    path, key = write()
    with pytest.raises(InputError, match=words):
        open_stack(path, key)


def test_names_that_contradict_each_other_are_refused_and_broken_ones_said(caplog):
    path, key = hdf5("zyx", VOLUME)
    with h5py.File(path, "r+") as file:
        file[key].attrs["axistags"] = json.dumps({"axes": [{"key": axis} for axis in "xyz"]})
    with pytest.raises(InputError, match="its axistags name the axes x, y, z, its dimensions z, y, x; correct one"):
        open_stack(path, key)
    with h5py.File(path, "r+") as file:
        file[key].attrs["axistags"] = "{"
    assert open_stack(path, key).shape == VOLUME.shape
    assert "its axistags are broken" in caplog.text


def test_masks_of_the_shape_of_their_images_have_their_axes():
    path, _ = zarr3("xyz", VOLUME.transpose(2, 1, 0).copy())
    np.save("masks.npy", VOLUME.transpose(2, 1, 0) > 99)
    masks = [each.read_mask() for each in Stack(path, "masks.npy").labelled()]
    np.testing.assert_array_equal(np.stack(masks), VOLUME > 99)


def test_a_single_section_of_colours_without_names_is_one(caplog):
    np.save("a.npy", np.random.default_rng(0).integers(255, size=(1, 20, 28, 3), dtype=np.uint8))
    assert open_stack("a.npy").shape == (1, 20, 28, 3)


def test_four_sections_that_look_like_colours_with_transparency_are_sections():
    pixels = np.random.default_rng(0).integers(255, size=(4, 20, 28), dtype=np.uint8)
    with pytest.warns(DeprecationWarning, match="planarconfig"):
        tifffile.imwrite("a.tif", pixels)
    np.testing.assert_array_equal(np.stack(list(open_stack("a.tif"))), pixels)


# Times


def imagej_times():
    metadata = {"axes": "TYX", "unit": "nm", "finterval": 60, "tunit": "min"}
    tifffile.imwrite("a.tif", VOLUME, imagej=True, resolution=(0.25, 0.25), metadata=metadata)
    return "a.tif", None


@pytest.mark.parametrize(
    "write",
    [
        imagej_times,
        lambda: (ome_zarr(VOLUME, "tyx", [60, 4, 4]), None),
        lambda: (ome_zarr(VOLUME[:, None, None], ["time", "c", "z", "y", "x"], [60, 1, 40, 4, 4]), None),
        lambda: hdf5("tyx", VOLUME),
        lambda: zarr3("tyx", VOLUME),
    ],
    ids=["ImageJ", "OME-Zarr", "OME-Zarr of five axes", "HDF5", "Zarr"],
)
def test_times_come_back_as_times(write):
    path, key = write()
    stack = Stack(path, images_key=key)
    assert stack._images.are_times
    mask = open_masks(written(stack)[0], key=key)
    assert mask.are_times
    assert mask.geometry["T"].step in (60, None)
    assert mask.spacing_nm is None
    np.testing.assert_array_equal(np.stack(list(mask)), VOLUME)


# Steps, places and units


@pytest.mark.parametrize(
    ("scale", "unit"),
    [([40, 8, 4], "nanometer"), ([2, 0.5, 0.5], None), ([2, 0.5, 0.5], "foo"), ([4e-8, 4e-9, 4e-9], "meter"),
     ([40000, 4000, 4000], "picometer"), ([1, 1, 1], "pixel")],
)  # fmt: skip
def test_ome_zarr_keeps_scale_and_unit(scale, unit):
    path, _ = written(Stack(ome_zarr(VOLUME, "zyx", scale, [10, 20, 30], unit)))
    _, axes, (level,) = levels_of(path)
    assert level == {"scale": pytest.approx(scale), "translation": [10, 20, 30]}
    assert [axis.get("unit") for axis in axes] == [unit] * 3


def test_a_length_that_ome_zarr_does_not_know_is_written_in_nanometres():
    path, _ = written(Stack(ome_zarr(VOLUME, "zyx", [400, 40, 40], [10, 20, 30], "angstrom")))
    _, axes, (level,) = levels_of(path)
    assert level == {"scale": pytest.approx([40, 4, 4]), "translation": pytest.approx([1, 2, 3])}
    assert [axis["unit"] for axis in axes] == ["nanometer"] * 3


def test_the_levels_of_a_pyramid_lie_at_the_centres_of_the_pixels_that_they_are_made_of():
    pixels = np.ones((2, 600, 301), np.uint8)
    path, _ = written(Stack(ome_zarr(pixels, "zyx", [40, 4, 6], [0, 100, 200])), pixels)
    shapes, _, levels = levels_of(path)
    assert shapes == [(2, 600, 301), (2, 300, 151), (2, 150, 76)]
    assert [level["translation"] for level in levels] == [[0, 100, 200], [0, 102, 203], [0, 106, 209]]
    assert [level["scale"] for level in levels] == [[40, 4, 6], [40, 8, 12], [40, 16, 24]]


def test_transformations_follow_each_other(caplog):
    steps = [{"type": "scale", "scale": [2, 2, 2]}, {"type": "identity"}, {"type": "rotation", "rotation": []}]
    stack = Stack(ome_zarr(VOLUME, "zyx", [20, 2, 2], [1, 2, 3], transformations=steps))
    _, _, (level,) = levels_of(written(stack)[0])
    assert level == {"scale": [40, 4, 4], "translation": [2, 4, 6]}
    assert "states a transformation of the type rotation, which is ignored" in caplog.text


def test_a_chosen_section_lies_where_it_was():
    stack = Stack(ome_zarr(VOLUME, "zyx", [40, 4, 4], [100, 0, 0]), index={"Z": 2})
    shapes, _, (level,) = levels_of(written(stack, VOLUME[2:])[0])
    assert (shapes, level["translation"]) == ([(1, 20, 28)], [180, 0, 0])


def test_a_level_that_is_chosen_keeps_its_place():
    name = ome_zarr(VOLUME, "zyx", [40, 4, 4], [0, 10, 10])
    group = zarr.open_group(name, mode="a")
    group.create_array("1", data=VOLUME[:, ::2, ::2])
    ome = group.attrs["ome"]
    steps = [{"type": "scale", "scale": [40, 8, 8]}, {"type": "translation", "translation": [0, 12, 12]}]
    ome["multiscales"][0]["datasets"].append({"path": "1", "coordinateTransformations": steps})
    group.attrs["ome"] = ome
    _, _, (level,) = levels_of(written(Stack(name, pixel_size_nm=8), VOLUME[:, ::2, ::2])[0])
    assert level == {"scale": [40, 8, 8], "translation": [0, 12, 12]}


def test_a_pixel_size_that_the_user_gives_is_written_and_moves_the_place_along():
    stack = Stack(ome_zarr(VOLUME, "zyx", [2, 0.5, 0.5], [0, 10, 10], None), images_key="0", pixel_size_nm=4)
    _, axes, (level,) = levels_of(written(stack)[0])
    assert level == {"scale": [2, 4, 4], "translation": [0, 80, 80]}
    assert [axis.get("unit") for axis in axes] == [None, "nanometer", "nanometer"]


@pytest.mark.parametrize(
    ("scale", "unit", "words"),
    [
        ([40, 8, 4], "nanometer", "its pixels are 8 x 4 nm, as its file says, and so not square"),
        ([2, 0.5, 0.5], None, "its file states pixels of 0.5 x 0.5 without a unit; set their size by `pixel_size_nm`"),
        ([2, 0.5, 0.5], "foo", "states pixels of 0.5 x 0.5 in the unknown unit 'foo'"),
        (
            [1, 1e-320, 1e-320],
            "meter",
            "states pixels of 9.99989e-321 x 9.99989e-321 meter, which is impossible",
        ),
        ([1, 4e6, 4e6], "meter", "its file states pixels of 4e+06 x 4e+06 meter, which is impossible"),
        ([40, -4, 4], "nanometer", "states the scale [40, -4, 4] of 3 axes, which is ignored"),
    ],
)
def test_sizes_that_are_not_gone_by_are_said(scale, unit, words, caplog):
    assert Stack(ome_zarr(VOLUME, "zyx", scale, unit=unit)).pixel_size_nm is None
    assert words in caplog.text


IMAGEJ = [
    ("um", (250, 250), 4),
    ("microns", (250, 250), 4),
    ("nanometers", (0.25, 0.25), 4),
    ("Angstrom", (0.025, 0.025), 4),
    ("pm", (0.00025, 0.00025), 4),
    ("foo", (0.25, 0.25), None),
    ("um", (250, 125), None),
]


@pytest.mark.parametrize(("unit", "resolution", "size"), IMAGEJ)
def test_tiff_keeps_resolution_unit_distance_and_origin(unit, resolution, size):
    metadata = {"axes": "ZYX", "unit": unit, "spacing": 7.5, "xorigin": -5.0}
    tifffile.imwrite("a.tif", VOLUME, imagej=True, resolution=resolution, metadata=metadata)
    stack = Stack("a.tif")
    assert stack.pixel_size_nm == (size and pytest.approx(size))
    with tifffile.TiffFile(written(stack)[0]) as file:
        assert file.pages[1].resolution == pytest.approx(resolution)
        told = file.imagej_metadata
        assert (told["unit"], told["spacing"], told["xorigin"]) == (unit, 7.5, -5)


@pytest.mark.parametrize(("per_unit", "unit"), [(300, "INCH"), (118, "CENTIMETER")])
def test_the_resolution_of_printers_is_kept_and_not_gone_by(per_unit, unit, caplog):
    resolution = (per_unit, per_unit)
    tifffile.imwrite("a.tif", VOLUME, photometric="minisblack", resolution=resolution, resolutionunit=unit)
    stack = Stack("a.tif")
    assert stack.pixel_size_nm is None
    assert "nm" not in caplog.text
    with tifffile.TiffFile(written(stack)[0]) as file:
        assert (file.pages[0].resolution, file.pages[0].resolutionunit.name) == (resolution, unit)


def test_mrc_keeps_axes_size_and_place():
    with mrcfile.new("a.mrc") as file:
        file.set_data(VOLUME.transpose(2, 1, 0).astype(np.int16))
        file.header.mapc, file.header.mapr, file.header.maps = 3, 2, 1
        file.header.mx, file.header.my, file.header.mz = 28, 20, 3
        file.voxel_size = (40, 50, 400)
        file.header.origin = (100, 200, 300)
    stack = Stack("a.mrc")
    assert stack._images.geometry.voxel == pytest.approx((40, 5, 4))
    with mrcfile.open(written(stack)[0]) as file:
        header = file.header
        assert (header.mapc, header.mapr, header.maps, header.mx, header.mz) == (3, 2, 1, 28, 3)
        assert file.voxel_size.tolist() == pytest.approx((40, 50, 400))
        assert header.origin.tolist() == (100, 200, 300)
        np.testing.assert_array_equal(file.data, VOLUME.transpose(2, 1, 0))


IMOD = 1146047817


@pytest.mark.parametrize(
    ("header", "flags", "place"),
    [
        ({"origin": (100, 0, 0)}, None, 10),
        ({"origin": (100, 0, 0)}, 4, 10),
        ({"origin": (100, 0, 0)}, 0, -10),
        ({"nxstart": 5}, None, 20),
        ({}, None, 0),
    ],
    ids=["MRC2014", "IMOD with the sign of MRC2014", "IMOD", "start in pixels", "none"],
)
def test_the_origin_of_mrc_has_the_sign_that_its_program_gives_it(header, flags, place):
    with mrcfile.new("a.mrc") as file:
        file.set_data(VOLUME.astype(np.int16))
        file.voxel_size = 40
        for name, value in header.items():
            setattr(file.header, name, value)
    if flags is not None:
        stamped("a.mrc", flags)
    assert open_stack("a.mrc").geometry["X"].in_nanometres().start == pytest.approx(place)


def stamped(path, flags):
    """With IMOD's stamp and flags in the header."""
    with Path(path).open("r+b") as file:
        file.seek(152)
        file.write(struct.pack("<ii", IMOD, flags))


def test_images_of_mrc_that_are_no_volume_have_no_distance():
    with mrcfile.new("a.mrc") as file:
        file.set_data(VOLUME.astype(np.int16))
        file.set_image_stack()
        file.voxel_size = 40
    assert open_stack("a.mrc").geometry.voxel == (None, pytest.approx(4), pytest.approx(4))


def imaris(shape=(5, 32, 32)):
    key = "DataSet/ResolutionLevel 0/TimePoint 0/Channel 0"
    text = {
        "ExtMin0": 1.0,
        "ExtMax0": 1.112,
        "ExtMin1": 0,
        "ExtMax1": 0.08,
        "ExtMin2": 0,
        "ExtMax2": 0.12,
        "Unit": "um",
    }
    padded = np.zeros(shape, np.uint8)
    padded[:3, :20, :28] = VOLUME
    with h5py.File("a.ims", "w") as file:
        group, image = file.create_group(key), file.create_group("DataSetInfo/Image")
        group.create_dataset("Data", data=padded, chunks=(5, 16, 16))
        for letter, side in zip("ZYX", VOLUME.shape, strict=True):
            group.attrs[f"ImageSize{letter}"] = np.frombuffer(str(side).encode(), "S1")
        for name, value in text.items():
            image.attrs[name] = np.frombuffer(str(value).encode(), "S1")
    return "a.ims", f"{key}/Data"


def test_the_padding_of_imaris_is_no_part_of_the_image():
    path, key = imaris()
    stack = Stack(path, images_key=key)
    np.testing.assert_array_equal(np.stack([each.read_image() for each in stack.unlabelled()]), VOLUME)
    assert stack._images.geometry.voxel == pytest.approx((40, 4, 4))
    again = open_masks(written(stack)[0], key=key)
    np.testing.assert_array_equal(np.stack(list(again)), VOLUME)
    assert again.geometry.voxel == pytest.approx((40, 4, 4))
    assert again.geometry["X"].in_nanometres().start == pytest.approx(1002)


def test_what_a_format_has_no_place_for_is_said(caplog):
    np.save("a.npy", VOLUME)
    written(Stack("a.npy", pixel_size_nm=4))
    assert "a_mask.npy: the format cannot store the size of a pixel" in caplog.text


# Folders of images


def folder(name, pixels, **options):
    Path("images").mkdir(exist_ok=True)
    tifffile.imwrite(f"images/{name}.tif", pixels, **options)
    return Folder("images")


def test_images_of_a_folder_keep_the_scale_of_each(caplog):
    for name, per_um in (("a", 250), ("b", 125)):
        domain = folder(name, VOLUME[0], imagej=True, resolution=(per_um, per_um), metadata={"unit": "um"})
    assert [section.pixel_size_nm for section in domain.unlabelled()] == pytest.approx([4, 8])
    assert "its pixels are 4 to 8 nm wide, as its files say" in caplog.text
    writer = domain.writer(Path())
    for index, section in enumerate(domain.unlabelled()):
        writer.write(index, section.name, VOLUME[0], VOLUME[0])
    for name, per_um in (("a", 250), ("b", 125)):
        with tifffile.TiffFile(f"{name}_mask.tif") as file:
            assert (file.pages[0].resolution, file.imagej_metadata["unit"]) == ((per_um, per_um), "um")


def test_a_pixel_size_that_contradicts_an_image_of_a_folder_is_refused_unless_it_overrides_it(caplog):
    folder("a", VOLUME[0], photometric="minisblack")
    folder("b", VOLUME[0], imagej=True, resolution=(250, 250), metadata={"unit": "um"})
    with pytest.raises(InputError, match=r"b.tif: states 4 nm, pixel_size_nm is 5; .*override_pixel_size"):
        Folder("images", pixel_size_nm=5)
    assert [each.pixel_size_nm for each in Folder("images", pixel_size_nm=4).unlabelled()] == pytest.approx([4, 4])
    domain = Folder("images", pixel_size_nm=5, override_pixel_size=True)
    assert [each.pixel_size_nm for each in domain.unlabelled()] == [5, 5]
    assert "its pixels are taken as 5 nm wide, though its files say 4" in caplog.text
    domain.writer(Path()).write(1, "b.tif", VOLUME[0], VOLUME[0])
    assert Folder(".").unlabelled()[0].pixel_size_nm == pytest.approx(5)


# The registry


def test_no_two_formats_have_an_ending_in_common():
    suffixes = [suffix for each in FORMATS for suffix in each.suffixes]
    assert len(suffixes) == len(set(suffixes))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("run.1", "run.1"), ("a.ome.zarr", "a"), ("a.zarr", "a"), ("a.ome.tif", "a"), ("a.b.tif", "a.b"), ("a.zip", "a"),
     ("a.zarr.zip", "a"), ("A.OME.TIF", "A"), ("a.png", "a"), ("a.tif[3]", "a.tif[3]")],
)  # fmt: skip
def test_the_stem_is_the_name_without_the_ending_of_its_format(name, expected):
    assert stem_of(Path(name)) == expected


def test_stores_without_an_ending_have_outputs_of_their_own():
    for name in ("run.1", "run.2"):
        zarr.create_array(name, data=VOLUME)
    paths = [StackFile(Path("out"), Path(name), None).paths([])[0].name for name in ("run.1", "run.2")]
    assert paths == ["run.1_mask.zarr", "run.2_mask.zarr"]
    assert Stack("run.1").name == "run.1"


@pytest.mark.parametrize("address", ["https://example.org/a.ome.zarr", "s3://bucket/a.zarr", "file:///tmp/a.zarr"])
def test_addresses_are_refused_as_such(address):
    for make in (Stack, Folder, open_masks):
        with pytest.raises(InputError, match=r"is an address; give a local copy"):
            make(address)
