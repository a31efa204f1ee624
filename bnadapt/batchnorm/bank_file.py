"""The file format of banks: `LAYER/mean`, `LAYER/variance` and `LAYER/count`, with the provenance of every layer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bnadapt.batchnorm.layers import BatchNormError
from bnadapt.batchnorm.tensor_file import read_tensors, write_tensors


def write_bank(
    path: str | Path,
    mean: Mapping[str, Tensor],
    variance: Mapping[str, Tensor],
    count: Mapping[str, int],
    provenance: Mapping[str, str],
) -> None:
    """Write the parts of a `Bank`; a file that is there already is replaced once all is written.

    Raises:
        OSError: the file cannot be written.
    """
    tensors = {f"{name}/mean": each for name, each in mean.items()}
    tensors |= {f"{name}/variance": each for name, each in variance.items()}
    tensors |= {f"{name}/count": torch.tensor(each) for name, each in count.items()}
    write_tensors(path, tensors, {"provenance": {name: provenance.get(name, "unknown") for name in mean}})


def read_bank(path: str | Path) -> dict[str, Any]:
    """The parts of a `Bank`, as its constructor takes them.

    Raises:
        BatchNormError: the file is missing, broken or of something else.
    """
    tensors, metadata = read_tensors(path, "a bank")
    try:
        provenance = metadata["provenance"]
        names = list(provenance)  # safetensors sorts its keys, the network's order is here
        bank = {
            "mean": {name: _channels(tensors[f"{name}/mean"]) for name in names},
            "variance": {name: _channels(tensors[f"{name}/variance"]) for name in names},
            "count": {name: int(tensors[f"{name}/count"]) for name in names},
            "provenance": {name: str(source) for name, source in provenance.items()},
        }
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise BatchNormError(f"{path}: cannot be read as a bank ({error}); check the path.") from error
    if not names:
        raise BatchNormError(f"{path}: is a bank of no layer; write it again.")
    return bank


def _channels(statistics: Tensor) -> Tensor:
    if statistics.ndim != 1 or not statistics.is_floating_point():
        raise ValueError(f"statistics of shape {tuple(statistics.shape)} and type {statistics.dtype}")
    return statistics.double()
