"""Fingerprints of all inputs of a run, by which a later run recognises equal ones."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule
from torch import nn

from bnadapt import __version__
from bnadapt.data import Domain, DomainPair
from bnadapt.data.tiles import Blocks
from bnadapt.files import sha256_of

SAMPLED, PART = 64, 2**16  # samples from all files together, and bytes of each


def identity_of(
    model: LightningModule,
    datamodule: DomainPair,
    blocks: Blocks,
    precision: str,
    ckpt_path: str | None = None,
    bank: str | None = None,
) -> dict[str, str]:
    """Fingerprints of all inputs of a segmentation, by their names in messages.

    Args:
        model: the task.
        datamodule: data module with the target.
        blocks: division of the sections.
        precision: precision of Lightning.
        ckpt_path: checkpoint of the task's weights; None for those of the task.
        bank: bank of statistics in use.
    """
    return {
        "version": __version__,
        "network": sha256_of(ckpt_path) if ckpt_path else _of_network(model.network),
        "statistics": sha256_of(bank) if bank else "",
        "images": domain_identity(datamodule.target),
        "source": domain_identity(datamodule.source) if datamodule.source else "",
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


def domain_identity(domain: Domain) -> str:
    """SHA-256 of a domain's settings (class and public attributes), sections and files."""
    settings = {name: _plain(value) for name, value in sorted(vars(domain).items()) if not name.startswith("_")}
    sections = [[section.name, section.pixel_size_nm] for section in domain.all_sections()]
    stated = [type(domain).__qualname__, settings, sections, _of_files(domain.files())]
    return hashlib.sha256(json.dumps(stated).encode()).hexdigest()


def _of_files(paths: Sequence[Path]) -> str:
    """SHA-256 of the sizes and times of files, and of samples from some of them."""
    digest = hashlib.sha256()
    looked_at = set(paths[:: max(1, len(paths) // SAMPLED)])
    for path in paths:
        digest.update(os.fsencode(path.name))
        with suppress(OSError):  # chunks that are not stored are blank
            about = path.stat()
            digest.update(f"{about.st_size} {about.st_mtime_ns}".encode())
            if path in looked_at:
                _update_with_parts(digest, path, about.st_size, max(1, SAMPLED // len(paths)))
    return digest.hexdigest()


def _update_with_parts(digest: Any, path: Path, size: int, count: int) -> None:
    """Add evenly spaced samples of a file, from its beginning to its end."""
    with path.open("rb") as file:
        for number in range(count):
            file.seek(max(0, size - PART) * number // max(1, count - 1))
            digest.update(file.read(PART))


def _plain(value: Any) -> Any:
    if isinstance(value, Domain):
        return domain_identity(value)
    if isinstance(value, Path):
        return str(value.resolve())
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return value if isinstance(value, (str, int, float, bool)) else None
