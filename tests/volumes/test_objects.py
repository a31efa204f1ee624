"""Objects that are found section by section are those that scikit-image finds in the whole volume."""

import tracemalloc

import numpy as np
import pytest
from skimage.measure import label, regionprops_table

from bnadapt.data.geometry import Voxel
from bnadapt.errors import InputError
from bnadapt.volumes.objects import component_labels, find_objects, object_labels
from bnadapt.volumes.objects_table import section_table, volume_table

SHAPES = [(6, 9, 11), (1, 8, 8), (5, 1, 7), (7, 1, 1), (4, 30, 30)]


def random_volume(shape, classes=2, seed=0, background=0.6):
    generator = np.random.default_rng(seed)
    shares = [background, *[(1 - background) / (classes - 1)] * (classes - 1)]
    return generator.choice(classes, shape, p=shares).astype(np.uint8), generator.random(shape)


def same_partition(one, other):
    """Whether two label images differ by the numbers of their objects alone."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return all(len(np.unique(row)) == pairs.shape[1] for row in pairs)


def labelled(volume, objects, connectivity):
    return np.stack(list(object_labels((component_labels(each, connectivity) for each in volume), objects)))


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("connectivity", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("background", [0.3, 0.6, 0.9])
def test_a_volume_has_the_objects_that_it_has_as_a_whole(shape, connectivity, classes, background):
    volume, probability = random_volume(shape, classes, background=background)
    objects = find_objects(zip(volume, probability, strict=True), 3, connectivity)
    own = labelled(volume, objects, connectivity)
    assert same_partition(own, label(volume, background=0, connectivity=connectivity))
    table = volume_table(objects.regions, Voxel(40.0, 4.0, 4.0))
    properties = ("label", "area", "bbox", "centroid", "intensity_mean")
    whole = regionprops_table(own, probability, properties=properties, spacing=(40.0, 4.0, 4.0))
    assert table["object"].tolist() == whole["label"].tolist()
    np.testing.assert_array_equal(table["voxels"] * 640, whole["area"])
    np.testing.assert_allclose(table["volume_nm3"], whole["area"])
    np.testing.assert_allclose(table["mean_probability"], whole["intensity_mean"])
    for axis, name in enumerate("zyx"):
        np.testing.assert_allclose(table[f"centroid_{name}_nm"], whole[f"centroid-{axis}"], atol=1e-9)
    for axis, name in enumerate(("section", "row", "column")):
        np.testing.assert_array_equal(table[f"first_{name}"], whole[f"bbox-{axis}"])
        np.testing.assert_array_equal(table[f"last_{name}"] + 1, whole[f"bbox-{axis + 3}"])
    classes_of = [volume[own == number].tolist() for number in table["object"]]
    assert [set(each) for each in classes_of] == [{number} for number in table["class"]]


@pytest.mark.parametrize("connectivity", [1, 2])
def test_sections_for_themselves_have_the_objects_of_each(connectivity):
    volume, probability = random_volume((5, 20, 17), 3)
    objects = find_objects(zip(volume, probability, strict=True), 2, connectivity)
    own = labelled(volume, objects, connectivity)
    table = section_table(objects.regions, Voxel(y=4.0, x=4.0), ())
    for index, section in enumerate(volume):
        assert same_partition(own[index], label(section, background=0, connectivity=connectivity))
        rows = table[table["section"] == index].sort_values("object")
        whole = regionprops_table(
            own[index], probability[index], properties=("label", "area", "centroid", "intensity_mean"), spacing=4.0
        )
        np.testing.assert_array_equal(rows["object"], whole["label"])
        np.testing.assert_allclose(rows["area_nm2"], whole["area"])
        np.testing.assert_allclose(rows["centroid_y_nm"], whole["centroid-0"])
        np.testing.assert_allclose(rows["centroid_x_nm"], whole["centroid-1"])
        np.testing.assert_allclose(rows["mean_probability"], whole["intensity_mean"])


def test_an_object_may_part_and_meet_again():
    volume = np.zeros((5, 3, 9), np.uint8)
    volume[0, 1, :] = volume[4, 1, :] = 1
    volume[1:4, 1, [0, 4, 8]] = 1
    objects = find_objects(((each, None) for each in volume), 3, 1)
    assert objects.regions.pixels.tolist() == [volume.sum()]
    apart = find_objects(((each, None) for each in volume[1:4]), 3, 1)
    assert apart.regions.pixels.tolist() == [3, 3, 3]


def test_small_objects_are_left_out_and_counted():
    volume, _ = random_volume((6, 20, 20))
    objects = find_objects(((each, None) for each in volume), 3, 1)
    large = objects.of_size(4)
    sizes = objects.regions.pixels
    assert large.left_out == (sizes < 4).sum() > 0
    assert large.regions.pixels.tolist() == sizes[sizes >= 4].tolist()
    own = labelled(volume, large, 1)
    assert np.bincount(own.ravel())[1:].tolist() == large.regions.pixels.tolist()
    twice = large.of_size(6)
    assert twice.left_out == (sizes < 6).sum()
    assert np.bincount(labelled(volume, twice, 1).ravel())[1:].tolist() == sizes[sizes >= 6].tolist()


def test_rows_are_in_the_order_of_class_section_row_and_column():
    volume, _ = random_volume((4, 12, 12), 3)
    table = volume_table(find_objects(((each, None) for each in volume), 3, 1).regions, Voxel())
    keys = ["class", "first_section", "first_row", "first_column"]
    np.testing.assert_array_equal(table[keys], table.sort_values(keys, kind="stable")[keys])


@pytest.mark.parametrize(
    ("voxel", "units"),
    [
        (Voxel(), ["voxels", "centroid_z_sections", "centroid_y_px", "centroid_x_px"]),
        (Voxel(y=4.0, x=4.0), ["voxels", "centroid_z_sections", "centroid_y_nm", "centroid_x_nm"]),
        (Voxel(40.0), ["voxels", "centroid_z_nm", "centroid_y_px", "centroid_x_px"]),
        (Voxel(40.0, 4.0, 4.0), ["voxels", "volume_nm3", "centroid_z_nm", "centroid_y_nm", "centroid_x_nm"]),
    ],
)
def test_columns_say_their_units(voxel, units):
    volume = np.zeros((3, 4, 4), np.uint8)
    volume[1, 2, 3] = 1
    table = volume_table(find_objects(((each, None) for each in volume), 3, 1).regions, voxel)
    assert [name for name in table if name in units] == units
    assert [name for name in table if name.startswith(("centroid", "volume"))] == units[1:]
    place = {"z": 1 * (voxel.spacing_nm or 1), "y": 2 * (voxel.pixel_size_nm or 1), "x": 3 * (voxel.pixel_size_nm or 1)}
    assert {name.split("_")[1]: table[name][0] for name in table if name.startswith("centroid")} == place


def test_memory_holds_no_more_than_a_few_sections():
    side = 200

    def sections(count):
        for index in range(count):
            section = np.zeros((side, side), np.uint8)
            section[50:150, 50:150] = 1
            section[index % side] = 0
            yield section, np.full((side, side), 0.5)

    def peak(count):
        tracemalloc.start()
        find_objects(sections(count), 3, 3)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2)
    assert peak(100) < 1.2 * peak(5)


def test_sections_of_different_sizes_are_no_volume():
    sections = [(np.ones((4, 5), np.uint8), None), (np.ones((4, 6), np.uint8), None)]
    with pytest.raises(InputError, match=r"section 1 has the size \(4, 6\), the one before \(4, 5\)"):
        find_objects(sections, 3, 1)
    assert find_objects(sections, 2, 1).regions.pixels.tolist() == [20, 24]
