"""Errors that the user can fix, and signals, end a command with a sentence instead of a traceback."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

from bnadapt.errors import BnadaptError, InputError
from bnadapt.files import refusal_of_place
from bnadapt.text import visible

ENDING = (signal.SIGTERM, signal.SIGHUP) if hasattr(signal, "SIGHUP") else (signal.SIGTERM,)
OUT_OF_MEMORY = ("CUDA out of memory", "can't allocate memory", "MPS backend out of memory")  # RuntimeErrors of torch
SIGNALLED = 128  # exit statuses of processes that a signal ends begin there


@contextmanager
def refusals() -> Iterator[None]:
    """End the process with a sentence and exit status 2 on errors that the user can fix.

    SIGTERM and SIGHUP raise SystemExit, so that outputs are complete or absent. If nobody reads the output any
    longer, as in `bnadapt --help | head -1`, the process ends silently.
    """
    for each in ENDING:
        signal.signal(each, _end)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    threading.excepthook = _report
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except Exception as error:
        if isinstance(error, BrokenPipeError) and not _is_read(sys.stdout):
            sys.exit(SIGNALLED + signal.SIGPIPE)
        refusal = refusal_in(error)
        if refusal is None:
            raise
        sentence = " ".join(str(refusal).split())
        print(f"bnadapt: error: {visible(sentence)}", file=sys.stderr)
        sys.exit(2)


def _end(number: int, frame: FrameType | None) -> None:
    _ignore_finalizer_errors()
    print(f"bnadapt: ended by {signal.Signals(number).name}.", file=sys.stderr)
    sys.exit(SIGNALLED + number)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _ignore_finalizer_errors()
    signal.default_int_handler(number, frame)


def _ignore_finalizer_errors() -> None:
    """Ignore errors in finalizers of objects that a signal interrupted under construction."""
    sys.unraisablehook = lambda failure: None


def _report(failure: threading.ExceptHookArgs) -> None:
    """Print the error of a thread, unless the process will refuse it, such as a full disk."""
    if failure.exc_value is None or refusal_in(failure.exc_value) is None:
        threading.__excepthook__(failure)


def _is_read(stream: TextIO) -> bool:
    """Whether a stream is still read; if not, the rest of it is dropped."""
    try:
        print(file=stream, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return False
    return True


def refusal_in(error: BaseException | None) -> BaseException | None:
    """The error that the user can fix, in an error or its causes (jsonargparse wraps errors of constructors)."""
    kinds = _kinds()
    while error is not None and not isinstance(error, kinds):
        if (refusal := refusal_of_place(error) or _refusal_of_memory(error) or _refusal_of_package(error)) is not None:
            return refusal
        error = error.__cause__ or error.__context__
    return error


def _refusal_of_memory(error: BaseException) -> InputError | None:
    """The refusal of an error for lack of memory, of the machine or its GPU."""
    if isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY):
        return InputError(
            "out of memory; set a smaller --data.batch_size, and a smaller --data.crop_size, --data.tile_size or, for"
            " predict, --data.block_size."
        )
    return None


def _refusal_of_package(error: BaseException) -> InputError | None:
    """The refusal of an error for lack of a package that an option needs, such as a logger of Lightning."""
    if not isinstance(error, ModuleNotFoundError) or (error.name or "").startswith("bnadapt"):
        return None
    return InputError(f"a package is missing ({error}); install it, or leave out the option that needs it.")


def _kinds() -> tuple[type[BaseException], ...]:
    """Exceptions whose messages are sentences; Lightning's only if Lightning was imported."""
    lightning = sys.modules.get("lightning.pytorch.utilities.exceptions")
    return (BnadaptError, lightning.MisconfigurationException) if lightning else (BnadaptError,)
