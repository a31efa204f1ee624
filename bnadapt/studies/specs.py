"""Configs as plain values: domains made from them, and the key that a config is found again by."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from typing import Any

from bnadapt import data
from bnadapt.errors import InputError

Spec = Mapping[str, Any]


def domain_of(spec: Spec) -> data.Domain:
    """Make the domain that `{class: VNC, task: membrane}` describes: a class of `bnadapt.data` and its arguments.

    An argument may itself be such a domain, as that of `Shifted`.

    Raises:
        InputError: there is no such domain, or it does not take these arguments.
    """
    name = spec.get("class")
    made = getattr(data, str(name), None)
    if not (isinstance(made, type) and issubclass(made, data.Domain)):
        raise InputError(f"there is no domain {name!r}; take one of bnadapt.data, such as Synthetic or VNC.")
    arguments = {
        key: domain_of(value) if isinstance(value, Mapping) and "class" in value else value
        for key, value in spec.items()
        if key != "class"
    }
    try:
        return made(**arguments)
    except TypeError as error:
        raise InputError(f"domain {name}: {error}.") from error


def canonical(value: Any) -> str:
    """A plain value as JSON that does not depend on the order of keys, nor on whether lists are tuples."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


class Keyed:
    """A dataclass that is equal to another by what it says, and found again by its key."""

    @property
    def config(self) -> dict[str, Any]:
        """Everything that the result is a function of, in plain values."""
        return json.loads(canonical(asdict(self)))

    @property
    def key(self) -> str:
        """A hash of `config`."""
        return sha256(canonical(self.config).encode()).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)
