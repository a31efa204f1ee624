"""Draw the dock widget's four steps, as docs/napari.png: `python -m docs.napari_picture best.ckpt volume.tif`.

It needs the extra `napari`, and no display. The picture in the tree is that of the tutorial's network and volume.
"""

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from napari.components import ViewerModel
from napari.qt import get_stylesheet
from PIL import Image
from qtpy.QtGui import QColor, QImage, QPainter
from qtpy.QtWidgets import QApplication

from bnadapt.napari.reader import layers_of
from bnadapt.napari.widgets.dock import Dock

PATH = Path(__file__).with_name("napari.png")
SIZE, GAP, COLOURS = (430, 720), 12, 256  # pixels of a step, and between two; colours in all


def main(checkpoint: str, image: str) -> None:
    """Go through the steps, and draw each."""
    app = QApplication.instance() or QApplication([])
    app.setStyleSheet(get_stylesheet("light"))
    viewer = ViewerModel()
    for layer in layers_of(image):
        viewer._add_layer_from_data(*layer)
    dock = Dock(viewer)
    dock.resize(*SIZE)
    dock.show()
    dock.network.checkpoint.setText(checkpoint)
    steps = [dock.network.check, dock.look.look, dock.correct.propose, dock.segment.segment_volume]
    whole = QImage(len(steps) * (SIZE[0] + GAP) - GAP, SIZE[1], QImage.Format.Format_RGB32)
    whole.fill(QColor("white"))
    for number, step in enumerate(steps):
        _done(app, dock, step)
        if step == dock.segment.segment_volume:
            _done(app, dock, dock.segment.find_objects)
        dock.steps.setCurrentIndex(number)
        _laid_out(app)
        painter = QPainter(whole)
        painter.drawPixmap(number * (SIZE[0] + GAP), 0, dock.grab())
        painter.end()
    whole.save(str(PATH))
    with Image.open(PATH) as picture:
        fewer = picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE)
    fewer.save(PATH, optimize=True)


def _laid_out(app: QApplication) -> None:
    """Wait until labels have the height of their text."""
    for _ in range(5):
        app.processEvents()
        time.sleep(0.05)


def _done(app: QApplication, dock: Dock, step: object) -> None:
    step()
    while dock.work.is_running:
        app.processEvents()
        time.sleep(0.01)


if __name__ == "__main__":
    main(*sys.argv[1:])
