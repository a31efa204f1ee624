"""Watch what BatchNorm layers get."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn


@contextmanager
def watched(layers: Mapping[str, nn.Module], seen: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Meanwhile `seen` gets name and input (N, C, ...) of every one of these layers that is called."""

    def call(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], named: Mapping[str, Tensor]) -> None:
        seen(name, (inputs[0] if inputs else named["input"]).detach())

    hooks = [layer.register_forward_pre_hook(partial(call, name), with_kwargs=True) for name, layer in layers.items()]
    try:
        yield
    finally:
        for each in hooks:
            each.remove()
