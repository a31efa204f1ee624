"""Lines on the remaining time, for logs and other places without a progress bar."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from bnadapt.reports.terminal import Console

SECONDS = 20  # before the first line on the remaining time, and between two
LINES = 10  # lines on the remaining time after the first, at most
FEW = 5  # seconds
Part = TypeVar("Part")


def tracked(parts: Iterable[Part], what: str, total: int) -> Iterator[Part]:
    """Iterate over parts with a progress bar in a terminal, and lines on the remaining time elsewhere.

    Args:
        parts: parts of the work.
        what: name of the parts, such as `sections`.
        total: number of parts.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        from rich.progress import track

        yield from track(parts, what.capitalize(), total, console=console, transient=True)
        return
    lines = LinesOnTimeLeft("Reading", what, total)
    for part in parts:
        yield part
        lines.advance()


class LinesOnTimeLeft:
    """Lines on the remaining time of work in equal steps.

    Args:
        what: name of the work, such as `Segmenting`.
        steps: name of the steps, such as `images`.
        total: number of steps.
        announces: whether to print a line after the first step.
    """

    def __init__(self, what: str, steps: str, total: int, announces: bool = True) -> None:
        self.what, self.steps, self.total, self.announces = what, steps, total, announces
        self._started, self._said, self._part, self._done = time.monotonic(), 0.0, 0, 0

    def advance(self) -> None:
        """Count a step, and print a line if one is due."""
        self._done += 1
        elapsed = time.monotonic() - self._started
        left, part = elapsed / self._done * (self.total - self._done), LINES * self._done // self.total
        if self._done == 1 and self.announces and self.total > 1:
            Console().print(f"{self.what} {self.total} {self.steps}: {duration(left)}.")
        elif self._done < self.total and elapsed - self._said >= SECONDS and part > self._part:
            if Console().is_terminal:
                return
            Console().print(f"{self.what}: {self._done} of {self.total} {self.steps}, {duration(left)} left.")
        else:
            return
        self._said, self._part = elapsed, part


def duration(seconds: float) -> str:
    """Such as `about 6 min`."""
    if seconds < FEW:
        return "a few seconds"
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"about {round(seconds / length, 1 if seconds < 10 * length else 0):g} {unit}"
    return f"about {seconds:.0f} s"
