"""Pool moments over the processes of a distributed run."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn

from bnadapt.batchnorm.moments import Moments

STATISTICS = 5  # mean, variance and three rows of spread


def known_to_all(names: Sequence[str], group: distributed.ProcessGroup | None) -> list[str]:
    """The names of the first process that has any (a collective)."""
    return list(next(filter(None, gathered_objects(names, group)), ()))


def gathered_objects(value: Any, group: distributed.ProcessGroup | None) -> list[Any]:
    """The objects of all processes, by rank (a collective)."""
    if group is None:
        return [value]
    gathered: list[Any] = [None] * distributed.get_world_size(group)
    distributed.all_gather_object(gathered, value, group=group)
    return gathered


class Processes:
    """The processes of a group, or this one alone.

    Every method is a collective: all processes of the group must call it, in the same order.

    Args:
        group: a group of torch.distributed; None for this process alone.
        layers: the BatchNorm layers by name, the same in all processes.
    """

    def __init__(self, group: distributed.ProcessGroup | None, layers: Mapping[str, nn.Module]) -> None:
        self.group = group
        self.layers = layers
        device = next(iter(layers.values())).running_mean.device
        self.device = device if group and "nccl" in distributed.get_backend(group) else torch.device("cpu")

    def gathered(self, number: int) -> list[int]:
        """The numbers of all processes, by rank."""
        if self.group is None:
            return [number]
        return [int(value) for value in self._all_gathered(torch.tensor(number, dtype=torch.float64))]

    def summed(self, values: Tensor) -> Tensor:
        """Sum over the processes of float64 tensors of one shape."""
        return values if self.group is None else torch.stack(self._all_gathered(values)).sum(0)

    def pooled(self, moments: Mapping[str, Moments], names: Collection[str]) -> dict[str, Moments]:
        """Moments of all processes together, the same in each; layers that none has seen are left out.

        Args:
            moments: moments of this process, by layer name.
            names: the layers to pool, the same in all processes.
        """
        if self.group is None:
            return dict(moments)
        pooled: dict[str, Moments] = {}
        for packed in self._all_gathered(self._packed(moments, names)):
            for name, part in self._unpacked(packed, names).items():
                pooled[name] = pooled[name].merged(part) if name in pooled else part
        return pooled

    def _packed(self, moments: Mapping[str, Moments], names: Collection[str]) -> Tensor:
        parts = []
        for name in names:
            if name in moments:
                each = moments[name]
                sizes = torch.tensor([each.count, each.tiles], dtype=torch.float64)
                parts += [sizes, each.mean.cpu(), each.variance.cpu(), each.spread.cpu().flatten()]
            else:
                parts.append(torch.zeros(2 + STATISTICS * self.layers[name].num_features, dtype=torch.float64))
        return torch.cat(parts)

    def _unpacked(self, packed: Tensor, names: Collection[str]) -> dict[str, Moments]:
        moments = {}
        lengths = [2 + STATISTICS * self.layers[name].num_features for name in names]
        for name, part in zip(names, packed.split(lengths), strict=True):
            count, tiles = part[:2].long().tolist()
            mean, variance, *spread = part[2:].view(STATISTICS, -1)
            if count:
                moments[name] = Moments(count, tiles, mean, variance, torch.stack(spread))
        return moments

    def _all_gathered(self, values: Tensor) -> list[Tensor]:
        values = values.to(self.device)
        gathered = [torch.empty_like(values) for _ in range(distributed.get_world_size(self.group))]
        distributed.all_gather(gathered, values, group=self.group)
        return [each.cpu() for each in gathered]
