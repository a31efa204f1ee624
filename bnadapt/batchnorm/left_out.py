"""Warn about parts of a network that are not adapted."""

import warnings
from collections.abc import Collection

from torch import Tensor, nn

from bnadapt.batchnorm.layers import BatchNormWarning, batchnorm_layers, named_modules, other_normalisers
from bnadapt.batchnorm.watching import Bypasses

SHOWN = 5  # names listed in a warning


def warn_of_left_out(network: nn.Module, unseen: Collection[str], bypasses: Bypasses) -> None:
    """Warn about modules that keep their statistics, and about layers that the network uses without calling them.

    Args:
        network: the network, with the buffers of the forward passes.
        unseen: BatchNorm layers that should have adapted but were never called.
        bypasses: what the forward passes normalised without calling layers.
    """
    parts = {name: "its batch_norm was not called" for name in unseen}
    parts |= other_normalisers(network)
    layers = batchnorm_layers(network)
    for running_mean in bypasses.foreign.values():
        owner = _owner(network, running_mean)
        if owner is not None and owner not in layers:  # without an owner it is a copy
            parts.setdefault(owner, "batch_norm with statistics of its own")
    if parts:
        entries = [f"{name or 'the network itself'} ({kind})" for name, kind in parts.items()]
        _warn(f"Not adapted: {_listed(entries)}; their statistics are unchanged.")
    if bypasses.uncalled:
        _warn(
            f"Adapted, though the network normalises by their statistics without calling them:"
            f" {_listed(sorted(bypasses.uncalled))}."
        )


def _owner(network: nn.Module, tensor: Tensor) -> str | None:
    """Name of the module that holds a tensor as a buffer, parameter or attribute."""
    for name, module in named_modules(network):
        stores = (module._buffers, module._parameters, vars(module))
        if any(each is tensor for kind in stores for each in dict(kind).values()):
            return name
    return None


def _listed(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _warn(sentence: str) -> None:
    warnings.warn(sentence, BatchNormWarning, stacklevel=2)
