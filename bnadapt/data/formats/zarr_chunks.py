"""Chunks of Zarr arrays as files: how many are stored, and where."""

import math
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bnadapt.data.formats.base import StoredChunks

METADATA = (".zarray", ".zattrs", ".zgroup", "zarr.json")
MOST_CHUNKS = 100_000  # up to this many are checked one by one
DRAWN_CHUNKS = 2_000  # sample of larger numbers


def _chunk_keys(array: Any) -> tuple[list[str], int]:
    """Keys of the chunks, or shards (a random sample if there are very many), and their possible number."""
    grid = [-(-side // file) for side, file in zip(array.shape, array.shards or array.chunks, strict=True)]
    count = math.prod(grid)
    sample = random.Random(0).sample(range(count), DRAWN_CHUNKS) if count > MOST_CHUNKS else range(count)
    places = (tuple(int(each) for each in np.unravel_index(number, grid)) for number in sample)
    return [f"{array.path}/{array.metadata.encode_chunk_key(place)}".strip("/") for place in places], count


def count_chunks(array: Any, path: Path) -> StoredChunks:
    """Number of the stored chunks of an array in a store at this path."""
    keys, count = _chunk_keys(array)
    is_stored = _is_stored(path)
    stored = sum(map(is_stored, keys))
    return StoredChunks(round(stored / len(keys) * count), count, array.fill_value, len(keys) < count)


def _is_stored(path: Path) -> Callable[[str], bool]:
    """Whether a store has a key."""
    if path.is_dir():
        return lambda key: os.path.isfile(f"{path}/{key}")
    with zipfile.ZipFile(path) as file:
        return set(file.namelist()).__contains__


def files_of(array: Any, path: Path) -> list[Path]:
    """The chunks of an array and the metadata of its groups; for a zip file, that file."""
    if path.is_file():
        return [path]
    folder = path / array.path
    groups = [folder, *(each for each in folder.parents if path in (each, *each.parents))]
    metadata = [group / name for group in groups for name in METADATA if (group / name).exists()]
    return [*metadata, *(path / key for key in _chunk_keys(array)[0])]
