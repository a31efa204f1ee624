"""What the panels share: the chosen network and image, what is known about them, and the work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from bnadapt.errors import InputError
from bnadapt.napari.inputs import Facts, Inputs, Outputs, Treatment
from bnadapt.napari.view import View
from bnadapt.napari.watch import Watch
from bnadapt.napari.widgets.work import Work

Choose = Callable[[], Inputs]


class Session(QObject):
    """State shared by the panels.

    Attributes:
        changed: emitted when something is chosen or found.
        choose: returns the choice of the first panel, or raises an `InputError`.
        layer: layer of the image.
        facts: facts about the choice when work last began.
        looker: looker of the second panel, kept for further regions.
        tiles: number of tiles that statistics are estimated on.
        weight: weight of the slider, if it was moved.
        finetuned: checkpoint trained on corrected tiles.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel, work: Work) -> None:
        super().__init__()
        self.viewer = viewer
        self.work = work
        self.choose: Choose = _nothing_chosen
        self.choose_outputs: Callable[[], tuple[str, bool]] = lambda: ("", False)
        self.layer: Image | None = None
        self.facts: Facts | None = None
        self.looker: Any = None
        self.tiles = Inputs("", "").tiles
        self.weight: float | None = None
        self.finetuned: str | None = None
        self._asked: Inputs | None = None

    @property
    def plane(self) -> str:
        """Plane of the sections."""
        return self.facts.inputs.plane if self.facts else "xy"

    @property
    def view(self) -> View:
        """The layer of the image in the viewer."""
        return View(self.viewer, self.layer, self.plane)

    @property
    def outputs(self) -> Outputs:
        """Where results go: the named folder, else beside the image."""
        folder, overwrite = self.choose_outputs()
        return Outputs(Path(folder or (self.facts.folder if self.facts else "results")), overwrite)

    @property
    def outputs_of(self) -> Callable[[Facts], Outputs]:
        """The current outputs, for threads: where results of an image go."""
        folder, overwrite = self.choose_outputs()
        return lambda facts: Outputs(Path(folder or facts.folder), overwrite)

    @property
    def inputs(self) -> Inputs:
        """The choice, completed by what is known of it; placeholders if nothing is chosen yet."""
        try:
            asked = self.choose()
        except InputError:
            return Inputs("NETWORK.ckpt", "IMAGE")
        return self.facts.inputs if self.facts and asked == self._asked else asked

    def take_tiles(self, tiles: int) -> None:
        """Set the number of tiles to estimate statistics on."""
        self.tiles = tiles
        self.changed.emit()

    @property
    def treatments(self) -> list[Treatment]:
        """Possible treatments of the network."""
        return list(self.facts.treatments) if self.facts else []

    def is_ready(self) -> bool:
        """Whether a network and an image are chosen; if not, a message says what is missing."""
        try:
            self.choose()
        except InputError as error:
            self.work.say(str(error), is_error=True)
            return False
        return True

    def start(self, what: str, job: Callable[[Any, Watch, Facts], Any], done: Callable[[Any], str | None]) -> None:
        """Run a job on the choice, which is examined first if it is new.

        Args:
            what: name of the work, for people.
            job: called with the engine, the watch, and the facts.
            done: called with its result in the window's thread; may return a sentence to show.
        """
        if not self.is_ready():
            return
        asked = self.choose()
        known = self.facts if asked == self._asked else None
        if self._asked is None or asked.what != self._asked.what:
            self.work.forget()

        def run(engine: Any, watch: Watch) -> Any:
            facts = known or engine.checked(asked)
            self._take(asked, facts)
            return job(engine, watch, facts)

        def finished(result: Any) -> str | None:
            sentence = done(result)
            self.changed.emit()
            return sentence

        self.work.start(what, run, finished)

    def _take(self, asked: Inputs, facts: Facts) -> None:
        """Keep facts; findings on another network or image are forgotten."""
        if self._asked is None or asked.what != self._asked.what:
            self.looker = self.finetuned = self.weight = None
        self._asked, self.facts = asked, facts


def _nothing_chosen() -> Inputs:
    raise InputError("Choose a network and an image first.")
