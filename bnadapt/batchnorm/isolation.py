"""Run a network without leaving a trace in it or in the process."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from bnadapt.batchnorm.attributes import attributes_unless_ended
from bnadapt.batchnorm.layers import StatisticsError, named_modules


@contextmanager
def isolated(network: nn.Module) -> Iterator[None]:
    """Put every module into eval mode with copies of its buffers; on leaving, all is restored.

    This covers modes, buffers, the random states of torch, NumPy and Python, and after an exception or interrupt also
    `Attributes`. Parameters are left alone.

    Raises:
        StatisticsError: weights or buffers are on the meta device.
    """
    _check_values(network)
    modes = {
        each: each.training for each in network.modules() if hasattr(each, "training")
    }  # frozen TorchScript has none
    buffers = {module: dict(module._buffers) for module in modes if isinstance(module._buffers, dict)}
    device = next((each.device for _, module in named_modules(network) for each in module.parameters(False)), None)
    states = np.random.get_state(), random.getstate()  # noqa: NPY002
    copies: dict[int, Tensor] = {}
    with torch.random.fork_rng(devices=[device] if device is not None and device.type == "cuda" else []):
        try:
            for module in modes:
                module.training = False
            for module, originals in buffers.items():
                module._buffers.update({name: _copied(buffer, copies) for name, buffer in originals.items()})
            with attributes_unless_ended(network):
                yield
        finally:
            for module, originals in buffers.items():
                module._buffers.clear()
                module._buffers.update(originals)
            for module, mode in modes.items():
                module.training = mode
            np.random.set_state(states[0])  # noqa: NPY002
            random.setstate(states[1])


def _check_values(network: nn.Module) -> None:
    for name, module in named_modules(network):
        for tensor, each in (*module._parameters.items(), *module._buffers.items()):
            if each is not None and each.is_meta:
                raise StatisticsError(
                    f"{f'{name}.' if name else ''}{tensor} is on the meta device and has no values; load the network's"
                    " weights first, by load_state_dict(..., assign=True)."
                )


def _copied(buffer: Tensor | None, copies: dict[int, Tensor]) -> Tensor | None:
    """A copy of a buffer; the same copy for a buffer that several modules share."""
    if buffer is None or nn.parameter.is_lazy(buffer):
        return buffer
    return copies.setdefault(id(buffer), buffer.clone())
