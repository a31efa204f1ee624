"""Step 2: a region under every candidate, the recommendation, and a slider over the source's weight."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Labels, Shapes
from napari.utils.events import Event
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QCheckBox, QLabel, QListWidget, QListWidgetItem, QSlider, QWidget

from bnadapt.napari import overlays
from bnadapt.napari.command_lines import adapt_line, preview_line, recommend_line
from bnadapt.napari.inputs import SELF_TRAINED, Facts
from bnadapt.napari.overlays import CANDIDATE, DISAGREEMENT, KIND, WEIGHTED
from bnadapt.napari.results import Advice, Look, Region
from bnadapt.napari.view import View
from bnadapt.napari.watch import Watch
from bnadapt.napari.widgets.parts import BOLD, WARNING, Commands, button, choice, column, note, number, offer, row
from bnadapt.napari.widgets.session import Session

SHOWN_AT_FIRST = ("none", "full-resolution-mixed")  # the checkpoint as it is, and the default of `adapt`
VIEW = "the middle of the view"


class LookPanel(QWidget):
    """Step 2: look at a region."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.where = choice()
        tip = "Tiles of the whole image that statistics are estimated on: more are slower and surer"
        self.tiles = number(2, 512, session.tiles, tip)
        self.look_button = button("Look", self.look, "Segment the region in every way, and recommend one")
        tip = (
            "Adapt all layers, let the network learn from its confident predictions of the image, and show the result"
            " with the others. Half a minute for a small network; Segment offers it, too."
        )
        self.self_train_button = button("Self-train and look", self.self_train, tip)
        self.all = QCheckBox("Show all")
        self.all.setTristate(False)
        self.candidates = QListWidget()
        self.candidates.setMinimumHeight(190)
        self.candidates.setWordWrap(True)
        self.candidates.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.disagreement = QCheckBox("Show where they disagree (bright)")
        self.advice, self.warnings = note(style=BOLD), note(style=WARNING)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, 100)
        self.slider.setEnabled(False)
        self.weight = QLabel("")
        self.commands = Commands()
        explained = note("Segments a small region in every way that the statistics of the image can be used.")
        draw = button("Draw a rectangle", self.draw_rectangle, "Add a layer to draw rectangles on")
        column(
            explained,
            row(QLabel("Region"), self.where),
            row(draw, QLabel("Tiles"), self.tiles),
            row(self.look_button, self.self_train_button),
            row(QLabel("Contours, with the share of foreground"), self.all),
            self.candidates,
            self.disagreement,
            self.advice,
            self.warnings,
            note("All layers adapted, mixed with the source's statistics:"),
            row(QLabel("image"), self.slider, QLabel("source"), self.weight),
            self.commands,
            parent=self,
        )
        self._look: Look | None = None
        self._is_redrawing = False
        self.candidates.itemChanged.connect(self._toggle)
        self.all.clicked.connect(self._toggle_all)
        self.disagreement.clicked.connect(lambda on: overlays.set_visible(session.viewer, DISAGREEMENT, on))
        self.slider.valueChanged.connect(self.redraw)
        for event in (session.viewer.layers.events.inserted, session.viewer.layers.events.removed):
            event.connect(self._list_regions)
        self._list_regions()
        self.tiles.valueChanged.connect(session.take_tiles)
        session.changed.connect(self._show_commands)
        self._show_commands()

    @property
    def can_redraw(self) -> bool:
        """Whether there is a region for the slider."""
        return self._look is not None

    def look(self) -> None:
        """Segment the region under every candidate, then recommend one."""
        self._start("Looking", lambda looker, watch, facts: None)

    def self_train(self) -> None:
        """Let the network learn from the image, and look."""
        outputs = self.session.outputs_of

        def learn(looker: Any, watch: Watch, facts: Facts) -> None:
            looker.self_train(outputs(facts), watch)

        self._start("Self-training", learn)

    def _start(self, what: str, before: Callable[[Any, Watch, Facts], None]) -> None:
        """Look at the region in a thread, and do something before."""
        if not self.session.is_ready():
            return
        view = replace(self.session.view, plane=self.session.inputs.plane)
        region = self._region(view)

        def job(engine: Any, watch: Watch, facts: Facts) -> tuple[Look, Advice]:
            looker = self.session.looker
            if looker is None or looker.inputs != facts.inputs:
                looker = engine.Looker.of(facts.inputs, watch)
            before(looker, watch, facts)
            look = looker.look(region, watch)
            self.session.looker = looker
            return look, looker.advice_or_reason(watch)

        def done(result: tuple[Look, Advice]) -> str:
            look, advice = result
            overlays.show_look(view, look, {*SHOWN_AT_FIRST, SELF_TRAINED, advice.choice})
            self._show(look, advice)
            height, width = look.region.size
            needs = sorted(set(look.left_out.values()))
            left_out = f" Left out for want of {' and '.join(needs)}: {', '.join(look.left_out)}." if needs else ""
            return f"Looked at {height} x {width} pixels; statistics of {look.tiles} tiles.{left_out}"

        self.session.start(what, job, done)

    def redraw(self) -> None:
        """Segment the region at the slider's weight, in a thread; the last value counts."""
        weight = self.slider.value() / 100
        self.weight.setText(f"{weight:.2f}")
        if self._is_redrawing or self._look is None or self.session.work.is_running:
            return
        self._is_redrawing = True
        looker, view, region = self.session.looker, self.session.view, self._look.region
        from napari.qt.threading import create_worker

        def drawn(classes: np.ndarray) -> None:
            self._is_redrawing = False
            overlays.show_weighted(view, region, classes)
            self.session.weight = weight
            self.session.changed.emit()
            if self.slider.value() != round(100 * weight):
                self.redraw()

        worker = create_worker(looker.weighted, weight, _start_thread=False)
        worker.returned.connect(drawn)
        worker.errored.connect(lambda _: setattr(self, "_is_redrawing", False))
        worker.start()

    def draw_rectangle(self) -> None:
        """Select the tool for rectangles, in a new layer if there is none."""
        viewer = self.session.viewer
        shapes = next((each for each in viewer.layers if _is_for_regions(each)), None)
        if shapes is None:
            layer = self.session.layer or next(iter(viewer.layers), None)
            like = {"ndim": 2} if layer is None else {"ndim": layer.ndim, **View(viewer, layer).placement}
            shapes = viewer.add_shapes(
                name="region to look at", edge_color="cyan", face_color="transparent", edge_width=3, **like
            )
        viewer.layers.selection.active = shapes
        shapes.mode = "add_rectangle"
        self.where.setCurrentText(shapes.name)

    def _region(self, view: View) -> Region:
        name = self.where.currentText()
        shapes = [each for each in view.viewer.layers if each.name == name and isinstance(each, Shapes)]
        return (view.drawn(shapes[0]) if shapes else None) or view.region

    def _show(self, look: Look, advice: Advice) -> None:
        self._look = look
        self.candidates.blockSignals(True)
        self.candidates.clear()
        layers = overlays.of_kind(self.session.viewer, CANDIDATE)
        for place, name in enumerate(look.classes):
            mark = _mark(name, advice)
            text = f"{look.foreground(name):.1%}   {mark}{look.titles[name]}"
            item = QListWidgetItem(_icon(overlays.colour_of(place)), text)
            font = item.font()
            font.setBold(bool(mark))
            item.setFont(font)
            item.setData(Qt.ItemDataRole.UserRole, name)
            item.setCheckState(Qt.CheckState.Checked if layers[name].visible else Qt.CheckState.Unchecked)
            item.setToolTip(f"{name}: share of the region that is predicted as foreground")
            self.candidates.addItem(item)
            layers[name].events.visible.connect(self._follow)
        self.candidates.blockSignals(False)
        if SELF_TRAINED in look.classes:
            self.candidates.scrollToBottom()
        self.advice.setText(advice.sentence)
        self.warnings.setText("\n".join(advice.warnings))
        self.slider.setEnabled(True)

    def _follow(self, event: Event) -> None:
        """Tick what the list of layers shows."""
        layer: Labels = event.source
        for item in self._items():
            if item.data(Qt.ItemDataRole.UserRole) == layer.metadata[overlays.NAME]:
                item.setCheckState(Qt.CheckState.Checked if layer.visible else Qt.CheckState.Unchecked)

    def _toggle(self, item: QListWidgetItem) -> None:
        layer = overlays.of_kind(self.session.viewer, CANDIDATE).get(item.data(Qt.ItemDataRole.UserRole))
        if layer is not None:
            layer.visible = item.checkState() == Qt.CheckState.Checked

    def _toggle_all(self, on: bool) -> None:
        overlays.set_visible(self.session.viewer, CANDIDATE, on)
        overlays.set_visible(self.session.viewer, WEIGHTED, on)

    def _items(self) -> list[QListWidgetItem]:
        return [*map(self.candidates.item, range(self.candidates.count()))]

    def _list_regions(self, *_: object) -> None:
        names = [each.name for each in self.session.viewer.layers if _is_for_regions(each)]
        offer(self.where, [VIEW, *names], self.where.currentText())

    def _show_commands(self) -> None:
        inputs, outputs, facts = self.session.inputs, self.session.outputs, self.session.facts
        lines = [preview_line(inputs, outputs), recommend_line(inputs, outputs)]
        if facts:
            treatment = facts.treatment(SELF_TRAINED)
            lines.append(adapt_line(inputs, treatment, outputs.checkpoint(inputs, treatment)))
        self.commands.show_lines(*lines)


def _mark(name: str, advice: Advice) -> str:
    if name == advice.choice:
        return "recommended: "
    return "expected to gain more: " if name == SELF_TRAINED and advice.self_training else ""


def _is_for_regions(layer: object) -> bool:
    return isinstance(layer, Shapes) and KIND not in layer.metadata


def _icon(colour: str) -> QIcon:
    square = QPixmap(14, 14)
    square.fill(QColor(colour))
    return QIcon(square)
