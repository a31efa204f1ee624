"""Step 3, optional: tiles to correct, and learning from them."""

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QListWidget, QListWidgetItem, QWidget

from bnadapt.napari import overlays
from bnadapt.napari.command_lines import finetune_line, propose_line, recommend_line
from bnadapt.napari.inputs import Facts
from bnadapt.napari.results import Advice, ProposedTile
from bnadapt.napari.watch import Watch
from bnadapt.napari.widgets.parts import BOLD, Commands, button, column, note, number, row
from bnadapt.napari.widgets.session import Session

HOW = (
    "1. Propose tiles: the ones on which the candidates disagree most.\n"
    "2. Click a tile to go there. The layer 'correct here' begins with what the network predicts: paint what is missing"
    " (label 1), erase what is wrong.\n"
    "3. Tick the tile when it is right: then all of it counts, background too."
)


class CorrectPanel(QWidget):
    """Step 3: correct tiles."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.tiles: list[ProposedTile] = []
        self.count = number(1, 100, 5)
        tip = "Steps of the optimizer, at most; with three tiles or more, tiles that are left out decide"
        self.steps = number(1, 10000, 100, tip)
        self.list = QListWidget()
        self.list.setMaximumHeight(130)
        self.list.itemClicked.connect(self._go_to)
        self.propose_button = button("Propose tiles", self.propose, "Choose the tiles that are most worth correcting")
        self.finetune_button = button("Fine-tune", self.finetune, "Learn from the corrected tiles (minutes)")
        self.compare_button = button(
            "Which candidate is best on them?", self.compare, "Score every candidate on the corrected tiles; needs two"
        )
        self.result = note(style=BOLD)
        self.commands = Commands()
        column(
            note(HOW),
            row(QLabel("Tiles"), self.count, self.propose_button),
            self.list,
            row(QLabel("Steps"), self.steps, self.finetune_button),
            self.compare_button,
            self.result,
            self.commands,
            parent=self,
        )
        for spin in (self.count, self.steps):
            spin.valueChanged.connect(lambda *_: self._show_commands())
        session.changed.connect(self._show_commands)
        self._show_commands()

    def propose(self) -> None:
        """Propose tiles, and show them for painting."""
        count, outputs = self.count.value(), self.session.outputs_of

        def job(engine: Any, watch: Watch, facts: Facts) -> list[ProposedTile]:
            return engine.proposed(facts.inputs, count, outputs(facts), watch)

        def done(tiles: list[ProposedTile]) -> str:
            self.tiles = tiles
            overlays.show_tiles(self.session.view, tiles)
            self._list()
            return f"{len(tiles)} tiles, in {self.session.outputs.proposed}."

        self.session.start("Proposing tiles", job, done)

    def finetune(self) -> None:
        """Learn from the corrected tiles."""
        steps, outputs, masks = self.steps.value(), self.session.outputs_of, self._masks()

        def job(engine: Any, watch: Watch, facts: Facts) -> tuple[str, str]:
            engine.corrected(facts.inputs, outputs(facts), masks)
            return engine.finetuned(facts.inputs, steps, outputs(facts), watch)

        def done(result: tuple[str, str]) -> str:
            self.session.finetuned, sentence = result
            self.result.setText(sentence)
            return f"{self.session.finetuned}: Segment offers the fine-tuned network now."

        self.session.start("Fine-tuning", job, done)

    def compare(self) -> None:
        """Score every candidate on the corrected tiles."""
        outputs, masks = self.session.outputs_of, self._masks()

        def job(engine: Any, watch: Watch, facts: Facts) -> Advice:
            engine.corrected(facts.inputs, outputs(facts), masks)
            return engine.measured(facts.inputs, outputs(facts), watch)

        def done(advice: Advice) -> str:
            self.result.setText(advice.sentence)
            return "\n".join(advice.warnings)

        self.session.start("Comparing candidates", job, done)

    def _masks(self) -> Any:
        items = map(self.list.item, range(self.list.count()))
        ticked = [item.data(Qt.ItemDataRole.UserRole) for item in items if item.checkState() == Qt.CheckState.Checked]
        return overlays.painted(self.session.view, self.tiles, ticked) if self.tiles else {}

    def _list(self) -> None:
        self.list.clear()
        for place, tile in enumerate(self.tiles, start=1):
            share = f", candidates disagree on {tile.disagreement:.0%}" if tile.disagreement else ""
            item = QListWidgetItem(f"{place}: section {tile.region.section}{share}")
            item.setData(Qt.ItemDataRole.UserRole, tile.file)
            item.setCheckState(Qt.CheckState.Unchecked)
            item.setToolTip("Click to go there; tick when it is right")
            self.list.addItem(item)

    def _go_to(self, item: QListWidgetItem) -> None:
        tile = next(each for each in self.tiles if each.file == item.data(Qt.ItemDataRole.UserRole))
        viewer = self.session.viewer
        self.session.view.go_to(tile.region)
        if labels := overlays.of_kind(viewer, overlays.CORRECTIONS):
            viewer.layers.selection.active = to_paint = next(iter(labels.values()))
            to_paint.mode = "paint"

    def _show_commands(self) -> None:
        inputs, outputs = self.session.inputs, self.session.outputs
        self.commands.show_lines(
            propose_line(inputs, self.count.value(), outputs),
            finetune_line(inputs, self.steps.value(), outputs),
            recommend_line(inputs, outputs, outputs.proposed),
        )
