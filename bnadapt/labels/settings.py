"""Checks of the settings of learning."""

import math
from typing import Any

from bnadapt.errors import InputError


def check_settings(settings: Any, **ranges: tuple[float, float | None]) -> None:
    """Refuse numbers out of their ranges.

    Args:
        settings: a dataclass.
        ranges: least and greatest value by attribute, None for any finite one.

    Raises:
        InputError: one is out of range, NaN or infinite.
    """
    for name, (least, greatest) in ranges.items():
        value = getattr(settings, name)
        if not math.isfinite(value) or value < least or (greatest is not None and value > greatest):
            allowed = f"at least {least}" if greatest is None else f"{least} to {greatest}"
            raise InputError(f"{type(settings).__name__}: {name} is {value}; give {allowed}.")


def check_choices(settings: Any, **choices: tuple[str, ...]) -> None:
    """Refuse unknown names.

    Args:
        settings: a dataclass.
        choices: possible names by attribute.

    Raises:
        InputError: one is unknown.
    """
    for name, possible in choices.items():
        value = getattr(settings, name)
        if value not in possible:
            raise InputError(f"{type(settings).__name__}: {name} is {value!r}; take one of {', '.join(possible)}.")
