"""Find the BatchNorm layers of a network, and other modules that normalise in the same way."""

import re
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bnadapt.errors import BnadaptError

OTHER_NORMS = (nn.GroupNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm)
STATISTICS = re.compile(r"(running|moving).*(mean|var)")  # in the names of tensors that a module normalises by


class BatchNormError(BnadaptError):
    """BatchNorm statistics that cannot be estimated or used."""


class NoBatchNormError(BatchNormError):
    """A network without BatchNorm running statistics."""


class StatisticsError(BatchNormError):
    """Images from which no statistics can be estimated."""


class NoImageError(StatisticsError):
    """No images to estimate statistics from."""

    def __init__(self) -> None:
        super().__init__("No image was given, so there is nothing to estimate from; give at least one.")


class BatchNormWarning(UserWarning):
    """Parts of a network that are not adapted, or not as expected."""


def batchnorm_layers(network: nn.Module) -> dict[str, _BatchNorm]:
    """The BatchNorm layers (1d, 2d, 3d, Sync) by name, in order of definition.

    Names are those of the plain network, without wrappers such as `torch.compile`, DataParallel and
    DistributedDataParallel.

    Raises:
        NoBatchNormError: there are none (the message says what the network has instead), or one keeps no running
            statistics or has no shape yet.

    Examples:
        >>> list(batchnorm_layers(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))))
        ['1']
    """
    modules = dict(named_modules(network))
    layers = {name: module for name, module in modules.items() if isinstance(module, _BatchNorm)}
    statistics = {name: _statistics(layer) for name, layer in layers.items()}
    if lazy := [name for name, (mean, _) in statistics.items() if nn.parameter.is_lazy(mean)]:
        raise NoBatchNormError(f"The BatchNorm layer {lazy[0]} has no shape yet; run the network once on a batch.")
    untracked = [name for name, (mean, variance) in statistics.items() if mean is variance is None]
    if untracked:
        raise NoBatchNormError(
            f"{len(untracked)} of the {len(layers)} BatchNorm layers of this {type(network).__name__} keep no running"
            f" statistics (track_running_stats=False), such as {untracked[0] or 'itself'}: they normalise by the"
            " current batch and there is nothing to re-estimate. Build them with track_running_stats=True."
        )
    for name, layer in layers.items():
        _check_statistics(name or "itself", layer)
    if not layers:
        raise NoBatchNormError(f"This {type(network).__name__} has no BatchNorm layer{_instead(network)}")
    return layers


def named_modules(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """As `torch.nn.Module.named_modules`, with the names of the network without wrappers (see `batchnorm_layers`)."""
    seen: set[nn.Module] = set()
    waiting = [("", network)]
    while waiting:
        name, module = waiting.pop()
        module = unwrapped(module)
        if module in seen:
            continue
        seen.add(module)
        yield name, module
        children = [(f"{name}.{child}" if name else child, each) for child, each in module._modules.items()]
        waiting += [(path, each) for path, each in reversed(children) if each is not None]


def unwrapped(network: nn.Module) -> nn.Module:
    """The module inside `torch.compile`, DataParallel and DistributedDataParallel."""
    while isinstance(network, (nn.DataParallel, nn.parallel.DistributedDataParallel)) or hasattr(network, "_orig_mod"):
        network = network._orig_mod if hasattr(network, "_orig_mod") else network.module
    return network


def _statistics(layer: _BatchNorm) -> tuple[Tensor | None, Tensor | None]:
    return getattr(layer, "running_mean", None), getattr(layer, "running_var", None)


def _check_statistics(name: str, layer: _BatchNorm) -> None:
    """Refuse running statistics that are missing, on the meta device, or of another shape or type."""
    for kind, statistics in zip(("mean", "variance"), _statistics(layer), strict=True):
        if statistics is None:
            raise NoBatchNormError(
                f"The BatchNorm layer {name} has only one of running mean and variance, no {kind}; build it again"
                " with track_running_stats=True, and load its weights."
            )
        if statistics.shape != (layer.num_features,) or not statistics.is_floating_point():
            raise NoBatchNormError(
                f"The running {kind} of the BatchNorm layer {name} has the shape {tuple(statistics.shape)} and the type"
                f" {statistics.dtype} for {layer.num_features} features; build the layer anew, and load its weights."
            )
        if statistics.is_meta:
            raise NoBatchNormError(
                f"The BatchNorm layer {name} is on the meta device and has no running {kind}; load the network's"
                " weights first, by load_state_dict(..., assign=True)."
            )


def other_normalisers(network: nn.Module) -> dict[str, str]:
    """Modules that normalise by stored statistics but are not BatchNorm layers: kind by name.

    Examples:
        >>> other_normalisers(nn.Sequential(nn.BatchNorm2d(4), nn.InstanceNorm2d(4, track_running_stats=True)))
        {'1': 'InstanceNorm2d'}
    """
    kinds: dict[str, str] = {}
    inside: tuple[str, ...] = ()
    for name, module in named_modules(network):
        if isinstance(module, torch.jit.ScriptModule):
            if not name.startswith(inside) and (kind := _scripted_kind(module)):
                kinds[name] = f"{kind} in TorchScript"
                inside = (*inside, f"{name}." if name else "")
        elif not isinstance(module, _BatchNorm) and _keeps_statistics(module):
            kinds[name] = type(module).__name__
    return kinds


def _keeps_statistics(module: nn.Module) -> bool:
    tensors = [*module.named_buffers(recurse=False), *module.named_parameters(recurse=False)]
    return any(STATISTICS.search(name) for name, _ in tensors)


def _scripted_kind(module: torch.jit.ScriptModule) -> str | None:
    for each in module.modules():
        if _keeps_statistics(each):
            return each.original_name
    return "batch_norm" if "batch_norm" in str(getattr(module, "inlined_graph", "")) else None


def _instead(network: nn.Module) -> str:
    """End of the sentence that the network has no BatchNorm layer: what it has instead, and what to do."""
    normalising = sorted(set(other_normalisers(network).values()))
    if scripted := [kind for kind in normalising if kind.endswith("TorchScript")]:
        return f" but {scripted[0]}, which cannot be watched; give the network it was scripted from."
    if normalising:
        return (
            f" of torch but {', '.join(normalising)}, with constant statistics; build the network with"
            " torch.nn.BatchNorm2d, and load the same weights into it."
        )
    kinds = {type(each).__name__ for _, each in named_modules(network) if isinstance(each, OTHER_NORMS)}
    if kinds:
        return (
            f", it normalises with {', '.join(sorted(kinds))}, which keeps no statistics of its training data; take a"
            " network with BatchNorm."
        )
    return "; take a network with BatchNorm."
