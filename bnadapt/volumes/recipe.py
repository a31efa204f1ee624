"""What the results of a run depend on, so that a later one can tell whether its own would be the same."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from bnadapt.data import Domain

AT_ONCE = 2**24  # bytes


def of_file(path: str | Path) -> str:
    """SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while part := file.read(AT_ONCE):
            digest.update(part)
    return digest.hexdigest()


def of_network(network: nn.Module) -> str:
    """SHA-256 of a network's weights and statistics."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def of_domain(domain: Domain) -> str:
    """SHA-256 of a domain's class, plain attributes and the names of its sections."""
    plain = {name: _plain(value) for name, value in sorted(vars(domain).items())}
    sections = [[section.name, section.pixel_size_nm] for section in domain.to_predict()]
    return hashlib.sha256(json.dumps([type(domain).__qualname__, plain, sections]).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Domain):
        return of_domain(value)
    if isinstance(value, Path):
        return str(value.resolve())
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return value if isinstance(value, (str, int, float, bool)) else None
