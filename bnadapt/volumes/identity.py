"""What the results of a run depend on, so that a later one can tell whether its own would be the same."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule
from torch import nn

from bnadapt.data import Domain, DomainPair
from bnadapt.data.tiles import Blocks
from bnadapt.provenance import sha256_of


def identity_of(
    model: LightningModule,
    datamodule: DomainPair,
    blocks: Blocks,
    precision: str,
    ckpt_path: str | None = None,
    bank: str | None = None,
) -> dict[str, str]:
    """What a segmentation of the target depends on, by the names that messages give it.

    Args:
        model: the task.
        datamodule: with the target.
        blocks: how sections are cut.
        precision: of Lightning.
        ckpt_path: from which the task's weights come; if none, they are its own.
        bank: of statistics that the network is held to.
    """
    return {
        "network": sha256_of(ckpt_path) if ckpt_path else _of_network(model.network),
        "statistics": sha256_of(bank) if bank else "",
        "images": _of_domain(datamodule.target),
        "scaling": str(datamodule.requested),
        "change of the target": str(datamodule.requested_change),
        "blocks": str(blocks),
        "precision": precision,
    }


def _of_network(network: nn.Module) -> str:
    """SHA-256 of a network's weights and statistics."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _of_domain(domain: Domain) -> str:
    """SHA-256 of a domain's class, plain attributes and the names of its sections."""
    plain = {name: _plain(value) for name, value in sorted(vars(domain).items())}
    sections = [[section.name, section.pixel_size_nm] for section in domain.to_predict()]
    return hashlib.sha256(json.dumps([type(domain).__qualname__, plain, sections]).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Domain):
        return _of_domain(value)
    if isinstance(value, Path):
        return str(value.resolve())
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return value if isinstance(value, (str, int, float, bool)) else None
