"""What files hold, without running code in them, or taking more memory than they have."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

MOST_VALUES = 10**6  # in a file


def load_tensors(path: Path) -> Any:
    """What torch has saved, mapped to memory, without running code in it.

    Raises:
        ValueError: its tensors are larger than what the file holds of them, or its values are too many.
        Exception: any, if torch cannot read it so.
    """
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    for value in values_of(content):
        if isinstance(value, Tensor) and value.numel() * value.itemsize > value.untyped_storage().nbytes():
            raise ValueError("its tensors are larger than the file")
    return content


def values_of(content: object) -> Iterator[object]:
    """All values in mappings and lists, however deep; what is shared comes as often as it is mentioned.

    Raises:
        ValueError: they are too many.
    """
    waiting = [content]
    for _ in range(MOST_VALUES):
        if not waiting:
            return
        yield (value := waiting.pop())
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)
    raise ValueError("it holds too many values")
