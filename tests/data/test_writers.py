"""Stacks in every format and plane: what is read in a plane is written in it, also by a run that goes on."""

import numpy as np
import pytest

from bnadapt.data import Stack
from bnadapt.data.readers import open_masks
from tests.volumes.conftest import stored

FORMATS = [".zarr", ".ome.zarr", ".tif", ".h5", ".npy", ".mrc"]
TURNED = {"xy": (0, 1, 2), "xz": (1, 0, 2), "yz": (2, 0, 1)}
PIXELS = np.random.default_rng(0).integers(256, size=(5, 7, 9), dtype=np.uint8)


@pytest.mark.parametrize("plane", TURNED)
@pytest.mark.parametrize("extension", FORMATS)
def test_sections_of_a_plane_are_written_into_it_in_parts(tmp_path, extension, plane):
    key = "raw" if extension == ".h5" else None
    path = stored(tmp_path / f"volume{extension}", PIXELS, (1, 7, 9), (8.0, 8.0, 8.0))
    one = 257 if extension == ".mrc" else 1  # 16 bits, of which 65,535 is 1
    stack = Stack(str(path), images_key=key, plane=plane)
    sections = [section.read_image() for section in stack.unlabelled()]
    np.testing.assert_array_equal(sections, PIXELS.transpose(TURNED[plane]) * np.uint16(one))
    (tmp_path / "out").mkdir()
    for start, stop in ((0, 3), (3, len(sections))):
        writer = stack.writer(tmp_path / "out")
        writer.begin(len(sections))
        for index in range(start, stop):
            shown = (sections[index] // one).astype(np.uint8)
            writer.write(index, "", shown % 7, shown)
    writer.close()  # the first one was killed
    mask, probability = (open_masks(path, key=key) for path in writer.paths([]))
    np.testing.assert_array_equal(np.stack(list(mask)), PIXELS % 7)
    np.testing.assert_array_equal(np.stack(list(probability)), PIXELS * np.uint16(one))
