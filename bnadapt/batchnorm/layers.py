"""Find the BatchNorm layers of a network, wherever they are."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

OTHER_NORMS = (nn.GroupNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm)


class BatchNormError(ValueError):
    """BatchNorm statistics that cannot be had or used; the sentence says why and what to do."""


class NoBatchNormError(BatchNormError):
    """A network without BatchNorm running statistics: there is nothing to re-estimate."""


class StatisticsError(BatchNormError):
    """Images from which no statistics can be estimated."""


def batchnorm_layers(network: nn.Module) -> dict[str, _BatchNorm]:
    """The BatchNorm layers (1d, 2d, 3d, Sync), by name, in order of definition.

    Raises:
        NoBatchNormError: the network has none, and the sentence says what it has instead; or one that keeps
            no running statistics, or has no shape yet.
    """
    network = unwrapped(network)
    found = {name: module for name, module in network.named_modules() if isinstance(module, _BatchNorm)}
    if lazy := [name for name, each in found.items() if nn.parameter.is_lazy(each.running_mean)]:
        raise NoBatchNormError(f"The BatchNorm layer {lazy[0]} has no shape yet; run the network once on a batch.")
    untracked = [name for name, module in found.items() if module.running_mean is None]
    if untracked:
        raise NoBatchNormError(
            f"{len(untracked)} of the {len(found)} BatchNorm layers of this {type(network).__name__} keep no running"
            f" statistics (track_running_stats=False), such as {untracked[0] or 'itself'}: they normalise by the"
            " batch at hand and there is nothing to re-estimate. Build them with track_running_stats=True."
        )
    if found:
        return found
    others = sorted({type(module).__name__ for module in network.modules() if isinstance(module, OTHER_NORMS)})
    raise NoBatchNormError(
        f"This {type(network).__name__} has no BatchNorm layer"
        + (
            f", it normalises with {', '.join(others)}, which keeps no statistics of its training data"
            if others
            else ""
        )
        + "; take a network with BatchNorm."
    )


def unwrapped(network: nn.Module) -> nn.Module:
    """The network inside of torch.compile, DataParallel and DistributedDataParallel, whose names have no prefix."""
    while isinstance(network, (nn.DataParallel, nn.parallel.DistributedDataParallel)) or hasattr(network, "_orig_mod"):
        network = network._orig_mod if hasattr(network, "_orig_mod") else network.module
    return network
