"""Check checkpoints before anything in them is used."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import Version
from torch import Tensor

from bnadapt.batchnorm import Bank, BatchNormError, ClassMoments
from bnadapt.data import DomainPair
from bnadapt.errors import InputError
from bnadapt.networks.stored import check_numbers, fits, load_tensors
from bnadapt.networks.trust import accepted, outline

NETWORK_PARAMETERS = ("network", "network_args", "in_channels", "num_classes")
DEFAULT_TASK = "bnadapt.tasks.segmentation.SegmentationTask"
PREFIX, EXTRA_STATE = "network.", "_extra_state"  # of the names of a network's state
VERSION, OLDEST = "pytorch-lightning_version", Version("2")
ENTRIES = {"state_dict": dict, "task": str, "callbacks": dict, "adaptation": dict}
NUMBERS = ("optimizer_states", "averaging_state", "current_model_state", DomainPair.__qualname__)
"""Entries beside the network that must hold finite numbers only."""
TRAINING = ("optimizer_states", "lr_schedulers", "loops", "epoch", "global_step", "callbacks")
"""Entries that a training is resumed from."""
RESTORED: dict[str, Callable[[Any], Any]] = {
    "source_bank": Bank.from_state_dict,
    "class_moments": ClassMoments.from_state_dict,
    DomainPair.__qualname__: lambda state: DomainPair().load_state_dict(state),
}
"""Checks of entries, which raise an error if an entry is damaged."""
MESSAGE = 150  # characters of a library's message that are shown


@dataclass(frozen=True)
class StoredTask:
    """A checkpoint's description of its task.

    Attributes:
        path: path of the checkpoint.
        task: import path of the task's class.
        parameters: its hyper-parameters.
        is_resumable: whether it holds the state of its training.
        knows_scaling: whether it stores the scaling of images.
    """

    path: Path
    task: str
    parameters: dict[str, Any]
    is_resumable: bool
    knows_scaling: bool


def read_checkpoint(path: Path, requested: str | None = None) -> StoredTask:
    """Read a checkpoint's description of its task; nothing that it names is imported, and no network is built.

    Args:
        path: path of the checkpoint.
        requested: network that the user names, see `bnadapt.networks.trust`.

    Raises:
        InputError: the file is missing, broken or not a checkpoint of bnadapt; or it names a network that it must not
            name, or its weights do not match.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; check --ckpt_path.")
    try:
        checkpoint = load_tensors(path)
        parameters = {key: value for key, value in checkpoint["hyper_parameters"].items() if not key.startswith("_")}
        if not isinstance(parameters["network"], str) or not isinstance(parameters["network_args"], dict | None):
            raise TypeError("its network is not named")
        if missing := set(NETWORK_PARAMETERS) - set(parameters):
            raise KeyError(min(missing))
        _check_kinds(checkpoint)
    except Exception as error:
        raise InputError(
            f"{path}: is not a checkpoint of `bnadapt fit` or `bnadapt adapt`, or is damaged"
            f" ({type(error).__name__}: {_short(error)}); give one, such as .../checkpoints/best.ckpt."
        ) from error
    parameters = accepted(parameters, path, requested)
    if (tensors := outline(parameters)) is not None:
        network = {f"network.{name}": each for name, each in tensors.items()}
        check_weights(network, checkpoint["state_dict"], parameters["network"])
    _check_content(checkpoint, path)
    task = checkpoint.get("task", DEFAULT_TASK)
    return StoredTask(path, task, parameters, _is_resumable(checkpoint), DomainPair.__qualname__ in checkpoint)


def _check_kinds(checkpoint: Mapping[str, Any]) -> None:
    """Check that the entries in use exist and have the right types.

    Raises:
        KeyError: an entry is missing.
        TypeError: an entry has another type.
        ValueError: its Lightning version is unknown or no longer supported.
    """
    if Version(checkpoint[VERSION]) < OLDEST:
        raise ValueError(f"it was written by Lightning {checkpoint[VERSION]}")
    for key, kind in ENTRIES.items():
        if not isinstance(checkpoint.get(key, kind()), kind):
            raise TypeError(f"{key} is a {type(checkpoint[key]).__name__}")
    for name, value in checkpoint["state_dict"].items():
        if name.startswith(PREFIX) and not name.endswith(EXTRA_STATE) and not isinstance(value, Tensor):
            raise TypeError(f"{name} is a {type(value).__name__}")


def _check_content(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Refuse weights and statistics that are not finite, and incomplete adaptations."""
    check_numbers(checkpoint["state_dict"], path)
    check_numbers({key: checkpoint[key] for key in NUMBERS if key in checkpoint}, path)
    if "source_bank" in checkpoint and "adaptation" not in checkpoint:
        raise InputError(f"{path}: lacks the record of its adaptation, so it is damaged; adapt the network again.")
    try:
        for key, restore in RESTORED.items():
            if key in checkpoint:
                restore(checkpoint[key])
    except (BatchNormError, InputError) as error:
        raise InputError(f"{path}: {error}") from error


def _is_resumable(checkpoint: Mapping[str, Any]) -> bool:
    if any(checkpoint.get(key) is None for key in TRAINING) or "fit_loop" not in checkpoint["loops"]:
        return False
    optimizers = checkpoint["optimizer_states"]
    return bool(optimizers) and all({"state", "param_groups"} <= set(each) for each in optimizers)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:MESSAGE]


def check_weights(network: dict[str, Tensor], checkpoint: dict[str, Tensor], name: str) -> None:
    """Refuse a checkpoint if its tensors differ from those of the network in name, shape or kind of number.

    Args:
        network: state of the task.
        checkpoint: state in the checkpoint.
        name: name of the network, for messages.

    Raises:
        InputError: they differ.
    """
    stored = {key: tensor for key, tensor in checkpoint.items() if key.startswith("network.")}
    expected = {key: tensor for key, tensor in network.items() if key.startswith("network.")}
    differing = sorted(stored.keys() ^ expected.keys())
    differing += [key for key in expected if key in stored and not fits(stored[key], expected[key])]
    if differing:
        raise InputError(
            f"the checkpoint holds another architecture than {name}: {len(differing)} of {len(expected)} tensors"
            f" differ, the first is {differing[0]}. Take a checkpoint of this network, or leave out --model.network and"
            " --model.network_args so that the checkpoint's hold."
        )


def without_other_files(states: dict[str, Any]) -> dict[str, Any]:
    """States of callbacks in a checkpoint, without file names other than plain paths.

    Lightning's ModelCheckpoint removes the checkpoint that its state calls the best one so far, if that seems to lie in
    the folder of this run: `..` behind that folder, or a protocol of fsspec, would let a file name any other.
    """
    return {key: _with_plain_paths(state) for key, state in states.items()}


def _with_plain_paths(value: Any) -> Any:
    match value:
        case str() if "://" in value or "::" in value:
            return ""
        case str() if os.pardir in Path(value).parts:
            return os.path.normpath(value)
        case dict():
            return {_with_plain_paths(key): _with_plain_paths(each) for key, each in value.items()}
        case list():
            return [_with_plain_paths(each) for each in value]
    return value
