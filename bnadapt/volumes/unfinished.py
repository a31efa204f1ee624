"""Results that appear together once all are there, of a run that may be cut off and goes on later."""

import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from bnadapt.errors import InputError
from bnadapt.files import ensure_folder, move_all, refusal_of_place, remove_hidden

HIDDEN = ".unfinished"
RUN, LOCK, COMPLETE = "run.json", "lock", "complete"


class Unfinished:
    """The folder, hidden in that of the results, in which pieces of work wait for the last one.

    What is finished is put down line by line, by every process in a file of its own, so that a run that is killed loses
    no more than the pieces at hand.

    Args:
        folder: of the results.
        identity: what the results depend on, by name; a run of another one does not go on with these.
        count: of all pieces.
    """

    def __init__(self, folder: Path, identity: Mapping[str, str], count: int) -> None:
        self.folder = folder
        self.hidden = folder / HIDDEN
        self.results = self.hidden / "results"
        self.run = {"pieces": str(count), **identity}
        self.count = count
        self._is_new_folder = not folder.exists()

    @property
    def is_complete(self) -> bool:
        """Whether all results were there, and only some may not have been moved to their place."""
        return (self.hidden / COMPLETE).exists() and self._stored_run() == self.run

    def begin(self, overwrite: bool) -> None:
        """Go on with what an earlier run has left, or begin anew.

        Args:
            overwrite: whether to throw away what a run of another identity has left.

        Raises:
            InputError: there is some of another identity, or the folder cannot be written.
        """
        ensure_folder(self.folder)
        with self.refusing(), self._locked():
            stored = self._stored_run()
            if stored == self.run:
                return
            if stored is not None and not overwrite:
                different = [name for name in self.run if stored.get(name) != self.run[name]]
                raise InputError(
                    f"{self.folder}: holds an unfinished run, with {len(self.finished())} of {stored['pieces']} pieces,"
                    f" from which this one differs in {' and '.join(different)}; give the same options to go on with"
                    " it, another --output, or --overwrite to begin anew."
                )
            for each in self.hidden.iterdir():
                if each.name != LOCK:
                    shutil.rmtree(each) if each.is_dir() else each.unlink()
            self.results.mkdir()
            partial = self.hidden / f"{RUN}.partial"
            partial.write_text(json.dumps(self.run, indent=2))
            partial.replace(self.hidden / RUN)

    def finished(self) -> dict[int, str]:
        """What was put down of each finished piece, by its number."""
        found: dict[int, str] = {}
        for path in sorted(self.hidden.glob("finished-*.jsonl")):
            for line in path.read_text().splitlines():
                try:
                    number, said = json.loads(line)
                except ValueError:  # a line that was cut off
                    continue
                found[number] = said
        return found

    def missing(self) -> list[int]:
        """Numbers of the pieces that are not finished."""
        return sorted(set(range(self.count)) - self.finished().keys())

    def finish(self, number: int, said: str = "") -> None:
        """Put down that a piece is written.

        Args:
            number: of the piece, from 0.
            said: of it.
        """
        own = self.hidden / f"finished-{socket.gethostname()}-{os.getpid()}.jsonl"
        with self.refusing(), own.open("a") as file:
            file.write(f"\n{json.dumps([number, said])}\n")  # behind a line that a full disk has cut off, too

    def publish(self) -> None:
        """Move the results to their place, all or none; hidden ones among them have served.

        Raises:
            InputError: they cannot be moved.
        """
        with self.refusing():
            (self.hidden / COMPLETE).touch()
            remove_hidden(self.results)
            move_all(self.results, self.folder)
            shutil.rmtree(self.hidden)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Name the folder where something cannot be written into it.

        Raises:
            InputError: it cannot.
        """
        try:
            yield
        except OSError as error:
            raise refusal_of_place(error, self.folder) or error from error

    def leave(self) -> int:
        """Keep what is finished, if anything is; how many pieces that is."""
        count = len(self.finished())
        if not count:
            self.discard()
        return count

    def discard(self) -> None:
        """Throw away what is finished."""
        shutil.rmtree(self.hidden, ignore_errors=True)
        if self._is_new_folder and self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _stored_run(self) -> dict[str, str] | None:
        try:
            return json.loads((self.hidden / RUN).read_text())
        except (OSError, ValueError):
            return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.hidden.mkdir(exist_ok=True)
        with FileLock(self.hidden / LOCK):
            yield
