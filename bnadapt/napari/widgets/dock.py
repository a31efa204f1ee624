"""The dock widget: four steps, each usable alone, and below them the results' folder and the work."""

from napari.components import ViewerModel
from qtpy.QtWidgets import QCheckBox, QFileDialog, QLineEdit, QScrollArea, QTabWidget, QVBoxLayout, QWidget

from bnadapt.napari.widgets.correct import CorrectPanel
from bnadapt.napari.widgets.look import LookPanel
from bnadapt.napari.widgets.network import NetworkPanel
from bnadapt.napari.widgets.parts import button, note, row
from bnadapt.napari.widgets.segment import SegmentPanel
from bnadapt.napari.widgets.session import Session
from bnadapt.napari.widgets.work import Work


class Dock(QWidget):
    """Adapts a network to an image, and segments it.

    `napari_viewer` has the layers; a model without a window suffices.
    """

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self.work = Work()
        self.session = Session(napari_viewer, self.work)
        self.folder = QLineEdit()
        self.overwrite = QCheckBox("Replace earlier results (--overwrite)")
        self.session.choose_outputs = lambda: (self.folder.text().strip(), self.overwrite.isChecked())
        self.network = NetworkPanel(self.session)
        self.look = LookPanel(self.session)
        self.correct = CorrectPanel(self.session)
        self.segment = SegmentPanel(self.session)
        self.steps = QTabWidget()
        for title, panel in {
            "1 Network": self.network,
            "2 Look": self.look,
            "3 Correct": self.correct,
            "4 Segment": self.segment,
        }.items():
            area = QScrollArea()
            area.setWidgetResizable(True)
            area.setWidget(panel)
            self.steps.addTab(area, title)
        self.folder.setPlaceholderText("results: beside the image")
        self.folder.textChanged.connect(lambda *_: self.session.changed.emit())
        self.overwrite.toggled.connect(lambda *_: self.session.changed.emit())
        layout = QVBoxLayout(self)
        layout.addWidget(self.steps, 1)
        layout.addLayout(row(note("Results"), self.folder, button("…", self._browse, "Choose a folder")))
        layout.addWidget(self.overwrite)
        layout.addWidget(self.work)
        self.setMinimumWidth(430)
        self.work.running.connect(self._enable)
        self.work.running.connect(lambda is_running: is_running or self.session.changed.emit())
        self.session.changed.connect(self._say_folder)
        self.session.changed.emit()

    def _enable(self, is_running: bool) -> None:
        for each in (
            self.network.check_button,
            self.look.look_button,
            self.look.self_train_button,
            self.look.slider,
            self.correct.propose_button,
            self.correct.finetune_button,
            self.correct.compare_button,
            self.segment.section_button,
            self.segment.volume_button,
            self.segment.objects_button,
        ):
            each.setEnabled(not is_running)
        if not self.look.can_redraw:
            self.look.slider.setEnabled(False)

    def _say_folder(self) -> None:
        if self.session.facts:
            self.folder.setPlaceholderText(self.session.facts.folder)

    def _browse(self) -> None:
        if folder := QFileDialog.getExistingDirectory(self, "Results"):
            self.folder.setText(folder)
