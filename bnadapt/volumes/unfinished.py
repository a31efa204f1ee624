"""Results of a resumable run, which appear together once all are complete."""

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

from bnadapt.errors import InputError
from bnadapt.files import ensure_folder, move_all, refuse_existing, refusing_place, remove_hidden

HIDDEN = ".unfinished"
RUN, LOCK, COMPLETE, AT_WORK = "run.json", "lock", "complete", ".at-work"


class Unfinished:
    """A hidden folder among the results that keeps finished pieces of work until the last one is finished.

    Every process records finished pieces line by line in a separate file, so that a killed run loses only the pieces in
    progress. Every run holds a lock, which the system releases when the run ends.

    Args:
        folder: folder of the results.
        identity: fingerprints of everything that the results depend on, by name; a run with others does not resume.
        count: number of all pieces.
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
        self._own_lock: FileLock | None = None

    @property
    def is_complete(self) -> bool:
        """Whether all results are complete, and only moving them to their place was interrupted."""
        return (self.hidden / COMPLETE).exists() and self._stored_run() == self.run

    def check_outputs(self, overwrite: bool) -> None:
        """Refuse to replace earlier results, unless requested, or partly moved already."""
        if not self.is_complete:
            refuse_existing(self.outputs, overwrite)

    def begin(self, overwrite: bool, is_shared: bool = False) -> None:
        """Resume an earlier run, or start a new one.

        Args:
            overwrite: whether to discard pieces of a run of another identity.
            is_shared: whether other runs share the work.

        Raises:
            InputError: there are pieces of another identity, another run is at work, or the folder cannot be written.
        """
        if self._own_lock is not None:
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
            self._own_lock = FileLock(self.hidden / f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex}{AT_WORK}")
            self._own_lock.acquire()
            if stored == self.run:
                return
            for each in self.hidden.iterdir():
                if each.name not in (LOCK, Path(self._own_lock.lock_file).name):
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
                f" from which this one differs in {' and '.join(different)}; give the same options to resume it,"
                " another --output, or --overwrite to start again."
            )

    def finished(self) -> dict[int, str]:
        """The note on each finished piece, by its number."""
        notes: dict[int, str] = {}
        for path in sorted(self.hidden.glob("finished-*.jsonl")):
            for line in path.read_text().splitlines():
                try:
                    number, note = json.loads(line)
                except ValueError:  # a line that was cut off
                    continue
                notes[number] = note
        return notes

    def missing(self) -> list[int]:
        """Numbers of the unfinished pieces."""
        return sorted(set(range(self.count)) - self.finished().keys())

    def finish(self, number: int, note: str = "") -> None:
        """Record that piece `number` (from 0) is finished, with a note."""
        journal = self.hidden / f"finished-{socket.gethostname()}-{os.getpid()}.jsonl"
        with self.refusing(), journal.open("a") as file:
            file.write(f"\n{json.dumps([number, note])}\n")  # also after a line that a full disk has cut off

    def decided(self, name: str, decide: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """A decision in plain types, shared by all processes of a run and those that resume it: the first decides."""
        path = self.hidden / f"{name}.json"
        with self.refusing(), self._locked():
            if not path.exists():
                partial = path.with_suffix(".partial")
                partial.write_text(json.dumps(decide()))
                partial.replace(path)
            return json.loads(path.read_text())

    def publish(self) -> None:
        """Move the results to their place, all or none, without hidden ones; raises InputError if that fails."""
        with self.refusing(), self._locked():
            (self.hidden / COMPLETE).touch()
            remove_hidden(self.results)
            move_all(self.results, self.folder)
            self._remove()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Turn failures to write into an `InputError` that names the folder."""
        try:
            with refusing_place(self.folder):
                yield
        except FileNotFoundError as error:
            if self.hidden.exists():
                raise
            refusal = f"{self.folder}: another run has finished there in the meantime; look at its results."
            raise InputError(refusal) from error

    def keep_partial(self) -> int:
        """Keep finished pieces, if any; returns their number, 0 if the run has not begun."""
        if self._own_lock is None:
            return 0
        with self._locked():
            count = len(self.finished())
            self._release()
            if not count and not self._others_are_at_work():
                self.discard()
        return count

    def _remove(self) -> None:
        """Remove the hidden folder atomically, since others may be about to write into it."""
        gone = self.hidden.with_name(f"{HIDDEN}-{uuid4().hex}")
        self.hidden.rename(gone)
        self._release()
        shutil.rmtree(gone, ignore_errors=True)

    def _release(self) -> None:
        if self._own_lock is not None:
            self._own_lock.release()
            Path(self._own_lock.lock_file).unlink(missing_ok=True)
            self._own_lock = None

    def discard(self) -> None:
        """Discard finished pieces."""
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
        own_lock = self._own_lock and self._own_lock.lock_file
        return any(_is_held(path) for path in self.hidden.glob(f"*{AT_WORK}") if str(path) != own_lock)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self.hidden / LOCK)
        self.hidden.mkdir(exist_ok=True)
        with lock:
            if Path(lock.lock_file).exists():  # otherwise a run that has ended has removed it
                yield
                return
        with self._locked():
            yield


def _is_held(path: Path) -> bool:
    """Whether a running process holds a lock."""
    try:
        with FileLock(path, blocking=False):
            return False
    except Timeout:
        return True
