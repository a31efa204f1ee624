"""Results that appear together once all are there, of a run that may be cut off and goes on later."""

import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from bnadapt.errors import InputError
from bnadapt.files import ensure_folder, move_all, refusal_of_place, refuse_existing, remove_hidden

HIDDEN = ".unfinished"
RUN, LOCK, COMPLETE, AT_WORK = "run.json", "lock", "complete", ".at-work"


class Unfinished:
    """The folder, hidden in that of the results, in which pieces of work wait for the last one.

    What is finished is put down line by line, by every process in a file of its own, so that a run that is killed loses
    no more than the pieces at hand. Every run holds a lock, which the system takes from it when it ends in any way.

    Args:
        folder: of the results.
        identity: what the results depend on, by name; a run of another one does not go on with these.
        count: of all pieces.
        outputs: paths of the results.
    """

    def __init__(self, folder: Path, identity: Mapping[str, str], count: int, outputs: Sequence[Path] = ()) -> None:
        self.folder = folder
        self.outputs = outputs
        self.hidden = folder / HIDDEN
        self.results = self.hidden / "results"
        self.run = {"pieces": str(count), **identity}
        self.count = count
        self._is_new_folder = not folder.exists()
        self._place: FileLock | None = None

    @property
    def is_complete(self) -> bool:
        """Whether all results were there, and only some may not have been moved to their place."""
        return (self.hidden / COMPLETE).exists() and self._stored_run() == self.run

    def check_outputs(self, overwrite: bool) -> None:
        """Refuse to replace earlier results, unless asked to, or half moved already.

        Raises:
            InputError: some are there.
        """
        if not self.is_complete:
            refuse_existing(self.outputs, overwrite)

    def begin(self, overwrite: bool, is_shared: bool = False) -> None:
        """Go on with what an earlier run has left, or begin anew.

        Args:
            overwrite: whether to throw away what a run of another identity has left.
            is_shared: whether other runs do a part of the work meanwhile.

        Raises:
            InputError: there is some of another identity, another run is at work, or the folder cannot be written.
        """
        if self._place is not None:
            return
        ensure_folder(self.folder)
        with self.refusing(), self._locked():
            stored = self._stored_run()
            try:
                self._check(stored, overwrite, is_shared)
            except InputError:
                if stored is None and not self._others_are_at_work():
                    self.discard()
                raise
            self._place = FileLock(self.hidden / f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex}{AT_WORK}")
            self._place.acquire()
            if stored == self.run:
                return
            for each in self.hidden.iterdir():
                if each.name not in (LOCK, Path(self._place.lock_file).name):
                    shutil.rmtree(each) if each.is_dir() else each.unlink()
            self.results.mkdir()
            partial = self.hidden / f"{RUN}.partial"
            partial.write_text(json.dumps(self.run, indent=2))
            partial.replace(self.hidden / RUN)

    def _check(self, stored: Mapping[str, str] | None, overwrite: bool, is_shared: bool) -> None:
        if self._others_are_at_work() and not (is_shared and stored == self.run):
            raise InputError(
                f"{self.folder}: another run is at work there; wait until it has ended, or give another --output."
            )
        self.check_outputs(overwrite)
        if stored is not None and stored != self.run and not overwrite:
            different = [name for name in self.run if stored.get(name) != self.run[name]]
            raise InputError(
                f"{self.folder}: holds an unfinished run, with {len(self.finished())} of {stored['pieces']} pieces,"
                f" from which this one differs in {' and '.join(different)}; give the same options to go on with it,"
                " another --output, or --overwrite to begin anew."
            )

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
        with self.refusing(), self._locked():
            (self.hidden / COMPLETE).touch()
            remove_hidden(self.results)
            move_all(self.results, self.folder)
            self._remove()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Name the folder where something cannot be written into it.

        Raises:
            InputError: it cannot.
        """
        try:
            yield
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not self.hidden.exists():
                raise InputError(
                    f"{self.folder}: another run has ended there meanwhile; look at its results."
                ) from error
            raise refusal_of_place(error, self.folder) or error from error

    def keep_partial(self) -> int:
        """Keep what is finished, if anything is; how many pieces that is, 0 if the run has not begun."""
        if self._place is None:
            return 0
        with self._locked():
            count = len(self.finished())
            self._release()
            if not count and not self._others_are_at_work():
                self.discard()
        return count

    def _remove(self) -> None:
        """Remove the hidden folder at once, for others may be about to write into it."""
        gone = self.hidden.with_name(f"{HIDDEN}-{uuid4().hex}")
        self.hidden.rename(gone)
        self._release()
        shutil.rmtree(gone, ignore_errors=True)

    def _release(self) -> None:
        if self._place is not None:
            self._place.release()
            Path(self._place.lock_file).unlink(missing_ok=True)
            self._place = None

    def discard(self) -> None:
        """Throw away what is finished."""
        with suppress(FileNotFoundError):
            self._remove()
        if self._is_new_folder and self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _stored_run(self) -> dict[str, str] | None:
        try:
            return json.loads((self.hidden / RUN).read_text())
        except (OSError, ValueError):
            return None

    def _others_are_at_work(self) -> bool:
        own = self._place and self._place.lock_file
        return any(_is_held(path) for path in self.hidden.glob(f"*{AT_WORK}") if str(path) != own)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self.hidden / LOCK)
        self.hidden.mkdir(exist_ok=True)
        with lock:
            if Path(lock.lock_file).exists():  # or else a run that has ended has removed it
                yield
                return
        with self._locked():
            yield


def _is_held(path: Path) -> bool:
    """Whether a process that lives holds a lock."""
    try:
        with FileLock(path, blocking=False):
            return False
    except Timeout:
        return True
