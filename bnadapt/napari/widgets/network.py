"""Step 1: a network and an image, and what is known about them."""

from pathlib import Path

from napari.layers import Image
from qtpy.QtWidgets import QDoubleSpinBox, QFileDialog, QFormLayout, QLineEdit, QWidget

from bnadapt.errors import InputError
from bnadapt.napari.command_lines import preview_line
from bnadapt.napari.inputs import Facts, Inputs
from bnadapt.napari.overlays import KIND
from bnadapt.napari.reader import FILE, KEY
from bnadapt.napari.widgets.parts import WARNING, Commands, bullets, button, choice, column, note, offer, row
from bnadapt.napari.widgets.session import Session

PLANES = {"xy": "xy, as taken", "xz": "xz", "yz": "yz"}


class NetworkPanel(QWidget):
    """Step 1: choose a network and an image."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        session.choose = self.chosen
        self.checkpoint = QLineEdit()
        self.checkpoint.setPlaceholderText("a checkpoint of bnadapt: best.ckpt, or of bnadapt import")
        self.layers = choice()
        self.pixel_size = QDoubleSpinBox()
        self.pixel_size.setRange(0, 1e6)
        self.pixel_size.setDecimals(3)
        self.pixel_size.setSuffix(" nm")
        self.pixel_size.setSpecialValueText("as the file says")
        self.plane = choice()
        for name, title in PLANES.items():
            self.plane.addItem(title, name)
        self.index = QLineEdit()
        self.index.setPlaceholderText("only for files with more axes, such as T=0, C=1")
        self.facts = note("Choose a network and an image, then check them. Nothing is run yet.")
        self.warnings = note(style=WARNING)
        self.check_button = button("Check", self.check, "See what the two files say, and whether they fit")
        self.commands = Commands("A page of small regions, on the command line:")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Network", _line(self.checkpoint, button("…", self._browse, "Choose a file")))
        form.addRow("Image", self.layers)
        form.addRow("Pixel size", self.pixel_size)
        form.addRow("Sections", self.plane)
        form.addRow("Other axes", self.index)
        fields = QWidget()
        fields.setLayout(form)
        column(fields, self.check_button, self.facts, self.warnings, self.commands, parent=self)
        viewer = session.viewer
        viewer.layers.events.inserted.connect(self._list_layers)
        viewer.layers.events.removed.connect(self._list_layers)
        self._list_layers()
        for changed in (self.checkpoint.textChanged, self.index.textChanged):
            changed.connect(lambda *_: session.changed.emit())
        for changed in (self.layers.currentIndexChanged, self.plane.currentIndexChanged, self.pixel_size.valueChanged):
            changed.connect(lambda *_: session.changed.emit())
        session.changed.connect(self._show)

    def chosen(self) -> Inputs:
        """The choice; refuses if something is missing, or the layer has no file."""
        name = self.layers.currentText()
        if not self.checkpoint.text():
            raise InputError("Step 1: choose the checkpoint of a network.")
        if not name or name not in self.session.viewer.layers:
            raise InputError("Step 1: open an image (File > Open), and choose its layer.")
        layer = self.session.layer = self.session.viewer.layers[name]
        size = self.pixel_size.value() or None
        return Inputs(
            self.checkpoint.text().strip(),
            file_of(layer),
            layer.metadata.get(KEY),
            size,
            self.plane.currentData(),
            index_in(self.index.text()),
            tiles=self.session.tiles,
        )

    def check(self) -> None:
        """Examine the two files."""
        self.session.start("Checking", lambda engine, watch, facts: facts, self._checked)

    def _checked(self, facts: Facts) -> str:
        if facts.warnings:
            return "Checked: see what does not fit, above."
        return "Checked: network and image fit. Go on with Look, or with Segment."

    def _show(self) -> None:
        inputs = self.session.inputs
        self.commands.show_lines(preview_line(inputs, self.session.outputs))
        facts = self.session.facts
        if facts is None or facts.inputs != inputs:
            return
        self.facts.setText(f"Network\n{bullets(facts.network)}\nImage\n{bullets(facts.image)}")
        self.warnings.setText("\n".join(facts.warnings))

    def _list_layers(self, *_: object) -> None:
        """Offer all images that are not results."""
        now = self.layers.currentText()
        names = [
            each.name for each in self.session.viewer.layers if isinstance(each, Image) and KIND not in each.metadata
        ]
        offer(self.layers, names, now)
        if now != self.layers.currentText():
            self.session.changed.emit()

    def _browse(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Network", self.checkpoint.text(), "Checkpoints (*.ckpt)")
        if path:
            self.checkpoint.setText(path)


def file_of(layer: Image) -> str:
    """The file of a layer; refuses a layer without one."""
    path = layer.metadata.get(FILE) or layer.source.path
    if not path or not Path(path).exists():
        raise InputError(
            f"{layer.name}: is in no file, and files are what is read; save the layer (File > Save Selected Layers) as"
            " .ome.zarr or .tif, and open that."
        )
    return str(path)


def index_in(text: str) -> tuple[tuple[str, int], ...]:
    """Single indices of axes, written as T=0, C=1."""
    try:
        pairs = [part.split("=") for part in text.replace(" ", "").split(",") if part]
        return tuple((axis, int(number)) for axis, number in pairs)
    except ValueError as error:
        raise InputError(f"Other axes: {text!r} is not understood; write T=0, C=1.") from error


def _line(*parts: QWidget) -> QWidget:
    made = QWidget()
    layout = row(*parts)
    layout.setContentsMargins(0, 0, 0, 0)
    made.setLayout(layout)
    return made
