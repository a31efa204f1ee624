"""Configs as plain values: domains built from them, and the hash that identifies a config."""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from hashlib import sha256
from typing import Any

from bnadapt import data
from bnadapt.batchnorm import Policy, SourcePrior
from bnadapt.errors import InputError

SCHEMA = 2  # to be raised whenever the same config gives other results, so that no earlier record is taken for it

Spec = Mapping[str, Any]
REAL, SYNTHETIC = "real", "synthetic"


def domain_of(spec: Spec) -> data.Domain:
    """Build a domain from a spec such as `{class: VNC, task: membrane}`: a class of `bnadapt.data` and its arguments.

    An argument may itself be such a domain, as that of `Shifted`, or several by name, as those of `Pooled`.

    Raises:
        InputError: the domain does not exist, or does not accept these arguments.
    """
    kind = _class_of(spec)
    arguments = {key: _each_domain(domain_of, value) for key, value in spec.items() if key != "class"}
    try:
        return kind(**arguments)
    except TypeError as error:
        raise InputError(f"domain {spec['class']}: {error}.") from error


def part_of(spec: Spec) -> str:
    """`real` or `synthetic`, whichever a domain is or is derived from."""
    while "domain" in spec or "domains" in spec:
        spec = spec["domain"] if "domain" in spec else next(iter(spec["domains"].values()))
    return SYNTHETIC if issubclass(_class_of(spec), data.Synthetic) else REAL


def resolved(spec: Spec) -> dict[str, Any]:
    """A domain's config with all its arguments, those that are the class's defaults included.

    Raises:
        InputError: the domain does not exist.
    """
    parameters = inspect.signature(_class_of(spec)).parameters.values()
    defaults = {each.name: each.default for each in parameters if each.default is not each.empty}
    return {key: _each_domain(resolved, value) for key, value in {**defaults, **spec}.items()}


def canonical(value: Any) -> str:
    """A plain value as canonical JSON, independent of the order of keys, with tuples as lists."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, eq=False)
class Keyed:
    """A dataclass that is compared by its config, and identified by its key."""

    @property
    def config(self) -> dict[str, Any]:
        """Everything that the result depends on, as plain values, including the code's defaults."""
        return json.loads(canonical({field.name: _plain(getattr(self, field.name)) for field in fields(self)}))

    @property
    def key(self) -> str:
        """A hash of `config` and of the schema's number."""
        return sha256(canonical({"schema": SCHEMA, **self.config}).encode()).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def _plain(value: Any) -> Any:
    if isinstance(value, Keyed):
        return value.config
    if isinstance(value, Mapping):
        return resolved(value) if _is_domain(value) else {key: _plain(each) for key, each in value.items()}
    return value


def _each_domain(convert: Callable[[Spec], Any], value: Any) -> Any:
    """Apply `convert` to a domain, or to every value of a mapping of domains; other values are returned unchanged."""
    if _is_domain(value):
        return convert(value)
    if isinstance(value, Mapping) and value and all(map(_is_domain, value.values())):
        return {key: convert(each) for key, each in value.items()}
    return value


def _is_domain(value: Any) -> bool:
    return isinstance(value, Mapping) and "class" in value


def _class_of(spec: Spec) -> type[data.Domain]:
    name = str(spec.get("class"))
    kind = getattr(data, name, None)
    if not (isinstance(kind, type) and issubclass(kind, data.Domain)):
        near = get_close_matches(name, data.__all__, 1)
        remedy = f"did you mean {near[0]}?" if near else "take one of bnadapt.data, such as Synthetic or VNC."
        raise InputError(f"there is no domain {spec.get('class')!r}; {remedy}")
    return kind


def policy_of(spec: Mapping[str, Any]) -> Policy:
    """The policy of plain values; a `source_weight` of `{samples: 16}` is a SourcePrior."""
    weight = spec.get("source_weight", 0.0)
    rule = SourcePrior(**weight) if isinstance(weight, Mapping) else weight
    return Policy(**{**spec, "source_weight": rule})
