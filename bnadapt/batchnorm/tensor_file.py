"""Files of named tensors: safetensors, with what belongs to them as JSON."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from bnadapt.batchnorm.layers import BatchNormError


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors; a file that is there already is replaced once all is written.

    Args:
        path: of the file; folders are made.
        tensors: by name.
        metadata: plain values by name.

    Raises:
        OSError: the file cannot be written.
    """
    from safetensors.torch import save

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{secrets.token_hex(8)}")  # a name that nobody can guess
    described = {name: json.dumps(value) for name, value in metadata.items()}
    content = save({name: each.contiguous() for name, each in tensors.items()}, metadata=described)
    file = partial.open("xb")  # follows no link
    try:
        with file:
            file.write(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_tensors(path: str | Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote.

    Args:
        path: of the file.
        kind: what it should be, for the refusal.

    Raises:
        BatchNormError: the file is missing, broken or of another format.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
            metadata = {name: json.loads(value) for name, value in (file.metadata() or {}).items()}
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise BatchNormError(f"{path}: cannot be read as {kind} ({error}); check the path.") from error
    return tensors, metadata
