"""What is read of a checkpoint before anything in it is followed, and what is refused."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from bnadapt.errors import InputError
from bnadapt.networks.stored import load_tensors
from bnadapt.networks.trust import accepted, outline

NETWORK_PARAMETERS = ("network", "network_args", "in_channels", "num_classes")
DEFAULT_TASK = "bnadapt.tasks.segmentation.SegmentationTask"


@dataclass(frozen=True)
class StoredTask:
    """What a checkpoint says of its task.

    Attributes:
        path: of the checkpoint.
        task: import path of the task's class.
        parameters: its hyper-parameters.
        is_resumable: whether it holds the state of its training.
    """

    path: Path
    task: str
    parameters: dict[str, Any]
    is_resumable: bool


def read_checkpoint(path: Path, requested: str | None = None) -> StoredTask:
    """Read what a checkpoint says of its task; nothing that it names is imported, and no network is built.

    Args:
        path: of the checkpoint.
        requested: network that the user names, see `bnadapt.networks.trust`.

    Raises:
        InputError: the file is missing, broken or no checkpoint of a task of ours; it names a network that it must not
            name, or one whose weights are not those in it.
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
        weights = checkpoint["state_dict"]
        task = str(checkpoint.get("task", DEFAULT_TASK))
    except Exception as error:
        raise InputError(
            f"{path}: is no checkpoint of `bnadapt fit` or `bnadapt adapt`, or is damaged"
            f" ({type(error).__name__}); give one, such as .../checkpoints/best.ckpt."
        ) from error
    parameters = accepted(parameters, path, requested)
    if (tensors := outline(parameters)) is not None:
        check_weights({f"network.{name}": each for name, each in tensors.items()}, weights, parameters["network"])
    return StoredTask(path, task, parameters, "optimizer_states" in checkpoint)


def check_weights(network: dict[str, Tensor], checkpoint: dict[str, Tensor], name: str) -> None:
    """Refuse a checkpoint whose network tensors differ from those of the network in name or shape.

    Args:
        network: state of the task.
        checkpoint: state in the checkpoint.
        name: of the network, for messages.

    Raises:
        InputError: they do.
    """
    stored = {key: tensor for key, tensor in checkpoint.items() if key.startswith("network.")}
    expected = {key: tensor for key, tensor in network.items() if key.startswith("network.")}
    differing = sorted(stored.keys() ^ expected.keys())
    differing += [key for key in expected if key in stored and stored[key].shape != expected[key].shape]
    if differing:
        raise InputError(
            f"the checkpoint holds another architecture than {name}: {len(differing)} of {len(expected)} tensors"
            f" differ, the first is {differing[0]}. Take a checkpoint of this network, or leave out --model.network and"
            " --model.network_args so that the checkpoint's hold."
        )


def without_other_files(states: dict[str, Any]) -> dict[str, Any]:
    """States of callbacks, as a checkpoint holds them, that name no file but by a plain path.

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
