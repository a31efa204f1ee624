"""Work that is watched: its progress, and whether to stop."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

Report = Callable[[str, int, int | None], None]
"""Called with what is done, how many parts of it, and of how many, if that is known."""


class Stopped(Exception):
    """The user has stopped the work."""


class Watch:
    """Reports progress, and stops work from another thread.

    `is_given_up` returns whether the starter of the work no longer waits for it.
    """

    def __init__(self, report: Report = lambda what, done, total: None) -> None:
        self.report = report
        self.is_given_up: Callable[[], bool] = lambda: False
        self._stop = threading.Event()

    def stop(self) -> None:
        """Stop the work at its next part."""
        self._stop.set()

    def check(self) -> None:
        """Raise Stopped if the work is to stop."""
        if self._stop.is_set() or self.is_given_up():
            raise Stopped

    def shown(self, what: str) -> Callable[[Iterable], Iterable]:
        """Wraps the parts of some work, such as `Adapting`, to report them."""

        def parts_of(parts: Iterable) -> Iterator[Any]:
            total = len(parts) if hasattr(type(parts), "__len__") and not hasattr(parts, "batch_size") else None
            self.report(what, 0, total)
            for number, part in enumerate(parts, start=1):
                self.check()
                yield part
                self.report(what, number, total)

        return parts_of

    @contextmanager
    def stopping(self, network: Any) -> Iterator[None]:
        """Let every forward pass of the network, or of a copy of it, stop the work if it is to stop."""
        hook = network.register_forward_pre_hook(lambda *_: self.check())
        try:
            yield
        finally:
            hook.remove()
