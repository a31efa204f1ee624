"""The rule for networks named in files, for all code that reads a network's name from a file.

A file does not decide which code runs on your machine, what is downloaded, or how much memory is used. It may name a
registered network with plain arguments of that network; weights come from the file alone. Anything else is a class by
its import path, which you must name yourself in the same command.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from bnadapt.errors import InputError
from bnadapt.networks.registry import SMP, is_import_path, outlined_network
from bnadapt.networks.smp import arguments_without_download

DEEPEST, MOST, GREATEST, LONGEST = 3, 64, 10**6, 200  # limits of plain values: nesting, members, numbers, characters
MOST_CHANNELS = {"in_channels": 1024, "num_classes": 255}
MOST_PARAMETERS = 10**9  # 4 GB


def accepted(
    parameters: Mapping[str, Any], source: Path | str, requested: str | None = None, option: str = "--model.network"
) -> dict[str, Any]:
    """Check a file's parameters of a network and return them, without weights to download.

    Args:
        parameters: `network`, `network_args`, `in_channels` and `num_classes`, as in the file.
        source: the file, for messages.
        requested: network that the user names in this command.
        option: option for that.

    Raises:
        InputError: the parameters name code that the user does not name, or are out of bounds.
    """
    name, arguments = parameters["network"], parameters["network_args"] or {}
    if not (isinstance(name, str) and isinstance(arguments, Mapping) and is_plain(dict(parameters))):
        raise InputError(
            f"{source}: gives classes, endless lists or numbers above {GREATEST} as parameters of its network,"
            " which files of bnadapt never do; use another."
        )
    for key, most in MOST_CHANNELS.items():
        if type(parameters[key]) is not int or not 1 <= parameters[key] <= most:
            raise InputError(
                f"{source}: gives its network {key} {parameters[key]}; a file may name a number from 1 to {most}."
            )
    if not may_run(name, requested):
        raise InputError(
            f"{source}: names the network {name}, code that would be imported and run; look at it, and if you trust it,"
            f" name it yourself by {option} {name}."
        )
    if name.startswith(SMP):
        arguments = arguments_without_download(name.removeprefix(SMP), arguments, source)
    return {**parameters, "network_args": dict(arguments) or None}


def may_run(name: str, requested: str | None) -> bool:
    """Whether a network that a file names may be imported: it is registered, or the user names it too."""
    return name == requested or not is_import_path(name)


def outline(parameters: Mapping[str, Any]) -> dict[str, Tensor] | None:
    """A network's tensors on the meta device, by name, without memory; None for a class of the user.

    Raises:
        InputError: the network cannot be built, or is larger than a file may name.
    """
    if is_import_path(parameters["network"]):
        return None
    name, channels, classes = (parameters[key] for key in ("network", "in_channels", "num_classes"))
    with torch.device("meta"), _SchedulesOnCPU():
        network = outlined_network(name, channels, classes, parameters["network_args"] or {})
    count = sum(each.numel() for each in network.parameters())
    if count > MOST_PARAMETERS:
        raise InputError(
            f"network {name} with {dict(parameters['network_args'] or {})} would have {count:.1e}"
            f" parameters; a file may name one of {MOST_PARAMETERS:.0e} at most."
        )
    return network.state_dict()


def is_plain(value: object, deepest: int = DEEPEST) -> bool:
    """Whether a value is a number, a short text, a truth value, None, or a few of these in lists and mappings.

    Mappings that a parser would instantiate as a class are not plain.
    """
    match value:
        case None | bool() | float():
            return True
        case int():
            return abs(value) <= GREATEST
        case str():
            return len(value) <= LONGEST
        case dict() | list() | tuple() if len(value) > MOST or not deepest:
            return False
        case dict():
            texts = all(isinstance(key, str) and key != "class_path" for key in value)
            return texts and all(is_plain(each, deepest - 1) for each in value.values())
        case list() | tuple():
            return all(is_plain(each, deepest - 1) for each in value)
    return False


class _SchedulesOnCPU(TorchFunctionMode):
    """Keeps `torch.linspace` on the CPU under the meta device, since MiT encoders need its values for their depths."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        placed = {"device": "cpu"} if function is torch.linspace else {}
        return function(*args, **{**placed, **(kwargs or {})})
