"""What is read of a checkpoint before anything in it is followed, and what is refused."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bnadapt.errors import InputError
from bnadapt.networks.trust import may_run, names_a_class

NETWORK_PARAMETERS = ("network", "network_args", "in_channels", "num_classes")
DEFAULT_TASK = "bnadapt.tasks.segmentation.SegmentationTask"


@dataclass(frozen=True)
class StoredTask:
    """What a checkpoint says of its task.

    Attributes:
        path: of the checkpoint.
        task: import path of the task's class.
        parameters: its hyper-parameters.
        signature: of the network, see `bnadapt.networks.trust`.
        is_resumable: whether it holds the state of its training.
    """

    path: Path
    task: str
    parameters: dict[str, Any]
    signature: object
    is_resumable: bool


def read_checkpoint(path: Path) -> StoredTask:
    """Read what a checkpoint says of its task; nothing that it names is imported.

    Raises:
        InputError: the file is missing, broken or no checkpoint of a task of ours.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint; check --ckpt_path.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        parameters = {key: value for key, value in checkpoint["hyper_parameters"].items() if not key.startswith("_")}
        if not isinstance(parameters["network"], str) or not isinstance(parameters["network_args"], dict | None):
            raise TypeError("its network is not named")
        if missing := set(NETWORK_PARAMETERS) - set(parameters):
            raise KeyError(min(missing))
        task = str(checkpoint.get("task", DEFAULT_TASK))
        stored = StoredTask(path, task, parameters, checkpoint.get("signature"), "optimizer_states" in checkpoint)
    except Exception as error:
        raise InputError(
            f"{path}: is no checkpoint of `bnadapt fit` or `bnadapt adapt`, or is damaged"
            f" ({type(error).__name__}); give one, such as .../checkpoints/best.ckpt."
        ) from error
    if names_a_class(parameters):
        raise InputError(f"{path}: names classes among its parameters, which no checkpoint of ours does; take another.")
    return stored


def check_trusted(stored: StoredTask, requested: str | None) -> None:
    """Refuse a checkpoint that names a network of its own which the user does not name, see `bnadapt.networks.trust`.

    Args:
        stored: of the checkpoint.
        requested: network that the user names.

    Raises:
        InputError: it does.
    """
    if not may_run(stored.parameters, stored.signature, requested):
        name = stored.parameters["network"]
        raise InputError(
            f"{stored.path}: names the network {name}, code that would be imported and run; if you trust that code,"
            f" name it yourself by --model.network {name}."
        )


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
