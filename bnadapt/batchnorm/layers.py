"""Find the BatchNorm layers of a network, wherever they are, and watch what they get."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

OTHER_NORMS = (nn.GroupNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm)


class BatchNormError(ValueError):
    """BatchNorm statistics that cannot be had or used; the sentence says why and what to do."""


class NoBatchNormError(BatchNormError):
    """A network without BatchNorm running statistics: there is nothing to re-estimate."""


class StatisticsError(BatchNormError):
    """Images from which no statistics can be estimated."""


def batchnorm_layers(network: nn.Module) -> dict[str, _BatchNorm]:
    """The BatchNorm layers (1d, 2d, 3d, Sync) by name, in order of definition.

    Names are those of the plain network, also where it, or a part of it, is wrapped by `torch.compile`,
    DataParallel or DistributedDataParallel.

    Raises:
        NoBatchNormError: the network has none, and the sentence says what it has instead; or one that keeps
            no running statistics, or has no shape yet.

    Examples:
        >>> list(batchnorm_layers(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))))
        ['1']
    """
    modules = dict(named_modules(network))
    layers = {name: module for name, module in modules.items() if isinstance(module, _BatchNorm)}
    if lazy := [name for name, layer in layers.items() if nn.parameter.is_lazy(layer.running_mean)]:
        raise NoBatchNormError(f"The BatchNorm layer {lazy[0]} has no shape yet; run the network once on a batch.")
    untracked = [name for name, layer in layers.items() if layer.running_mean is None]
    if untracked:
        raise NoBatchNormError(
            f"{len(untracked)} of the {len(layers)} BatchNorm layers of this {type(network).__name__} keep no running"
            f" statistics (track_running_stats=False), such as {untracked[0] or 'itself'}: they normalise by the"
            " batch at hand and there is nothing to re-estimate. Build them with track_running_stats=True."
        )
    if not layers:
        raise NoBatchNormError(f"This {type(network).__name__} has no BatchNorm layer{_instead(modules.values())}")
    return layers


def named_modules(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """As `torch.nn.Module.named_modules`, with the names of a network without wrappers.

    A module inside of `torch.compile`, DataParallel or DistributedDataParallel has the name of its wrapper.
    """
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
    """The module inside of `torch.compile`, DataParallel and DistributedDataParallel."""
    while isinstance(network, (nn.DataParallel, nn.parallel.DistributedDataParallel)) or hasattr(network, "_orig_mod"):
        network = network._orig_mod if hasattr(network, "_orig_mod") else network.module
    return network


@contextmanager
def watched(layers: Mapping[str, nn.Module], receive: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Call `receive` with name and input (N, C, ...) of every one of these layers that is called meanwhile."""

    def call(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], named: Mapping[str, Tensor]) -> None:
        receive(name, (inputs[0] if inputs else named["input"]).detach())

    hooks = [layer.register_forward_pre_hook(partial(call, name), with_kwargs=True) for name, layer in layers.items()]
    try:
        yield
    finally:
        for each in hooks:
            each.remove()


def _instead(modules: Iterator[nn.Module]) -> str:
    """How the sentence goes on that says that there is no BatchNorm layer: what there is instead, and what to do."""
    kinds = {getattr(each, "original_name", type(each).__name__): each for each in modules if not each._modules}
    normalising = sorted(name for name in kinds if "BatchNorm" in name)
    if scripted := [name for name in normalising if hasattr(kinds[name], "original_name")]:
        return f" but {scripted[0]} in TorchScript, which cannot be watched; give the network it was scripted from."
    if normalising:
        return (
            f" of torch's own but {', '.join(normalising)}, whose statistics are constants; build the network with"
            " torch.nn.BatchNorm2d, and load the same weights into it."
        )
    if others := sorted(name for name, each in kinds.items() if isinstance(each, OTHER_NORMS)):
        return (
            f", it normalises with {', '.join(others)}, which keeps no statistics of its training data; take a network"
            " with BatchNorm."
        )
    return "; take a network with BatchNorm."
