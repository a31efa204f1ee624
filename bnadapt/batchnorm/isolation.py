"""Run a network for its statistics, and leave no trace in it or in the process."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from bnadapt.batchnorm.layers import batchnorm_layers


@contextmanager
def isolated(network: nn.Module) -> Iterator[None]:
    """Every module in eval mode, and running statistics that may be exchanged; afterwards all is as before.

    Also after an exception or an interrupt. The original tensors of the statistics are put aside and
    are never written to. The random states of torch, numpy and Python come back too.
    """
    modes = {module: module.training for module in network.modules()}
    statistics = {
        layer: (layer._buffers["running_mean"], layer._buffers["running_var"])
        for layer in batchnorm_layers(network).values()
    }
    device = next(iter(statistics.values()))[0].device
    states = np.random.get_state(), random.getstate()  # noqa: NPY002
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            for module in modes:
                module.training = False
            yield
        finally:
            for layer, (mean, variance) in statistics.items():
                layer._buffers["running_mean"], layer._buffers["running_var"] = mean, variance
            for module, mode in modes.items():
                module.training = mode
            np.random.set_state(states[0])  # noqa: NPY002
            random.setstate(states[1])
