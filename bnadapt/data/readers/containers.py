"""What HDF5 files and Zarr groups have in common."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bnadapt.data.readers.files import reason
from bnadapt.errors import InputError

log = logging.getLogger(__name__)


def array_of(store: Mapping[str, Any], path: Path, key: str | None) -> Any:
    """The array `key` of an HDF5 file or Zarr group.

    Raises:
        InputError: there is none of that name, or it cannot be opened.
    """
    names = ", ".join(sorted(store.keys())) or "(none)"
    if key is None or key not in store:
        raise InputError(f"{path}: has no array {key!r}; name one of {names} as the key.")
    try:
        found = store[key]
    except (KeyError, OSError, ValueError) as error:
        raise InputError(
            f"{path}: {key!r} cannot be opened ({reason(error)}); it may link to a file that is gone. Name one of"
            f" {names} as the key."
        ) from error
    if not hasattr(found, "shape"):
        inside = ", ".join(f"{key}/{name}" for name in sorted(found.keys())) or "(none)"
        raise InputError(f"{path}: {key!r} is a group; name one of {inside} as the key.")
    return found


def warn_of_missing_chunks(context: str, stored: int, chunks: int, fill_value: object) -> None:
    """Say how many chunks of an array were never written or are gone, for their pixels look like data."""
    if stored < chunks:
        log.warning(
            "%s: %d of %d chunks are not stored, because they were never written or are lost; their pixels read as %s.",
            context,
            chunks - stored,
            chunks,
            fill_value,
        )
