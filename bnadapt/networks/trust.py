"""Which networks that a checkpoint names by their import path are imported and run.

A file must not decide by itself what code runs on your machine. So the import path in a checkpoint is followed only if
you name the same one, by `--model.network` or in a config; or if the checkpoint bears the signature of your account:
checkpoints that you train are signed with a key that never leaves your home folder. Names that bnadapt knows itself,
`unet` and `smp/...`, need neither.
"""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bnadapt.networks.registry import is_import_path

SIGNED = ("network", "network_args")


def signature(parameters: Mapping[str, Any]) -> str | None:
    """Your account's signature of a network and its arguments; None where no key can be kept.

    Args:
        parameters: with `network` and `network_args`, as in a checkpoint's hyper-parameters.
    """
    key = _key()
    if key is None:
        return None
    message = json.dumps({name: parameters[name] for name in SIGNED}, sort_keys=True, default=str)
    return hmac.new(key, message.encode(), hashlib.sha256).hexdigest()


def may_run(parameters: Mapping[str, Any], signed: object, requested: str | None) -> bool:
    """Whether the network that a checkpoint names may be imported.

    Args:
        parameters: the checkpoint's hyper-parameters.
        signed: the signature in the checkpoint.
        requested: network that the user names.
    """
    name = parameters["network"]
    if not is_import_path(name) or name == requested:
        return True
    own = signature(parameters)
    return own is not None and isinstance(signed, str) and hmac.compare_digest(own, signed)


def names_a_class(value: object) -> bool:
    """Whether there is anything in plain values that a parser would import."""
    if isinstance(value, dict):
        return "class_path" in value or any(map(names_a_class, value.values()))
    return isinstance(value, list | tuple) and any(map(names_a_class, value))


def _key() -> bytes | None:
    """The key of this account, made on first use; readable by nobody else."""
    path = _data_folder() / "checkpoint-key"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{os.getpid()}")
            descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(32))
            with suppress(FileExistsError):  # another process was first
                os.link(partial, path)
            partial.unlink()
        return path.read_bytes()
    except OSError:
        return None


def _data_folder() -> Path:
    import platformdirs

    return platformdirs.user_data_path("bnadapt")
