"""What HDF5 files and Zarr groups have in common."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bnadapt.data.readers.files import reason
from bnadapt.data.readers.opened import StoredChunks
from bnadapt.errors import InputError

log = logging.getLogger(__name__)


def array_of(store: Mapping[str, Any], path: Path, key: str | None) -> Any:
    """The array `key` of an HDF5 file or Zarr group.

    Raises:
        InputError: there is none of that name, or it cannot be opened.
    """
    names = ", ".join(sorted(store.keys())) or "(none)"
    if not key:
        raise InputError(f"{path}: is a container of arrays; name one of {names} as the key.")
    if key not in store:
        raise InputError(f"{path}: has no array {key!r}; name one of {names} as the key.")
    try:
        found = store[key]
    except (KeyError, OSError, ValueError) as error:
        raise InputError(
            f"{path}: {key!r} cannot be opened ({reason(error)}); it may link to a file that is gone. Name one of"
            f" {names} as the key."
        ) from error
    if not hasattr(found, "shape") and not hasattr(found, "keys"):
        raise InputError(f"{path}: {key!r} is no array; name one of {names} as the key.")
    if not hasattr(found, "shape"):
        inside = ", ".join(f"{key}/{name}" for name in sorted(found.keys())) or "(none)"
        raise InputError(f"{path}: {key!r} is a group; name one of {inside} as the key.")
    return found


def check_stored(found: StoredChunks, context: str, most_missing: float) -> None:
    """Say how many chunks of an array were never written or are gone, for their pixels look like data.

    Args:
        found: the chunks.
        context: file (and key) that messages name.
        most_missing: share of missing chunks from which on the array is not read.

    Raises:
        InputError: more are missing.
    """
    missing = found.chunks - found.stored
    if missing <= 0:
        return
    counted = f"{'about ' if found.is_estimate else ''}{missing} of {found.chunks} chunks are not stored"
    if missing > most_missing * found.chunks:
        raise InputError(
            f"{context}: {counted}, because they were never written or are lost; copy it again from its origin, or save"
            " the part that there is as a volume of its own."
        )
    log.warning(
        "%s: %s, because they were never written or are lost; their pixels read as %s.",
        context,
        counted,
        found.fill_value,
    )
