"""Runs one piece of work at a time in a thread, shows its progress and messages, and stops it."""

import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any

from napari.qt.threading import create_worker
from napari.utils import progress
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from bnadapt.commands.refusals import refusal_in
from bnadapt.napari.watch import Stopped, Watch

PACKAGE = "bnadapt"
Job = Callable[[Any, Watch], Any]
"""Gets the module `bnadapt.napari.engine`, which is imported in the thread, and who watches."""


class Work(QWidget):
    """Runs work, one piece at a time.

    Attributes:
        reported: name of the work, finished parts, and all parts; from the thread.
        said: a warning of the work; from the thread.
        running: whether there is work.
    """

    reported = Signal(str, int, object)
    said = Signal(str)
    running = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.bar = QProgressBar()
        self.stop_button = QPushButton("Stop")
        self.stop_button.clicked.connect(self.stop)
        line = QHBoxLayout()
        line.addWidget(self.bar, 1)
        line.addWidget(self.stop_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.message)
        layout.addLayout(line)
        self._watch: Watch | None = None
        self._worker: Any = None
        self._shown: progress | None = None
        self._shown_work = ""
        self._is_stopping = False
        self._warnings: list[str] = []
        self._known: set[str] = set()
        self.reported.connect(self._report)
        self.said.connect(self._warn)
        self._show_running(False)

    @property
    def is_running(self) -> bool:
        """Whether there is work."""
        return self._watch is not None

    def start(self, what: str, job: Job, done: Callable[[Any], str | None]) -> None:
        """Run a job in a thread, unless there is work already.

        Args:
            what: name of the work, for people, such as `Looking`.
            job: the work.
            done: called with its result in the window's thread; may return a sentence to show.
        """
        if self.is_running:
            return
        watch = self._watch = Watch(self.reported.emit)
        self._is_stopping = False
        self._warnings = []
        self._worker = create_worker(self._run, job, watch, _start_thread=False, _ignore_errors=True)
        worker = self._worker
        watch.is_given_up = lambda: worker.abort_requested  # as when napari is closed
        self._worker.returned.connect(lambda result: self._end(done, result))
        self._worker.errored.connect(self._fail)
        self._show_running(True)
        self._report(what, 0, None)
        self._worker.start()

    def stop(self) -> None:
        """Stop the work at its next part."""
        if self._watch is not None:
            self._watch.stop()
            self._is_stopping = True
            self.say("Stopping at the next block …")

    def forget(self) -> None:
        """Repeat earlier messages, since the work is about something else now."""
        self._known.clear()

    def say(self, sentence: str, is_error: bool = False) -> None:
        """Show a sentence."""
        self.message.setText(sentence)
        self.message.setStyleSheet("color: #ff7b72;" if is_error else "")

    def _run(self, job: Job, watch: Watch) -> Any:
        handler = _Messages(self.said.emit)
        logger = logging.getLogger(PACKAGE)
        logger.addHandler(handler)
        try:
            return job(import_module("bnadapt.napari.engine"), watch)
        finally:
            logger.removeHandler(handler)

    def _end(self, done: Callable[[Any], str | None], result: Any) -> None:
        self._finish()
        sentence = done(result)
        self.say("\n".join(filter(None, [sentence or "Done.", *self._warnings])))

    def _fail(self, error: Exception) -> None:
        self._finish()
        if isinstance(error, Stopped):
            kept = [each for each in self._warnings if "goes on" in each]
            self.say("\n".join(["Stopped.", *kept]))
        elif (refusal := refusal_in(error)) is not None:
            self.say("\n".join([" ".join(str(refusal).split()), *self._warnings]), is_error=True)
        else:
            self.say(f"{type(error).__name__}: {error}", is_error=True)
            raise error

    def _finish(self) -> None:
        self._watch = None
        if self._shown is not None:
            self._shown.close()
            self._shown = None
        self._show_running(False)

    def _report(self, what: str, done: int, total: int | None) -> None:
        if not self.is_running:
            return
        self.bar.setRange(0, total or 0)
        self.bar.setValue(done)
        if not self._is_stopping:
            self.say(f"{what}: {done} of {total}" if total else f"{what} …")
        if self._shown is None or (self._shown_work, self._shown.total) != (what, total or 0):
            if self._shown is not None:
                self._shown.close()
            self._shown = progress(total=total or 0, desc=what)
            self._shown_work = what
        if done > self._shown.n:
            self._shown.update(done - self._shown.n)

    def _show_running(self, is_running: bool) -> None:
        self.bar.setVisible(is_running)
        self.stop_button.setVisible(is_running)
        self.running.emit(is_running)

    def _warn(self, sentence: str) -> None:
        """Keep a warning for the end of the work, once for all work on the same network and image."""
        if sentence not in self._known:
            self._known.add(sentence)
            self._warnings.append(sentence)


class _Messages(logging.Handler):
    """Passes warnings on."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self.say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a warning on."""
        self.say(record.getMessage())
