"""Prefetch the next batch while the network processes this one."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from torch.utils.data import DataLoader

AHEAD = 1  # batches
END = object()


class ReadingAhead(DataLoader):
    """A DataLoader that reads in a background thread; arguments as in torch."""

    def __iter__(self) -> Iterator[Any]:
        batches = iter(super().__iter__())
        with ThreadPoolExecutor(1, thread_name_prefix="reading") as thread:
            waiting = deque(thread.submit(next, batches, END) for _ in range(AHEAD))
            while (batch := waiting.popleft().result()) is not END:
                waiting.append(thread.submit(next, batches, END))
                yield batch
