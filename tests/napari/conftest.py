"""A volume in a file, a viewer without a window, and the dock widget without a display."""

import os
import time
from dataclasses import replace

import numpy as np
import pytest
import tifffile

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from bnadapt.data import Synthetic
from bnadapt.napari.reader import layers_of

NOT_INSTALLED = "napari is not installed; pip install 'bnadapt[napari]'"
TARGET = Synthetic(size=48, images=6, object_size=12, mean=(0.4, 0.1), seed=9)  # of TARGET_ALONE


@pytest.fixture
def volume(tmp_path):
    """A stack of six sections in a TIFF file, whose pixels are 8 nm wide, 20 nm apart."""
    pixels = np.stack([section.read_image() for section in TARGET.labelled()])
    path = tmp_path / "volume.tif"
    stored = (pixels * 255).clip(0, 255).astype(np.uint8)
    resolution = {"resolution": (1 / 0.008, 1 / 0.008), "metadata": {"axes": "ZYX", "unit": "um", "spacing": 0.02}}
    tifffile.imwrite(path, stored, imagej=True, **resolution)
    return path


@pytest.fixture
def viewer(volume):
    """A model of a viewer with the volume as its layer `volume`."""
    components = pytest.importorskip("napari.components", reason=NOT_INSTALLED)
    model = components.ViewerModel()
    for layer in layers_of(volume):
        model._add_layer_from_data(*layer)
    return model


@pytest.fixture
def two_steps(monkeypatch):
    """Self-training in two steps."""
    from bnadapt.napari import looking

    options = (*looking.LEARNT.options[:-1], "2")
    monkeypatch.setattr(looking, "LEARNT", replace(looking.LEARNT, options=options))


@pytest.fixture
def app():
    """The application of Qt, which needs no display."""
    widgets = pytest.importorskip(
        "qtpy.QtWidgets", exc_type=ImportError, reason="Qt, or a library that it needs, is not installed"
    )
    return widgets.QApplication.instance() or widgets.QApplication([])


@pytest.fixture
def dock(app, viewer):
    """The dock widget."""
    from bnadapt.napari.widgets.dock import Dock

    made = Dock(viewer)
    yield made
    made.work.stop()
    waited(app, made)
    made.close()


@pytest.fixture
def wait(app, dock):
    """Waits for the work; gives what is said at its end."""
    return lambda: waited(app, dock)


def waited(app, dock, seconds=120):
    end = time.monotonic() + seconds
    while dock.work.is_running and time.monotonic() < end:
        app.processEvents()
        time.sleep(0.005)
    assert not dock.work.is_running
    return dock.work.message.text()
