"""The dock widget from opening a volume to its objects, without a display."""

import json

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("napari", reason="napari is not installed; pip install 'bnadapt[napari]'")

from bnadapt.data.readers import open_masks
from bnadapt.napari import overlays
from bnadapt.napari.overlays import CANDIDATE, CORRECTIONS, RESULT
from bnadapt.napari.view import View


@pytest.fixture
def chosen(dock, best):
    """The dock widget with network and image."""
    dock.network.checkpoint.setText(str(best))
    return dock


def test_the_whole_evening(chosen, viewer, wait, volume, two_steps):
    dock = chosen
    dock.network.check()
    assert "network and image" in wait() or "does not fit" in wait()
    assert "6 sections of 48 x 48 pixels, uint8" in dock.network.facts.text()
    assert "pixels of 8 nm, as its file says" in dock.network.facts.text()

    dock.look.tiles.setValue(6)
    dock.look.look()
    assert "Looked at 48 x 48 pixels; statistics of 6 tiles" in wait()
    candidates = overlays.of_kind(viewer, CANDIDATE)
    assert {"none", "adapted", "mixed", "full-resolution-mixed"} <= candidates.keys()
    assert candidates["adapted"].data.shape == (1, 48, 48)
    assert "adapt" in dock.look.advice.text().lower()
    dock.look.all.click()
    assert all(layer.visible for layer in candidates.values())

    dock.look.self_train()
    assert "Looked at 48 x 48 pixels" in wait()
    listed = [dock.look.candidates.item(row).text() for row in range(dock.look.candidates.count())]
    assert listed[-1].endswith("adapt all layers, then self-train")
    assert "--self_training 120" in dock.look.commands.text.toPlainText()
    assert overlays.of_kind(viewer, CANDIDATE)["self-trained"].visible

    dock.look.slider.setValue(50)
    until(dock, lambda: dock.session.weight == 0.5)
    assert dock.segment.networks.findText("source weight 0.50 (slider)") >= 0

    dock.correct.count.setValue(2)
    dock.correct.propose()
    assert wait().startswith("2 tiles")
    labels = overlays.of_kind(viewer, CORRECTIONS)[CORRECTIONS]
    for tile in dock.correct.tiles:
        area = (tile.region.section, slice(*tile.region.rows), slice(*tile.region.columns))
        labels.data[area] = 0
        labels.data[(*area[:1], slice(tile.region.rows[0], tile.region.rows[0] + 9), area[2])] = 1
    dock.correct.steps.setValue(2)
    dock.correct.finetune()
    assert "Segment offers the fine-tuned network" in wait()
    assert "Learnt from 2 tiles in 2 steps" in dock.correct.result.text()

    dock.segment.networks.setCurrentText("adapt all layers")
    dock.segment.segment_section()
    assert "foreground" in wait()
    section = overlays.of_kind(viewer, RESULT)["this section"].data[0]
    dock.segment.segment_volume()
    assert wait().startswith("Segmented into")
    folder = volume.parent / "volume-bnadapt" / "segmented-by-best-adapted"
    mask = open_masks(folder / "volume_mask.ome.zarr")
    number = View(viewer, viewer.layers["volume"]).section
    np.testing.assert_array_equal(mask[number] > 0, section > 0)
    assert mask.geometry.voxel == pytest.approx((20, 8, 8))

    dock.segment.min_size.setValue(5)
    dock.segment.find_objects()
    assert "Objects:" in wait()
    table = pd.read_csv(folder / "objects.csv")
    assert dock.segment.table.rowCount() == len(table) > 0
    assert table["voxels"].min() >= 5
    assert dock.segment.table.item(0, 1).text() == str(table["voxels"][0])
    dock.segment.table.selectRow(0)
    objects = overlays.of_kind(viewer, RESULT)["objects"]
    assert objects.selected_label == 1
    assert (objects.data == 1).sum() == table["voxels"][0]
    record = json.loads((folder.parent / "best-adapted.json").read_text())
    assert record["provenance"]["command"] == dock.segment.commands.text.toPlainText().splitlines()[0]


def test_a_work_has_one_bar_in_napari(dock, wait):
    bars = []

    def job(engine, watch):
        for _ in watch.shown("Counting")(range(4)):
            pass

    dock.work.reported.connect(lambda *_: bars.append(dock.work._shown))
    dock.work.start("Counting", job, lambda _: None)
    wait()
    assert len({id(bar) for bar in bars if bar is not None and bar.total == 4}) == 1


def until(dock, is_so, seconds=60):
    """Wait until something is so."""
    import time

    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not is_so() and time.monotonic() < end:
        QApplication.instance().processEvents()
        time.sleep(0.005)
    assert is_so()
