"""Step 4: a section, the whole image, and its objects."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from qtpy.QtWidgets import QAbstractItemView, QLabel, QTableWidget, QTableWidgetItem, QWidget

from bnadapt.napari import overlays
from bnadapt.napari.command_lines import adapt_line, objects_line, predict_line
from bnadapt.napari.inputs import AS_IT_IS, Facts, Line, Treatment, weighted
from bnadapt.napari.results import Region
from bnadapt.napari.view import View
from bnadapt.napari.watch import Watch
from bnadapt.napari.widgets.parts import Commands, button, choice, column, note, number, offer, row
from bnadapt.napari.widgets.session import Session

FINETUNED = Treatment("finetuned", "the fine-tuned network (step 3)")
OBJECTS = "objects"
MOST_ROWS = 5000  # rows of the table shown
FIRST = ["object", "voxels", "volume_nm3", "pixels", "area_nm2", "mean_probability", "class"]  # columns


class SegmentPanel(QWidget):
    """Step 4: segment."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.networks = choice()
        self.section_button = button("This section", self.segment_section, "Segment the section that is shown")
        self.volume_button = button(
            "The whole image", self.segment_volume, "Segment all sections into files; what is stopped goes on later"
        )
        self.min_size = number(0, 10**9, 50)
        self.objects_button = button("Objects", self.find_objects, "Number the objects of the whole image")
        self.table = QTableWidget()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setMinimumHeight(260)
        self.table.verticalHeader().setVisible(False)
        self.table.itemSelectionChanged.connect(self._go_to_object)
        self.commands = Commands()
        column(
            note("Segments with the network as you choose it. Files are those of the command line."),
            row(QLabel("Network"), self.networks),
            row(self.section_button, self.volume_button),
            row(self.objects_button, QLabel("of at least"), self.min_size, QLabel("voxels")),
            self.table,
            note("Click a row to go to the object, or an object to find its row."),
            self.commands,
            parent=self,
        )
        self._objects: Any = None
        self._known: list[Treatment] = []
        self.networks.currentIndexChanged.connect(lambda *_: self._show_commands())
        self.min_size.valueChanged.connect(lambda *_: self._show_commands())
        session.changed.connect(self._refresh)
        self._refresh()

    @property
    def treatment(self) -> Treatment:
        """The chosen treatment; the unchanged network before anything is known of it."""
        place = self.networks.currentIndex()
        return self._known[place] if 0 <= place < len(self._known) else AS_IT_IS

    def segment_section(self) -> None:
        """Segment the visible section, in memory."""
        view, network = replace(self.session.view, plane=self.session.inputs.plane), self._network()
        section = view.section if self.session.is_ready() else 0

        def job(engine: Any, watch: Watch, facts: Facts) -> Any:
            return engine.section(facts.inputs, network(engine, watch, facts), section, watch)

        def done(segmented: Any) -> str:
            region = Region(section, *((0, side) for side in segmented.classes.shape))
            overlays.show_result(view, "this section", segmented.classes, region)
            return f"{segmented.name}: {(segmented.classes > 0).mean():.1%} foreground. Only the network was written."

        self.session.start("Segmenting the section", job, done)

    def segment_volume(self) -> None:
        """Segment all sections into files, and show the mask."""
        network, outputs = self._network(), self.session.outputs_of

        def job(engine: Any, watch: Watch, facts: Facts) -> tuple[str, Any]:
            folder = engine.volume(facts.inputs, network(engine, watch, facts), outputs(facts), watch)
            return folder, engine.classes_in(folder)

        def done(result: tuple[str, Any]) -> str:
            folder, classes = result
            overlays.show_result(self.session.view, "segmentation", classes)
            return f"Segmented into {folder}."

        self.session.start("Segmenting", job, done)

    def find_objects(self) -> None:
        """Number the objects of the segmentation, and show their table."""
        chosen, outputs, least = self._choice(), self.session.outputs_of, self.min_size.value()

        def job(engine: Any, watch: Watch, facts: Facts) -> Any:
            given = chosen(facts)
            path = given if isinstance(given, str) else outputs(facts).checkpoint(facts.inputs, given)
            folder = outputs(facts).segmented(path)
            return engine.objects(folder, not facts.inputs.is_folder, outputs(facts).overwrite, least)

        def done(result: Any) -> str:
            table, labels, sentences = result
            self._show_objects(table, labels)
            return "\n".join(sentences)

        self.session.start("Finding objects", job, done)

    def _network(self) -> Any:
        """A function that returns the path of the chosen network, adapted if need be."""
        chosen, outputs = self._choice(), self.session.outputs_of

        def network(engine: Any, watch: Watch, facts: Facts) -> str:
            given = chosen(facts)
            return given if isinstance(given, str) else engine.adapted(facts.inputs, given, outputs(facts), watch)

        return network

    def _choice(self) -> Callable[[Facts], Treatment | str]:
        """The chosen treatment (the first one if nothing is known of the network), or a checkpoint."""
        treatment, finetuned, is_known = self.treatment, self.session.finetuned, bool(self._known)
        if treatment is FINETUNED:
            return lambda facts: finetuned
        return lambda facts: treatment if is_known else facts.treatments[0]

    def _show_objects(self, table: Any, labels: Any) -> None:
        self.table.blockSignals(True)
        shown = table[sorted(table.columns, key=_place_of)].head(MOST_ROWS)
        self.table.setRowCount(len(shown))
        self.table.setColumnCount(len(shown.columns))
        self.table.setHorizontalHeaderLabels(list(map(str, shown.columns)))
        for line, values in enumerate(shown.itertuples(index=False)):
            for place, value in enumerate(values):
                text = f"{value:.5g}" if isinstance(value, float) else str(value)
                self.table.setItem(line, place, QTableWidgetItem(text))
        self.table.resizeColumnsToContents()
        self.table.blockSignals(False)
        self._objects = table
        if labels is None:
            return
        features = table.rename(columns={"object": "index"})
        layer = overlays.show_result(self.session.view, OBJECTS, labels, features=features)
        layer.mouse_drag_callbacks.append(self._clicked)

    def _clicked(self, layer: Any, event: Any) -> None:
        """Select the row of the clicked object."""
        value = layer.get_value(
            event.position, view_direction=event.view_direction, dims_displayed=event.dims_displayed, world=True
        )
        value = value[1] if isinstance(value, tuple) else value
        if value and value <= self.table.rowCount():
            self.table.selectRow(int(value) - 1)

    def _go_to_object(self) -> None:
        rows = {index.row() for index in self.table.selectedIndexes()}
        layer = overlays.of_kind(self.session.viewer, overlays.RESULT).get(OBJECTS)
        if len(rows) != 1 or layer is None:
            return
        row_of = self._objects.iloc[rows.pop()]
        layer.selected_label = int(row_of["object"])
        spans = {axis: (int(row_of[f"first_{axis}"]), int(row_of[f"last_{axis}"]) + 1) for axis in ("row", "column")}
        first, last = row_of.get("first_section", 0), row_of.get("last_section", 0)
        middle = int(np.round((first + last) / 2))
        View(self.session.viewer, layer).go_to(Region(middle, spans["row"], spans["column"]))

    def _refresh(self) -> None:
        """Offer what the network allows."""
        offered = self.session.treatments
        if offered and self.session.weight is not None:
            offered = [*offered, weighted(self.session.weight)]
        if offered and self.session.finetuned:
            offered = [*offered, FINETUNED]
        if offered != self._known:
            now = "" if self.treatment == AS_IT_IS else self.treatment.title
            self._known = offered
            offer(self.networks, [each.title for each in offered], now)
        self._show_commands()

    def _show_commands(self) -> None:
        inputs, outputs, treatment = self.session.inputs, self.session.outputs, self.treatment
        lines: list[Line] = []
        path = self.session.finetuned if treatment is FINETUNED else outputs.checkpoint(inputs, treatment)
        if treatment.adapts:
            lines.append(adapt_line(inputs, treatment, path))
        lines.append(predict_line(inputs, path, outputs))
        least = self.min_size.value()
        lines.append(objects_line(outputs.segmented(path), not inputs.is_folder, outputs.overwrite, least))
        self.commands.show_lines(*lines)


def _place_of(name: str) -> int:
    """Position of a column; the most useful ones come first."""
    return FIRST.index(name) if name in FIRST else len(FIRST)
