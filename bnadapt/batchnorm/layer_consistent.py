"""Estimate each layer on the outputs of the layers before it once these are adapted."""

import threading
from collections.abc import Mapping, Sequence
from functools import partial, reduce
from typing import Any

from torch import Tensor

from bnadapt.batchnorm.layers import StatisticsError
from bnadapt.batchnorm.lockstep import ForwardPass, side_by_side
from bnadapt.batchnorm.moments import Moments
from bnadapt.batchnorm.processes import Processes
from bnadapt.batchnorm.propagation import Propagation, no_variance


class LayerConsistent(Propagation):
    """Every layer normalises by the statistics of its input over all batches, in the adapted network.

    This is the fixed point at which the adapted network in eval mode has zero mean and unit variance before the affine
    part of every layer (with full replacement). It is found breadth first: all batches go through the network side by
    side, wait at every BatchNorm layer for the last one, and go on normalised by their pooled moments. That costs one
    forward pass over the tiles, whatever the depth, and memory for the features (and skip connections) of all tiles
    between two layers. So use few tiles drawn at random; `UntilConverged` finds how many. Each of its checks runs all
    tiles again, at least twice as many as the last, so that all checks together cost less than three passes. Every
    batch has a thread, with torch's threads of its own: with many cores make the batches large.
    """

    growth = 2

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.batches: list[Tensor] = []

    def update(self, images: Tensor) -> None:
        """Keep a copy of the batch."""
        self.batches.append(images.clone())

    def compute(self, processes: Processes) -> dict[str, Moments]:
        """Run all batches breadth first.

        Raises:
            StatisticsError: a process has no batch, batches take different execution paths, or a layer is called twice
                in a pass, so that no single statistics fit both inputs.
        """
        if 0 in processes.gathered(len(self.batches)):
            raise StatisticsError("One of the processes got no image; give at least one batch to each.")
        images = sum(processes.gathered(sum(map(len, self.batches))))
        pooled: dict[str, Moments] = {}
        device_type = self.batches[0].device.type
        with (
            self.watched(self._halt) as forward,
            side_by_side([partial(forward, batch) for batch in self.batches], self.network, device_type) as passes,
        ):
            while (name := _common_layer(passes)) is not None:
                moments = {name: reduce(Moments.merged, (each.value for each in passes))}
                pooled |= processes.pooled(moments, [name])
                if pooled[name].count == 1:
                    raise StatisticsError(no_variance(name))
                self.normalise_by(name, pooled[name].mean, pooled[name].variance, images)
                for each in passes:
                    each.advance()
                _check_once(passes[0].layer, pooled)
        return pooled

    def _halt(self, name: str, features: Tensor) -> None:
        """Compute the moments of the layer's input, and wait there for all other passes."""
        thread = threading.current_thread()
        if not isinstance(thread, ForwardPass):
            raise StatisticsError(
                f"The BatchNorm layer {name} is called in a thread that the network has started, as DataParallel does;"
                " give the network inside, or take the propagation 'one_pass'."
            )
        thread.halt(name, Moments.of(self.units(features)))


def _common_layer(passes: Sequence[ForwardPass]) -> str | None:
    layers = {each.layer for each in passes}
    if len(layers) > 1:
        listed = " and ".join(sorted(layer or "the end" for layer in layers))
        raise StatisticsError(
            f"Batches take different execution paths through the network: they are at {listed}. Take the propagation"
            " 'one_pass'."
        )
    return layers.pop()


def _check_once(layer: str | None, pooled: Mapping[str, Moments]) -> None:
    if layer in pooled:
        raise StatisticsError(
            f"The BatchNorm layer {layer} is called twice in a forward pass, so no single"
            " statistics fit both of its inputs. Take the propagation 'one_pass'."
        )
