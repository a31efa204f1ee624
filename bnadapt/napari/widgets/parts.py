"""Parts that panels have in common."""

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
    QVBoxLayout,
    QWidget,
)

from bnadapt.napari.inputs import Line, shown


class Commands(QWidget):
    """The command lines that do the same, to copy.

    Args:
        title: what stands above them.
    """

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
        """Copy what is shown."""
        QGuiApplication.clipboard().setText(self.text.toPlainText())


def button(text: str, clicked: Callable[[], object], tip: str = "") -> QPushButton:
    """A button that does something."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.clicked.connect(lambda *_: clicked())
    return made


def choice() -> QComboBox:
    """A choice that is as wide as there is room, and not as its longest item."""
    made = QComboBox()
    made.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    made.setMinimumContentsLength(8)
    made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return made


def note(text: str = "") -> QLabel:
    """A paragraph."""
    made = QLabel(text)
    made.setWordWrap(True)
    made.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return made


def column(*parts: QWidget | QHBoxLayout, parent: QWidget) -> QVBoxLayout:
    """Parts below each other; what is left is below them."""
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
