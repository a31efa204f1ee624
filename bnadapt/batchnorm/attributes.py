"""Plain Python attributes of modules, to restore them after a forward pass that was interrupted."""

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from bnadapt.batchnorm.layers import named_modules

HOOKS = ("_forward_hooks", "_forward_pre_hooks")
CONTAINERS = (list, dict, OrderedDict, defaultdict, Counter, set, deque)  # exact types: some subclasses are constant
_OF_TORCH = frozenset(vars(nn.Module()))


class Attributes:
    """Snapshot of the attributes of a network's modules, with the contents of lists, dicts, sets and deques in them.

    Includes forward hooks; leaves out parameters, buffers, submodules, modes, the contents of other objects, and all
    but the hooks of torch's own layers.

    Examples:
        >>> network = type("Noting", (nn.Module,), {})()
        >>> network.seen = []
        >>> before = Attributes(network)
        >>> network.seen.append(1)
        >>> before.put_back()
        >>> network.seen
        []
    """

    def __init__(self, network: nn.Module) -> None:
        self._take([module for _, module in named_modules(network) if _is_plain(module)])

    def now(self) -> "Attributes":
        """A new snapshot of the same modules."""
        attributes = object.__new__(Attributes)
        attributes._take(self._modules)
        return attributes

    def _take(self, modules: list[nn.Module]) -> None:
        self._modules = modules
        self._attributes = [(module, _own(module)) for module in modules if not _is_of_torch(module)]
        hooks = (vars(module)[name] for module in modules for name in HOOKS)
        containers = (each for _, attributes in self._attributes for each in _containers(attributes))
        self._contents = [(each, each.copy()) for each in (*hooks, *{id(each): each for each in containers}.values())]

    def put_back(self) -> None:
        """Restore the attributes: the same objects with the same contents."""
        for module, before in self._attributes:
            for name in _own(module).keys() - before.keys():
                del vars(module)[name]
            vars(module).update(before)
        for container, content in self._contents:
            container.clear()
            (container.extend if isinstance(container, list | deque) else container.update)(content)


@contextmanager
def attributes_unless_ended(network: nn.Module) -> Iterator[None]:
    """Restore attributes if the block raises."""
    before = Attributes(network)
    try:
        yield
    except BaseException:
        before.put_back()
        raise


def _is_plain(module: nn.Module) -> bool:
    """Whether attributes can be restored; lazy modules turn into another class."""
    return isinstance(module._buffers, dict) and not isinstance(module, nn.modules.lazy.LazyModuleMixin)


def _is_of_torch(module: nn.Module) -> bool:
    """Whether a module is one of torch's layers, which keep nothing between forward passes."""
    return type(module).__module__.startswith("torch.nn.modules.")


def _own(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name not in _OF_TORCH}


def _containers(attributes: dict[str, Any]) -> Iterator[Any]:
    """Lists, dicts, sets and deques among attributes, nested ones included."""
    seen: set[int] = set()
    waiting = list(attributes.values())
    while waiting:
        each = waiting.pop()
        if not (type(each) in CONTAINERS or isinstance(each, tuple)) or id(each) in seen:
            continue
        seen.add(id(each))
        if not isinstance(each, tuple):
            yield each
        waiting += each.values() if isinstance(each, dict) else each
