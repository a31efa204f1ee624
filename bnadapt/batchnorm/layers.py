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
    """The BatchNorm layers (1d, 2d, 3d, Sync) that keep running statistics, by name, in order of definition.

    Raises:
        NoBatchNormError: the network has none; the sentence says what it has instead.
    """
    found = {name: module for name, module in network.named_modules() if isinstance(module, _BatchNorm)}
    if lazy := [name for name, module in found.items() if nn.parameter.is_lazy(module.running_mean)]:
        raise NoBatchNormError(f"The BatchNorm layer {lazy[0]} has no shape yet; run the network once on a batch.")
    tracking = {name: module for name, module in found.items() if module.running_mean is not None}
    if tracking:
        return tracking
    if found:
        raise NoBatchNormError(
            f"The {len(found)} BatchNorm layers of this {type(network).__name__} keep no running statistics"
            " (track_running_stats=False): they normalise by the batch at hand and there is nothing to re-estimate."
            " Build them with track_running_stats=True."
        )
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
