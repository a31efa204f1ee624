"""Checks of the settings of learning."""

from typing import Any

from bnadapt.errors import InputError


def check_settings(settings: Any, **ranges: tuple[float, float]) -> None:
    """Refuse numbers out of their ranges.

    Args:
        settings: a dataclass.
        ranges: least and greatest value by attribute.

    Raises:
        InputError: one is out of range, or not a number.
    """
    for name, (least, greatest) in ranges.items():
        value = getattr(settings, name)
        if not least <= value <= greatest:
            allowed = f"at least {least}" if greatest == float("inf") else f"{least} to {greatest}"
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
