"""The same picture is read alike however it is stored; what cannot be read is refused with the right reason."""

from functools import partial

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from bnadapt.data import Folder, Stack
from bnadapt.data.readers import open_stack, read_image, read_mask_values
from bnadapt.data.writers import ImageFiles
from bnadapt.errors import InputError
from tests.data.test_geometry import stamped

IMAGE = np.random.default_rng(0).integers(0, 256, (24, 32), dtype=np.uint8)
STACK = np.random.default_rng(1).integers(0, 256, (6, 24, 32), dtype=np.uint8)
GREYS = np.tile(np.arange(256, dtype=np.uint16)[::-1] * 257, (3, 1))
REDS = np.stack([np.arange(256, dtype=np.uint16) * 257, *np.zeros((2, 256), np.uint16)])
DEEP = IMAGE.astype(np.uint16) * 257
ALPHA = np.full_like(IMAGE, 9)


@pytest.fixture
def tiff(tmp_path):
    """Writes a TIFF file."""

    def write(pixels, name="image.tif", **options):
        tifffile.imwrite(tmp_path / name, pixels, **options)
        return tmp_path / name

    return write


@pytest.fixture
def png(tmp_path):
    """Writes a PNG file by PIL."""

    def write(image, name="image.png", **options):
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    ("pixels", "options", "expected"),
    [
        (255 - IMAGE, {"photometric": "miniswhite"}, IMAGE),
        (65535 - DEEP, {"photometric": "miniswhite"}, DEEP),
        (-1 - IMAGE.astype(np.int16), {"photometric": "miniswhite"}, IMAGE.astype(np.int16)),
        (IMAGE <= 128, {"photometric": "miniswhite"}, np.where(IMAGE > 128, 255, 0)),
        (IMAGE > 128, {"photometric": "minisblack"}, np.where(IMAGE > 128, 255, 0)),
        (255 - IMAGE, {"photometric": "palette", "colormap": GREYS}, IMAGE),
        (np.stack([IMAGE] * 3), {"photometric": "rgb", "planarconfig": "separate"}, IMAGE),
        (np.stack([IMAGE, ALPHA], -1), {"photometric": "minisblack", "extrasamples": ["assocalpha"]}, IMAGE),
        (np.stack([IMAGE] * 3 + [ALPHA], -1), {"photometric": "rgb", "extrasamples": ["unassalpha"]}, IMAGE),
        (IMAGE.astype(">u2"), {"byteorder": ">"}, IMAGE),
        (IMAGE[np.newaxis], {"imagej": True, "metadata": {"axes": "ZYX"}}, IMAGE),
        (IMAGE[np.newaxis, np.newaxis], {"imagej": True, "metadata": {"axes": "TCYX"}}, IMAGE),
    ],
)
def test_tiff_images_are_read_as_they_are_shown(tiff, pixels, options, expected):
    assert np.array_equal(read_image(tiff(pixels, **options)), expected)


def test_few_bits_of_a_tiff_fill_the_range_in_images_and_not_in_masks(tiff):
    pixels = IMAGE % 16
    path = tiff(pixels, bitspersample=4)
    assert np.array_equal(read_image(path), pixels * 17)
    assert np.array_equal(read_mask_values(path), pixels)


TURNED = {
    1: IMAGE,
    2: IMAGE[:, ::-1],
    3: IMAGE[::-1, ::-1],
    4: IMAGE[::-1],
    5: IMAGE.T,
    6: np.rot90(IMAGE, -1),
    7: IMAGE.T[::-1, ::-1],
    8: np.rot90(IMAGE),
}


@pytest.mark.parametrize("orientation", TURNED)
def test_turned_images_are_put_upright(tiff, png, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    for path in (
        tiff(IMAGE, extratags=[(274, "H", 1, orientation, True)]),
        png(Image.fromarray(IMAGE), exif=exif),
    ):
        assert np.array_equal(read_image(path), TURNED[orientation])
        assert np.array_equal(read_mask_values(path), TURNED[orientation])


@pytest.mark.parametrize(
    ("pixels", "options", "words"),
    [
        (np.stack([IMAGE] * 5, -1) + np.arange(5, dtype=np.uint8), {"planarconfig": "contig"}, "has 5 channels"),
        (IMAGE.astype(np.complex64), {}, "values of type complex64"),
        (IMAGE.astype(np.float32), {"photometric": "miniswhite"}, "white as zero"),
        (STACK, {"photometric": "minisblack"}, "6 sections instead of one image; give a stack"),
        (np.stack([STACK] * 2), {"imagej": True, "metadata": {"axes": "TZYX"}}, "2 times and 6 sections"),
    ],
)
def test_what_is_no_single_image_is_refused(tiff, pixels, options, words):
    with pytest.raises(InputError, match=words):
        read_image(tiff(pixels, **({"photometric": "minisblack"} | options)))


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "YCbCr"])
def test_other_ways_to_store_colours_are_refused_by_name(tmp_path, mode):
    Image.fromarray(np.stack([IMAGE, IMAGE // 2, 255 - IMAGE], -1)).convert(mode).save(tmp_path / "colours.tif")
    with pytest.raises(InputError, match="colours.tif: stores pixels as [A-Z]+; convert it to grey values or RGB"):
        read_image(tmp_path / "colours.tif")


def test_several_channels_come_last_and_are_left_to_the_network(tiff):
    two = np.stack([IMAGE, 255 - IMAGE])
    for path in (
        tiff(two, imagej=True, metadata={"axes": "CYX"}),
        tiff(np.moveaxis(two, 0, -1), "b.tif", photometric="minisblack", planarconfig="contig", extrasamples=[0]),
    ):
        assert np.array_equal(read_image(path), np.moveaxis(two, 0, -1))


def test_a_file_of_several_series_is_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "two.tif") as writer:
        writer.write(IMAGE)
        writer.write(IMAGE[::2, ::2])
    for read in (read_image, open_stack):
        with pytest.raises(InputError, match=r"holds 2 series .*\(12, 16\)"):
            read(tmp_path / "two.tif")


def test_of_a_pyramid_the_full_resolution_is_read(tmp_path):
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as writer:
        writer.write(IMAGE, subifds=1)
        writer.write(IMAGE[::2, ::2], subfiletype=1)
    assert np.array_equal(read_image(tmp_path / "pyramid.tif"), IMAGE)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("imagej.tif", {"imagej": True, "metadata": {"axes": "ZYX"}}),
        ("ome.ome.tif", {"metadata": {"axes": "ZYX"}}),
        ("shaped.tif", {"photometric": "minisblack"}),
        ("packed.tif", {"photometric": "minisblack", "compression": "zlib"}),
        ("pages.tif", {"photometric": "minisblack", "metadata": None}),
    ],
)
@pytest.mark.parametrize("share", [0.25, 0.5, 0.7])
def test_a_cut_stack_is_refused_wherever_it_ends(tiff, name, options, share):
    path = tiff(STACK, name, **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    for read in (open_stack, read_image):
        with pytest.raises(InputError, match="again"):
            read(path)


def test_pages_lost_at_a_border_of_pages_are_missed(tmp_path):
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as writer:
        for section in STACK:
            writer.write(section, contiguous=False, metadata=None, photometric="minisblack")
    with tifffile.TiffFile(path) as file:
        border = file.pages[3].offset
    path.write_bytes(path.read_bytes()[:border])
    with pytest.raises(InputError, match="pages.tif: is incomplete or damaged"):
        open_stack(path)


@pytest.mark.parametrize(
    ("image", "options", "expected"),
    [
        (Image.fromarray(np.stack([IMAGE, ALPHA], -1)), {}, IMAGE),
        (Image.fromarray(np.stack([IMAGE] * 3 + [ALPHA], -1)), {}, IMAGE),
        (Image.fromarray(DEEP), {}, DEEP),
        (Image.fromarray(IMAGE > 128), {}, np.where(IMAGE > 128, 255, 0)),
        (Image.fromarray(IMAGE), {"transparency": 7}, IMAGE),
    ],
)
def test_png_images_are_read_as_they_are_shown(png, image, options, expected):
    assert np.array_equal(read_image(png(image, **options)), expected)


def indexed(values, colours):
    """An image of mode P whose values index colours."""
    image = Image.fromarray(values, mode="P")
    image.putpalette(colours + [0] * (768 - len(colours)))
    return image


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_indexed_png_is_shown_in_colour_as_an_image_and_its_indices_are_a_mask(png, bits):
    values = IMAGE % 3
    path = png(indexed(values, [0, 0, 0, 200, 200, 200, 9, 9, 9]), bits=bits)
    assert np.array_equal(read_image(path), np.choose(values, [0, 200, 9]))
    assert np.array_equal(read_mask_values(path), values)


def test_an_indexed_tiff_mask_gives_its_indices(tiff):
    assert np.array_equal(read_mask_values(tiff(IMAGE % 3, photometric="palette", colormap=REDS)), IMAGE % 3)


def test_colours_of_16_bit_are_not_cut_to_8(tmp_path):
    import imagecodecs

    deep = np.stack([DEEP, DEEP // 3, 65535 - DEEP], -1)
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(deep))
    assert np.array_equal(read_image(tmp_path / "deep.png"), deep)


def test_a_png_of_several_images_and_another_format_under_its_name_are_refused(png, tmp_path):
    path = png(Image.fromarray(IMAGE), save_all=True, append_images=[Image.fromarray(255 - IMAGE)])
    with pytest.raises(InputError, match="holds 2 images"):
        read_image(path)
    Image.fromarray(IMAGE).save(tmp_path / "photo.png", format="JPEG")
    with pytest.raises(InputError, match="photo.png: cannot be read as an image"):
        read_image(tmp_path / "photo.png")


@pytest.mark.parametrize(
    ("dtype", "top"), [(np.uint8, 255), (np.uint16, 255), (np.uint16, 65535), (np.float32, 255), (bool, 1)]
)
def test_masks_of_two_values_in_any_type(tmp_path, tiff, top, dtype):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    mask = IMAGE > 128
    tiff(IMAGE, "images/a.tif")
    tiff(mask if dtype is bool else (mask * top).astype(dtype), "masks/a.tif")
    (section,) = Folder(str(tmp_path / "images"), str(tmp_path / "masks")).labelled()
    assert np.array_equal(section.read_mask(), mask)


@pytest.mark.parametrize(
    ("mask", "options"),
    [
        (IMAGE > 128, {}),  # tifffile stores truth values with white as zero
        (np.where(IMAGE > 128, 255, 0).astype(np.uint8), {"imagej": True, "photometric": "miniswhite"}),
    ],
    ids=["1 bit", "ImageJ's inverting LUT"],
)
def test_masks_with_white_as_zero_of_programs_whose_objects_are_black(tiff, mask, options, caplog):
    assert np.array_equal(read_mask_values(tiff(mask, **options)) > 0, IMAGE > 128)
    assert "holds masks that store white as zero; pixels above 0 (black) are foreground" in caplog.text


@pytest.mark.parametrize("mask", [np.where(IMAGE > 128, 0, 255).astype(np.uint8), IMAGE > 128])
def test_masks_with_white_as_zero_that_leave_the_foreground_open_are_refused(tiff, mask):
    path = tiff(mask, photometric="miniswhite", software="other")
    with pytest.raises(InputError, match="stores white as zero, so it is ambiguous whether black or white is"):
        read_mask_values(path)


MASK = np.where(IMAGE > 128, 255, 0).astype(np.uint8)
WHITE, BLACK = np.full_like(MASK, 255), np.zeros_like(MASK)
TRANSPARENT = {
    "white": [WHITE, WHITE, WHITE, MASK],
    "black": [BLACK, BLACK, BLACK, MASK],
    "grey": [WHITE, MASK],
    "white on black": [MASK, MASK, MASK, MASK],
    "opaque": [MASK, MASK, MASK, WHITE],
}


def with_alpha(path, samples):
    """A picture of 8 bits, in one of the ways in which programs store it."""
    import imagecodecs

    pixels = np.stack(samples, -1)
    if path.name == "deep.png":
        path.write_bytes(imagecodecs.png_encode(pixels.astype(np.uint16) * 257))
    elif path.suffix == ".png":
        Image.fromarray(pixels).save(path)
    else:
        planes = {"pixels": (pixels, "contig"), "planes": (np.stack(samples), "separate")}[path.stem]
        photometric = "rgb" if len(samples) == 4 else "minisblack"
        options = {"photometric": photometric, "planarconfig": planes[1], "extrasamples": ["unassalpha"]}
        tifffile.imwrite(path, planes[0], **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "deep.png", "pixels.tif", "planes.tif"])
@pytest.mark.parametrize("samples", TRANSPARENT.values(), ids=TRANSPARENT)
def test_transparent_pixels_of_masks_are_background(tmp_path, name, samples, caplog):
    found = read_mask_values(with_alpha(tmp_path / name, samples))
    assert np.array_equal(found > 0, MASK > 0)
    assert found.shape == MASK.shape
    is_used = samples[-1] is MASK
    assert ("holds masks with transparent pixels, which are read as background" in caplog.text) == is_used


@pytest.mark.parametrize("name", ["a.png", "deep.png", "pixels.tif", "planes.tif"])
def test_masks_that_are_transparent_in_part_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="is a mask with partly transparent pixels"):
        read_mask_values(with_alpha(tmp_path / name, [WHITE, WHITE, WHITE, MASK // 2]))


@pytest.mark.parametrize("stored", ["RGB", "L"])
def test_grey_images_among_images_in_colour_have_as_many_channels(tmp_path, png, stored):
    shifted = np.stack([IMAGE, np.roll(IMAGE, 1, 0), IMAGE], -1)
    for index in range(3):
        grey = Image.fromarray(IMAGE if stored == "L" else np.stack([IMAGE] * 3, -1))
        png(grey if index == 1 else Image.fromarray(shifted), f"{index}.png")
    images = [section.read_image() for section in Folder(str(tmp_path)).all_sections()]
    for index, image in enumerate(images):
        assert np.array_equal(image, np.stack([IMAGE] * 3, -1) if index == 1 else shifted)


def test_grey_sections_among_sections_in_colour_have_as_many_channels(tmp_path):
    colours = np.random.default_rng(0).integers(255, size=(20, 8, 9, 3), dtype=np.uint8)
    colours[0] = colours[0, ..., :1]
    np.save(tmp_path / "a.npy", colours)
    assert np.array_equal(np.stack(list(open_stack(tmp_path / "a.npy"))), colours)


def test_a_section_in_colour_among_many_grey_ones_is_refused(tmp_path):
    colours = np.repeat(np.random.default_rng(0).integers(255, size=(40, 8, 9, 1), dtype=np.uint8), 3, axis=3)
    colours[3, ..., 0] += 1
    np.save(tmp_path / "a.npy", colours)
    stack = open_stack(tmp_path / "a.npy")
    assert stack[0].shape == (8, 9)
    with pytest.raises(InputError, match="section 3 has colours, others have grey values only"):
        stack[3]


@pytest.mark.parametrize("classes", [[], ["a"], ["a", "b", "a"], [str(number) for number in range(256)]])
def test_classes_that_masks_cannot_have_are_refused(tmp_path, tiff, classes):
    tiff(np.zeros((4, 5), np.uint8))
    np.save(tmp_path / "s.npy", STACK)
    for domain in (partial(Folder, str(tmp_path)), partial(Stack, str(tmp_path / "s.npy"))):
        with pytest.raises(InputError, match="classes are .*; give 2 to 255 different names"):
            domain(classes=classes)


def test_a_mask_in_colours_is_refused(tmp_path, tiff):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    tiff(IMAGE, "images/a.tif")
    tiff(np.stack([IMAGE, 0 * IMAGE, 0 * IMAGE], -1), "masks/a.tif", photometric="rgb")
    with pytest.raises(InputError, match="a.tif: is a mask in colours"):
        Folder(str(tmp_path / "images"), str(tmp_path / "masks")).labelled()[0].read_mask()


COLOURS = [[0, 0, 0], [255, 0, 0], [0, 0, 255]]


def coloured(tmp_path, mask, **options):
    """A folder of one image and its mask in colours."""
    for name, pixels in (("images", IMAGE), ("masks", mask)):
        (tmp_path / name).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name / "a.png")
    folders = str(tmp_path / "images"), str(tmp_path / "masks")
    return Folder(*folders, classes=["background", "axon", "myelin"], **options)


def test_masks_in_colours_are_read_by_their_colours(tmp_path):
    classes = IMAGE % 3
    domain = coloured(tmp_path, np.asarray(COLOURS, np.uint8)[classes], colours=COLOURS)
    assert np.array_equal(domain.labelled()[0].read_mask(), classes)


def test_colours_that_mean_no_class_are_refused(tmp_path):
    blended = np.full((*IMAGE.shape, 3), (127, 0, 0), np.uint8)
    with pytest.raises(InputError, match=r"colour \[127, 0, 0\], which is not one of `colours`"):
        coloured(tmp_path, blended, colours=COLOURS).labelled()[0].read_mask()
    with pytest.raises(InputError, match="2 colours for 3 classes"):
        coloured(tmp_path, blended, colours=COLOURS[:2])
    grey = [[0, 0, 0, 0]] * 3
    with pytest.raises(InputError, match="has 3 colour channels"):
        coloured(tmp_path, blended, colours=grey).labelled()[0].read_mask()


@pytest.mark.parametrize("extension", [".jpg", ".JPEG"])
def test_jpeg_images_are_read_and_jpeg_masks_refused(tmp_path, extension):
    smooth = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))
    path = tmp_path / f"a{extension}"
    Image.fromarray(smooth).save(path, format="JPEG", quality=95)
    assert np.abs(read_image(path).astype(int) - smooth).max() <= 4
    Image.fromarray(np.stack([smooth] * 3, -1)).save(path, format="JPEG", quality=95)
    assert read_image(path).shape == smooth.shape
    with pytest.raises(InputError, match="is a mask in JPEG"):
        read_mask_values(path)
    assert [each.suffix for each in ImageFiles(tmp_path).paths([path.name])] == [".png", ".png"]


# Stacks


def zarr_group(path, version, axes, levels):
    """An OME-Zarr image."""
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    for name, data in levels.items():
        group.create_array(name, data=data)
    datasets = [{"path": name} for name in levels]
    multiscales = [{"version": version, "axes": [{"name": axis} for axis in axes], "datasets": datasets}]
    group.attrs.update({"multiscales": multiscales} if version == "0.4" else {"ome": {"multiscales": multiscales}})


def write_stack(path, kind, stack=STACK):
    """The stack in a file or folder of that kind; gives its path and key."""
    key = None
    if kind == "npy":
        np.save(path := path / "s.npy", stack)
    elif kind == "fortran npy":
        np.save(path := path / "s.npy", np.asfortranarray(stack).astype(">u2"))
    elif kind == "mrc":
        with mrcfile.new(path := path / "s.mrc") as file:
            file.set_data(stack.astype(np.int16))
    elif kind == "zip":
        with zarr.storage.ZipStore(path := path / "s.zip", mode="w") as store:
            zarr.create_array(store, data=stack)
    elif kind == "sharded zarr":
        zarr.create_array(
            path := path / "s.zarr", shape=stack.shape, dtype="u1", chunks=(1, 12, 16), shards=(2, 24, 32)
        )[:] = stack
    elif kind == "ome 0.4":
        zarr_group(
            path := path / "s.zarr", "0.4", "tczyx", {"0": stack[None, None], "1": stack[None, None, :, ::2, ::2]}
        )
    elif kind == "ome 0.5":
        zarr_group(path := path / "s.zarr", "0.5", "zyx", {"s0": stack})
    elif kind == "hdf5 (1, Z, Y, X, 1)":
        key = "raw"
        with h5py.File(path := path / "s.h5", "w") as store:
            store[key] = stack[None, ..., None]
    elif kind == "hdf5 link":
        key = "raw"
        with h5py.File(path := path / "s.h5", "w") as store:
            store["inside"], store[key] = stack, h5py.SoftLink("/inside")
    elif kind == "three sections by tifffile":
        tifffile.imwrite(path := path / "s.tif", stack[:3])
    elif kind == "grey stack in colours":
        tifffile.imwrite(path := path / "s.tif", np.stack([stack] * 3, -1), photometric="rgb")
    elif kind == "white is zero":
        tifffile.imwrite(path := path / "s.tif", 255 - stack, photometric="miniswhite")
    return path, key


KINDS = [
    "npy",
    "fortran npy",
    "mrc",
    "zip",
    "sharded zarr",
    "ome 0.4",
    "ome 0.5",
    "hdf5 (1, Z, Y, X, 1)",
    "hdf5 link",
    "three sections by tifffile",
    "grey stack in colours",
    "white is zero",
]


@pytest.mark.parametrize("kind", KINDS)
def test_stacks_of_many_formats(tmp_path, kind):
    sections = open_stack(*write_stack(tmp_path, kind))
    assert len(sections) == (3 if "three" in kind else 6)
    assert sections.shape[1:3] == (24, 32)
    assert np.array_equal(sections[2], STACK[2])


def test_a_level_of_ome_zarr_may_be_chosen(tmp_path):
    path, _ = write_stack(tmp_path, "ome 0.4")
    assert np.array_equal(open_stack(path, "1")[3], STACK[3, ::2, ::2])


def test_channels_of_a_stack_come_last(tmp_path):
    zarr_group(tmp_path / "s.zarr", "0.4", "czyx", {"0": np.stack([STACK, 255 - STACK])})
    sections = open_stack(tmp_path / "s.zarr")
    assert sections.shape == (6, 24, 32, 2)
    assert np.array_equal(sections[4][..., 1], 255 - STACK[4])


@pytest.mark.parametrize(
    ("axes", "data", "words"),
    [
        ("tzyx", np.stack([STACK, STACK]), "2 times and 6 sections, and at most one of them can be sections"),
        ("zyx", STACK[:, :0], "no pixels"),
    ],
)
def test_axes_that_are_too_many_or_empty_are_refused(tmp_path, axes, data, words):
    zarr_group(tmp_path / "s.zarr", "0.4", axes, {"0": data})
    with pytest.raises(InputError, match=words):
        open_stack(tmp_path / "s.zarr")


PAIRS = np.zeros((3, 4, 4), [("first", "f4"), ("second", "f4")])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (PAIRS, "values of type"),
        (STACK * 1j, "values of type complex"),
        (["a", "b"], "values of type object"),
        (3.0, r"the shape \(\) and so no pixels"),
        (np.zeros((0, 4, 4)), "no pixels"),
        (np.zeros(9), r"shape \(9,\); a stack is \(sections"),
        (np.zeros((3, 2, 24, 32)), "has 32 channels, but at most 4"),
        (h5py.ExternalLink("gone.h5", "/x"), "'raw'"),
        (h5py.SoftLink("/gone"), "'raw'"),
        (h5py.Empty("f4"), "no pixels"),
    ],
)
def test_hdf5_arrays_that_are_no_stack_are_refused(tmp_path, content, words):
    with h5py.File(tmp_path / "s.h5", "w") as store:
        store["raw"] = content
    with pytest.raises(InputError, match=words):
        open_stack(tmp_path / "s.h5", "raw")


def test_formats_that_are_not_read_are_named(tmp_path):
    n5 = tmp_path / "s.n5"
    n5.mkdir()
    (n5 / "attributes.json").write_text('{"n5": "2.0.0"}')
    (tmp_path / "s.nii").write_bytes(b"something")
    np.savez(tmp_path / "s.npz", raw=STACK)
    np.save(tmp_path / "objects.npy", np.array([object()]), allow_pickle=True)
    for name, words in (
        ("s.n5", "is an N5 container"),
        ("s.nii", "a format that is not supported; convert it to one of multi-page TIFF"),
        ("s.npz", "a format that is not supported"),
        (".", "a folder, but not a Zarr store"),
        ("objects.npy", "cannot be read"),
    ):
        with pytest.raises(InputError, match=words) as refused:
            open_stack(tmp_path / name)
        assert "copy it again" not in str(refused.value) or name == "objects.npy"


@pytest.mark.parametrize("kind", ["npy", "mrc", "sharded zarr"])
def test_stacks_cut_short_are_refused(tmp_path, kind):
    path, _ = write_stack(tmp_path, kind)
    file = path if path.is_file() else sorted(each for each in (path / "c").rglob("*") if each.is_file())[-1]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(InputError, match="again"):
        np.stack([open_stack(path)[index] for index in range(6)])


@pytest.mark.parametrize("kind", ["zarr", "hdf5"])
def test_chunks_that_are_not_stored_are_counted(tmp_path, caplog, kind):
    if kind == "zarr":
        zarr.create_array(tmp_path / "s.zarr", shape=STACK.shape, dtype="u1", chunks=(2, 12, 16))[:] = STACK + 1
        next(file for file in sorted((tmp_path / "s.zarr" / "c").rglob("*")) if file.is_file()).unlink()
        open_stack(tmp_path / "s.zarr")
        assert "1 of 12 chunks are not stored" in caplog.text
    else:
        with h5py.File(tmp_path / "s.h5", "w") as store:
            store.create_dataset("raw", shape=STACK.shape, dtype="u1", chunks=(2, 12, 16))[:4] = STACK[:4]
        open_stack(tmp_path / "s.h5", "raw")
        assert "4 of 12 chunks are not stored" in caplog.text


def mrc_of_bytes(path, pixels, flags=None, **header):
    """Bytes, with IMOD's stamp and flags where they are given."""
    with mrcfile.new(path) as file:
        file.set_data(pixels.view(np.int8))
        for name, value in header.items():
            setattr(file.header, name, value)
    if flags is not None:
        stamped(path, flags)
    return path


SMOOTH = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (3, 24, 1))  # without sign, it jumps with one
SIGNED = (SMOOTH.astype(int) - 128).astype(np.int8)
UNSTATED = {"dmin": 0, "dmax": -1}


@pytest.mark.parametrize(
    ("pixels", "flags", "header", "is_said"),
    [
        (SMOOTH, 0, {}, False),
        (SIGNED, 1, {}, False),
        (SMOOTH, None, {}, True),
        (SMOOTH, None, UNSTATED, True),
        (SIGNED, None, UNSTATED, True),
        (SMOOTH // 2, None, {}, False),
    ],
    ids=["unsigned by IMOD", "signed by IMOD", "unsigned", "unsigned, no range", "signed, no range", "up to 127"],
)
def test_bytes_of_mrc_have_the_sign_that_is_stated_or_seen(tmp_path, pixels, flags, header, is_said, caplog):
    found = np.stack(list(open_stack(mrc_of_bytes(tmp_path / "a.mrc", pixels, flags, **header))))
    assert found.dtype == pixels.dtype or pixels.max() < 128
    assert np.array_equal(found, pixels)
    assert ("does not state whether its bytes have a sign" in caplog.text) == is_said


def test_bytes_of_mrc_that_are_noise_go_by_the_stated_range(tmp_path):
    noise = np.random.default_rng(0).integers(256, size=(3, 40, 40)).astype(np.uint8)
    for name, greatest, dtype in (("a", 255, np.uint8), ("b", 127, np.int8)):
        path = mrc_of_bytes(tmp_path / f"{name}.mrc", noise, dmin=0, dmax=greatest)
        assert open_stack(path)[0].dtype == dtype


@pytest.mark.parametrize("value", [1, 255])
def test_bytes_of_mrc_masks_have_no_sign(tmp_path, value):
    np.save(tmp_path / "a.npy", SMOOTH)
    mrc_of_bytes(tmp_path / "masks.mrc", (SMOOTH > 99) * np.uint8(value))
    masks = [each.read_mask() for each in Stack(str(tmp_path / "a.npy"), str(tmp_path / "masks.mrc")).labelled()]
    assert np.array_equal(masks, SMOOTH > 99)


def test_a_stack_of_masks_keeps_its_values(tmp_path, tiff):
    images, masks = (
        tiff(STACK, photometric="minisblack"),
        tiff(STACK % 3, "masks.tif", photometric="palette", colormap=REDS),
    )
    domain = Stack(str(images), str(masks), classes=["a", "b", "c"])
    assert np.array_equal(domain.labelled()[2].read_mask(), STACK[2] % 3)


# Names of files


def test_hidden_files_and_those_of_other_systems_are_left_out(tmp_path, tiff):
    for name in ("a.tif", "b.tif"):
        tiff(IMAGE, name)
    for name in ("._a.tif", ".hidden.tif", "~b.tif", "Thumbs.db", ".DS_Store"):
        (tmp_path / name).write_bytes(b"nothing to see")
    (tmp_path / "folder.tif").mkdir()
    assert [section.name for section in Folder(str(tmp_path)).unlabelled()] == ["a.tif", "b.tif"]


def test_names_in_different_unicode_forms_are_paired(tmp_path, tiff):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    tiff(IMAGE, "images/Scha\u0308del.tif")
    tiff(IMAGE // 255, "masks/Sch\u00e4del.tif")
    assert len(Folder(str(tmp_path / "images"), str(tmp_path / "masks")).labelled()) == 1


def test_digits_that_are_no_numbers_are_letters(tmp_path, tiff):
    for name in ("3²0.tif", "٣.tif", "3²1.tif"):
        tiff(IMAGE, name)
    assert len(Folder(str(tmp_path)).unlabelled()) == 3


def test_ome_tiff_images_go_with_masks_of_their_name(tmp_path, tiff):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    tiff(IMAGE, "images/a.ome.tif", metadata={"axes": "YX"})
    tiff(IMAGE // 255, "masks/a.tif")
    assert len(Folder(str(tmp_path / "images"), str(tmp_path / "masks")).labelled()) == 1


@pytest.mark.parametrize("names", [("{}", "{}_mask"), ("img_{}", "mask_{}"), ("{}", "{}-labels"), ("{}", "{}_gt")])
def test_masks_among_the_images_are_refused_with_counts(tmp_path, tiff, names):
    for index in range(3):
        tiff(IMAGE, f"{names[0].format(index)}.tif")
        tiff(IMAGE, f"{names[1].format(index)}.tif")
    with pytest.raises(InputError, match="3 of 6 images are named like masks"):
        Folder(str(tmp_path))


@pytest.mark.parametrize(
    ("image", "mask", "pair"),
    [
        ("{}.tif", "{}_mask.tif", "*_mask"),
        ("{}.tif", "mask_{}.tif", "mask_*"),
        ("{}.tif", "seg.{}(1).tif", "seg.*(1)"),
        ("image_{}.tif", "mask_{}.tif", "image_*:mask_*"),
        ("raw{}b.tif", "{}_gt.tif", "raw*b:*_gt"),
    ],
)
@pytest.mark.parametrize("masks", [".", "masks"])
def test_masks_are_found_by_the_pattern_of_their_names(tmp_path, tiff, image, mask, pair, masks):
    (tmp_path / "masks").mkdir()
    for index in range(3):
        tiff(IMAGE, image.format(index))
        tiff(np.full_like(IMAGE, index % 2), f"{masks}/{mask.format(index)}")
    domain = Folder(str(tmp_path), str(tmp_path / masks), pair=pair)
    assert [section.name for section in domain.labelled()] == [image.format(index) for index in range(3)]
    assert [section.read_mask().max() for section in domain.labelled()] == [0, 1, 0]
    assert not domain.unlabelled()


def test_images_and_masks_are_paired_by_order_where_that_is_asked_for(tmp_path, tiff, caplog):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for index in range(11):
        tiff(IMAGE, f"images/z{index}.tif")
        tiff(np.full_like(IMAGE, index % 2), f"masks/label {index + 90}.tif")
    folders = [str(tmp_path / "images"), str(tmp_path / "masks")]
    with pytest.raises(InputError, match=r"label 100.tif: no image of that name .* \*_mask, mask_\* or order"):
        Folder(*folders)
    domain = Folder(*folders, pair="order")
    assert [section.read_mask().max() for section in domain.labelled()] == [index % 2 for index in range(11)]
    assert "11 images and masks are paired by order: z0.tif with label 90.tif, z1.tif with label 91.tif" in caplog.text
    (tmp_path / "masks" / "label 95.tif").unlink()
    with pytest.raises(InputError, match="holds 10 masks for 11 images; give as many"):
        Folder(*folders, pair="order")


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("name", "both images and masks, so set pair to"),
        ("order", "both images and masks, so set pair to"),
        ("*_seg", r"no masks with names \(without their endings\) like"),
        ("mask", "pair is 'mask'; give name, order, or a pattern"),
        ("*_*", "pair is"),
    ],
)
def test_pairs_that_cannot_be_told_are_refused(tmp_path, tiff, pair, words):
    tiff(IMAGE, "0.tif")
    tiff(IMAGE // 255, "0_mask.tif")
    with pytest.raises(InputError, match=words):
        Folder(str(tmp_path), str(tmp_path), pair=pair)


def test_images_without_a_mask_are_counted(tmp_path, tiff, caplog):
    (tmp_path / "masks").mkdir()
    for index in range(4):
        tiff(IMAGE, f"{index}.tif")
    tiff(IMAGE // 255, "masks/0.tif")
    Folder(str(tmp_path), str(tmp_path / "masks"))
    assert "3 of 4 images have no mask, such as 1.tif; they count as unlabelled" in caplog.text


def test_pages_that_were_written_one_by_one_are_the_sections(tmp_path):
    volume = np.random.default_rng(0).integers(255, size=(5, 20, 30), dtype=np.uint8)
    with tifffile.TiffWriter(tmp_path / "loop.tif") as file:
        for section in volume:
            file.write(section, photometric="minisblack")
    for section in volume:
        tifffile.imwrite(tmp_path / "append.tif", section, append=True, photometric="minisblack")
    for name in ("loop.tif", "append.tif"):
        stack = open_stack(tmp_path / name)
        assert stack.shape == volume.shape
        np.testing.assert_array_equal(stack[3], volume[3])


def test_a_png_that_is_too_large_is_refused_with_a_remedy(monkeypatch):
    Image.new("1", (40, 40)).save("large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(InputError, match="large.png: has more than the 0 Mpixel that are read of PNG; save it as TIFF"):
        read_image("large.png")
