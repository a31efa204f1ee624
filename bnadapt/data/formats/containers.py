"""Arrays in containers that hold several, by key, with the names of their axes."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bnadapt.data.formats.base import reason
from bnadapt.data.geometry import UNKNOWN, UNNAMED, Geometry, named_axes
from bnadapt.errors import InputError

log = logging.getLogger(__name__)


def array_of(store: Mapping[str, Any], path: Path, key: str | None) -> Any:
    """Look up the array `key` of an HDF5 file or Zarr group; refuses keys that do not name an array."""
    names = ", ".join(sorted(store.keys())) or "(none)"
    key = (key or "").strip("/")
    if not key:
        raise InputError(f"{path}: is a container of arrays; name one of {names} as the key.")
    try:
        item = store[key] if key in store else None  # noqa: SIM401 (`get` hides broken links)
    except (KeyError, OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{path}: {key!r} cannot be opened ({reason(error)}); it may link to itself, or to a file that is gone."
            f" Name one of {names} as the key."
        ) from error
    if item is None:
        raise InputError(f"{path}: has no array {key!r}; name one of {names} as the key.")
    if not hasattr(item, "shape") and not hasattr(item, "keys"):
        raise InputError(f"{path}: {key!r} is not an array; name one of {names} as the key.")
    if not hasattr(item, "shape"):
        inside = ", ".join(f"{key}/{name}" for name in sorted(item.keys())) or "(none)"
        raise InputError(f"{path}: {key!r} is a group; name one of {inside} as the key.")
    return item


def geometry_of_names(names: Sequence[Any], dimensions: int, context: str) -> Geometry:
    """The geometry of an array, from the names that its container gives to some or all of its axes.

    `names` is empty, or all None, if the file has no names. Refuses names of another number of axes.
    """
    names = [name if isinstance(name, str) else None for name in names]
    if names and len(names) != dimensions:
        raise InputError(
            f"{context}: has {dimensions} axes, but its attributes name {len(names)}, {list(names)}; correct them."
        )
    geometry = named_axes(names)
    if set(geometry.letters) <= {UNNAMED}:
        return UNKNOWN
    if not set(geometry.letters) & {"Y", "X", UNNAMED}:
        log.warning("%s: names its axes %s, none of them rows or columns.", context, ", ".join(map(str, names)))
        return UNKNOWN
    return geometry
