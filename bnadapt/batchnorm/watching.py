"""Watch what BatchNorm layers normalise."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import get_ident
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Forward = Callable[[Tensor], Any]
NORMALISING = frozenset(  # names of torch's functions
    (
        "batch_norm",
        "native_batch_norm",
        "_native_batch_norm_legit",
        "_native_batch_norm_legit_no_training",
        "cudnn_batch_norm",
        "instance_norm",
    )
)
STATISTICS = ("running_mean", "running_var")
FUNCTIONAL_MEAN, MEAN, BY_BATCH = 1, 3, 5  # argument positions: running mean in torch.nn.functional and elsewhere, mode
NEAR = 0.01  # share of the largest output by which two computations differ in half precision


@dataclass(frozen=True)
class Bypasses:
    """Normalisation in a network that bypasses its layers."""

    foreign: dict[int, Tensor] = field(default_factory=dict)
    """Running means, by identity, that torch's functions normalised by and that belong to no layer."""
    uncalled: set[str] = field(default_factory=set)
    """Layers that were not called although their statistics were used."""


@contextmanager
def watched(
    forward: Forward,
    layers: Mapping[str, nn.Module],
    on_input: Callable[[str, Tensor], None],
    bypasses: Bypasses | None = None,
) -> Iterator[Forward]:
    """A forward, for any thread, that calls `on_input` with name and input (N, C, ...) of every layer that normalises.

    What counts is the input of `batch_norm` together with the statistics of a layer: a subclass may change its input
    first, and a network may use the statistics without calling the layer. A layer with code of its own is seen if its
    output is that of an ordinary one. `on_input` may replace the buffers of the layer, which then normalises by the new
    ones.

    Args:
        forward: runs the network on a batch.
        layers: BatchNorm layers by name.
        on_input: called with a layer's name and what it normalises.
        bypasses: collects what else is normalised.
    """
    mode = _Watching(layers, on_input, bypasses or Bypasses())

    def run(images: Tensor) -> Any:
        with mode:
            output = forward(images)
        mode.end()
        return output

    hooks = [layer.register_forward_hook(partial(mode.after, name), with_kwargs=True) for name, layer in layers.items()]
    try:
        yield run
    finally:
        for each in hooks:
            each.remove()


class _Watching(TorchFunctionMode):
    """Intercepts torch's functions in every thread that enters it."""

    def __init__(
        self, layers: Mapping[str, nn.Module], on_input: Callable[[str, Tensor], None], bypasses: Bypasses
    ) -> None:
        super().__init__()
        self.layers = layers
        self.on_input = on_input
        self.bypasses = bypasses
        self.normalised: set[tuple[int, str]] = set()  # layers that have done so in a call, by thread

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__name__", "").partition(".")[0] in NORMALISING:
            args, kwargs = self._normalising(function, args, kwargs)
        return function(*args, **kwargs)

    def after(self, name: str, layer: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> Any:
        """Forward hook for a layer that has not called torch's function."""
        call = get_ident(), name
        if call in self.normalised or layer is not self.layers[name]:  # the other is a replica of DataParallel
            self.normalised.discard(call)
            return None
        features = args[0] if args else kwargs["input"]
        if not _is_ordinary(layer, features, output):
            return None
        self.on_input(name, features.detach())
        return layer.forward(*args, **kwargs)

    def end(self) -> None:
        """Record the layers that were not called in a forward pass of this thread."""
        self.bypasses.uncalled.update(name for thread, name in self.normalised if thread == get_ident())

    def _normalising(self, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
        """The arguments of a call that normalises, with the statistics of the layer after `on_input`."""
        position = FUNCTIONAL_MEAN if function in (functional.batch_norm, functional.instance_norm) else MEAN
        running_mean = _argument(args, kwargs, position, "running_mean")
        if running_mean is None:
            return args, kwargs
        name = next((name for name, each in self.layers.items() if each._buffers[STATISTICS[0]] is running_mean), None)
        if name is None:
            if not _argument(args, kwargs, BY_BATCH, "training", "use_input_stats"):
                self.bypasses.foreign[id(running_mean)] = running_mean
            return args, kwargs
        layer = self.layers[name]
        before = {id(layer._buffers[each]): each for each in STATISTICS}
        self.normalised.add((get_ident(), name))
        self.on_input(name, _argument(args, kwargs, 0, "input").detach())

        def now(value: Any) -> Any:
            return layer._buffers[before[id(value)]] if id(value) in before else value

        return tuple(map(now, args)), {key: now(value) for key, value in kwargs.items()}


def _argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], position: int, *names: str) -> Any:
    values = [kwargs[name] for name in names if name in kwargs]
    return values[0] if values else args[position] if position < len(args) else None


def _is_ordinary(layer: nn.Module, features: Any, output: Any) -> bool:
    """Whether an output is that of a BatchNorm layer in eval mode on these features."""
    if not (isinstance(features, Tensor) and isinstance(output, Tensor) and features.shape == output.shape):
        return False
    if features.ndim < 2 or features.shape[1] != layer.num_features:
        return False
    mean, variance = (layer._buffers[each].float() for each in STATISTICS)
    shape = (-1, *[1] * (features.ndim - 2))
    expected = (features.float() - mean.view(shape)) / (variance + layer.eps).sqrt().view(shape)
    if layer.weight is not None:
        expected = expected * layer.weight.view(shape)
    if layer.bias is not None:
        expected = expected + layer.bias.view(shape)
    return bool((output - expected).abs().max() <= NEAR * expected.abs().max())
