"""Shared parts of the panels."""

from collections.abc import Callable, Sequence

from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication, QTextOption
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from bnadapt.napari.command_lines import shown
from bnadapt.napari.inputs import Line

BOLD, WARNING = "font-weight: bold;", "color: #ffb454;"  # styles


class Commands(QWidget):
    """The equivalent command lines, to copy."""

    def __init__(self, title: str = "The same on the command line:") -> None:
        super().__init__()
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setMaximumHeight(84)
        self.text.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.text.setStyleSheet("font-family: monospace; font-size: 8pt;")
        self.text.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        copy = button("Copy", self.copy, "Copy these command lines")
        head = QHBoxLayout()
        head.addWidget(note(title), 1)
        head.addWidget(copy)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.addLayout(head)
        layout.addWidget(self.text)

    def show_lines(self, *lines: Line) -> None:
        """Show command lines."""
        self.text.setPlainText(shown(*lines))

    def copy(self) -> None:
        """Copy the command lines."""
        QGuiApplication.clipboard().setText(self.text.toPlainText())


def button(text: str, clicked: Callable[[], object], tip: str = "") -> QPushButton:
    """A button with an action."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.clicked.connect(lambda *_: clicked())
    return made


def choice() -> QComboBox:
    """A combo box as wide as the room allows, rather than its longest item."""
    made = QComboBox()
    made.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    made.setMinimumContentsLength(8)
    made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return made


def number(least: int, most: int, value: int, tip: str = "") -> QSpinBox:
    """A field for a whole number."""
    made = QSpinBox()
    made.setRange(least, most)
    made.setValue(value)
    made.setToolTip(tip)
    return made


def offer(box: QComboBox, items: Sequence[str], chosen: str) -> None:
    """Replace the items of a combo box without a signal; without the chosen one the first is chosen."""
    box.blockSignals(True)
    box.clear()
    box.addItems(items)
    box.setCurrentIndex(max(0, box.findText(chosen)))
    box.blockSignals(False)


def note(text: str = "", style: str = "") -> QLabel:
    """A paragraph."""
    made = QLabel(text)
    made.setStyleSheet(style)
    made.setWordWrap(True)
    made.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return made


def column(*parts: QWidget | QHBoxLayout, parent: QWidget) -> QVBoxLayout:
    """Parts below each other, with stretch at the end."""
    layout = QVBoxLayout(parent)
    for part in parts:
        layout.addLayout(part) if isinstance(part, QHBoxLayout) else layout.addWidget(part)
    layout.addStretch(1)
    return layout


def row(*parts: QWidget) -> QHBoxLayout:
    """Parts beside each other."""
    layout = QHBoxLayout()
    for part in parts:
        if isinstance(part, QLabel):
            part.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Preferred)
        layout.addWidget(part)
    return layout


def bullets(lines: Sequence[str]) -> str:
    """Lines as a list."""
    return "\n".join(f"• {line}" for line in lines)
