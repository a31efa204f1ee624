"""Refusals of data that a command cannot work with, before it begins."""

from bnadapt.data import DomainPair
from bnadapt.errors import InputError


def require_domains(data: DomainPair, command: str, *names: str) -> None:
    """Refuse data without domains that a command needs.

    Args:
        data: data of the command.
        command: its name, for messages.
        names: some of `source` and `target`.

    Raises:
        InputError: one of them is missing.
    """
    for name in names:
        if getattr(data, name) is None:
            raise InputError(f"{command}: there is no {name}; give --data.{name}.")


def require_tiles_in_memory(data: DomainPair, command: str) -> None:
    """Refuse to read all tiles of the target, which may not fit in memory.

    Raises:
        InputError: `adaptation_tiles` is not set.
    """
    if data.adaptation_tiles is None:
        raise InputError(
            f"{command}: the tiles of the target are held in memory, and all of them may be too many; set"
            " --data.adaptation_tiles to a number, such as 64."
        )
