"""Rules for how BatchNorm layers normalise while the statistics of later layers are estimated."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial, reduce
from itertools import groupby
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from bnadapt.batchnorm.attributes import attributes_unless_ended
from bnadapt.batchnorm.class_moments import ProportionCorrection
from bnadapt.batchnorm.layers import StatisticsError, batchnorm_layers
from bnadapt.batchnorm.lockstep import ForwardPass, side_by_side
from bnadapt.batchnorm.moments import Moments, as_one_tile, tile_moments
from bnadapt.batchnorm.policy import Policy
from bnadapt.batchnorm.processes import Processes
from bnadapt.batchnorm.watching import Forward, Otherwise, watched


class _SingleValue(BaseException):
    """Ends a forward pass at a layer with one value per channel, which has no variance."""


class _NothingLeft(BaseException):
    """Ends a forward pass behind the last layer that the policy chooses."""


class Propagation(ABC):
    """Collects the moments of the inputs of the BatchNorm layers that the policy chooses.

    The network must be `isolated`; its layers normalise by running statistics that change from batch to batch.

    Args:
        network: network with BatchNorm layers that keep running statistics.
        forward: runs it on a batch.
        policy: which layers adapt, and how; the others keep the source's statistics.
        by_tile: whether standard errors count tiles, which costs a little more, instead of batches.
        correction: correction for class proportions.

    Attributes:
        layers: the chosen layers by name, in order of definition.
        leaves_out: whether the network has others.
        otherwise: what the network normalises in another way.
    """

    growth: int
    """Factor by which the number of tiles must have grown before another `compute` is worth its cost."""

    def __init__(
        self,
        network: nn.Module,
        forward: Forward,
        policy: Policy,
        by_tile: bool,
        correction: ProportionCorrection | None = None,
    ) -> None:
        layers = batchnorm_layers(network)
        self.network = network
        self.layers = {name: layers[name] for name in policy.chosen(list(layers))}
        self.leaves_out = len(self.layers) < len(layers)
        self.source = {name: _in_float64(layer) for name, layer in self.layers.items()}
        self.forward = forward
        self.policy = policy
        self.by_tile = by_tile
        self.correction = correction
        self.otherwise = Otherwise()

    @abstractmethod
    def update(self, images: Tensor) -> None:
        """Add a batch."""

    @abstractmethod
    def compute(self, processes: Processes) -> dict[str, Moments]:
        """Moments of all batches of all processes (a collective)."""

    def normalise_by(self, name: str, mean: Tensor, variance: Tensor, tiles: int) -> None:
        """Let a layer normalise by the target's statistics (C,) of `tiles` tiles, combined by the policy."""
        layer, source = self.layers[name], self.source[name]
        if self.correction is not None:
            mean, variance = self.correction.corrected(name, mean, variance)
        adapted = self.policy.combined(source, (mean, variance), tiles)
        for buffer, value in zip(("running_mean", "running_var"), adapted, strict=True):
            layer._buffers[buffer] = value.to(layer._buffers[buffer])

    def watched(self, seen: Callable[[str, Tensor], None]) -> AbstractContextManager[Forward]:
        """The forward, with `seen` called for every input that the chosen layers normalise."""
        return watched(self.forward, self.layers, seen, self.otherwise)

    def units(self, features: Tensor) -> Tensor:
        """Features whose first axis counts the units of standard errors."""
        return features if self.by_tile else as_one_tile(features)


class OnePass(Propagation):
    """Every layer normalises by the current batch (AdaBN in one pass).

    One forward pass per batch. The moments of the first layer are exact; those of later layers come from features
    normalised batch by batch, which approximate the adapted network better the larger the batches are. If the policy's
    source weight depends on the number of tiles, the number so far counts.

    A batch in which a layer gets a single value per channel, such as a last one of one tile behind global pooling, is
    joined with the next batch of its size, or else normalised there by the moments so far.

    If the policy leaves layers out, the first batch that calls all chosen ones shows which is the last; batches that
    call the same layers in the same order stop there.
    """

    growth = 1

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._images = 0
        self._streams: dict[_ExecutionPath, Moments] = {}
        self._whole: list[str] | None = None
        self._held: Tensor | None = None

    def update(self, images: Tensor) -> None:
        """Run the batch and merge its moments."""
        if self._held is not None and self._held.shape[1:] == images.shape[1:]:
            images, self._held = torch.cat([self._held, images]), None
        try:
            self._run(images, None)
        except _SingleValue:
            self._run_held()
            self._held = images.clone()

    def compute(self, processes: Processes) -> dict[str, Moments]:
        """The merged moments."""
        self._run_held()
        return processes.pooled(self._moments(), self.layers)

    def _run_held(self) -> None:
        """Run the batch that was held back; single values per channel are normalised by the moments so far."""
        held, self._held = self._held, None
        if held is not None:
            self._run(held, self._moments())

    def _run(self, images: Tensor, pooled: Mapping[str, Moments] | None) -> None:
        """Run a batch.

        Args:
            images: the batch.
            pooled: moments by which layers with a single value per channel normalise; without it they raise
                `_SingleValue`.
        """
        inputs: list[_LayerInput] = []
        tiles, this = self._images + len(images), threading.get_ident()

        def end_behind_the_last() -> None:
            if self._whole == [each.layer for each in inputs] and threading.get_ident() == this:
                raise _NothingLeft

        def record(name: str, features: Tensor) -> None:
            end_behind_the_last()  # again, if the network has caught the first one
            units = self.units(features)
            own = _LayerInput(name, *tile_moments(units), units[0, 0].numel())
            mean, variance = own.pooled() if own.count > 1 else _with_others(own, pooled)
            inputs.append(own)
            self.normalise_by(name, mean, variance, tiles)
            end_behind_the_last()

        with suppress(_NothingLeft), self.watched(record) as forward, attributes_unless_ended(self.network):
            forward(images)
            called = [each.layer for each in inputs]
            if self.leaves_out and self._whole is None and self.layers.keys() == set(called):
                self._whole = called
        self._images = tiles
        for _, group in groupby(sorted(inputs, key=_units), key=_units):
            self._merge(list(group))

    def _merge(self, inputs: Sequence["_LayerInput"]) -> None:
        """Merge a batch's moments of many layers at once; those of one execution path and size are stored together."""
        path = _ExecutionPath(tuple(each.layer for each in inputs), tuple(each.pixels for each in inputs))
        means, variances = (torch.cat([each[part] for each in inputs], 1) for part in (1, 2))
        batch = Moments.of_tiles(means, variances, 1)
        self._streams[path] = self._streams[path].merged(batch) if path in self._streams else batch

    def _moments(self) -> dict[str, Moments]:
        moments: dict[str, Moments] = {}
        for path, stream in self._streams.items():
            channels = [self.layers[name].num_features for name in path.layers]
            for name, part in zip(path.layers, stream.split(channels, path.pixels), strict=True):
                moments[name] = moments[name].merged(part) if name in moments else part
        return moments


class _LayerInput(NamedTuple):
    """Means and variances (units, C) of a layer's input, and its values per unit and channel."""

    layer: str
    means: Tensor
    variances: Tensor
    pixels: int

    @property
    def count(self) -> int:
        """Values per channel."""
        return len(self.means) * self.pixels

    def pooled(self) -> tuple[Tensor, Tensor]:
        """Mean and variance (C,) of all units together."""
        mean = self.means.mean(0)
        return mean, (self.variances + (self.means - mean).square()).mean(0)


def _with_others(single: _LayerInput, pooled: Mapping[str, Moments] | None) -> tuple[Tensor, Tensor]:
    """Mean and variance of a single value per channel together with the layer's moments so far."""
    if pooled is None:
        raise _SingleValue
    if single.layer not in pooled:
        raise StatisticsError(_no_variance(single.layer))
    moments = pooled[single.layer].merged(Moments.of_tiles(single.means, single.variances, single.pixels))
    return moments.mean, moments.variance


def _units(layer_input: _LayerInput) -> int:
    return len(layer_input.means)


class _ExecutionPath(NamedTuple):
    """The layers that a batch calls, in order, and the values per unit and channel in each."""

    layers: tuple[str, ...]
    pixels: tuple[int, ...]


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
            raise StatisticsError("No image came to one of the processes; give at least one batch to each.")
        images = sum(processes.gathered(sum(map(len, self.batches))))
        pooled: dict[str, Moments] = {}
        device_type = self.batches[0].device.type
        with (
            self.watched(self._halt) as forward,
            side_by_side([partial(forward, batch) for batch in self.batches], self.network, device_type) as passes,
        ):
            while (name := _common_layer(passes)) is not None:
                own = {name: reduce(Moments.merged, (each.value for each in passes))}
                pooled |= processes.pooled(own, [name])
                if pooled[name].count == 1:
                    raise StatisticsError(_no_variance(name))
                self.normalise_by(name, pooled[name].mean, pooled[name].variance, images)
                for each in passes:
                    each.advance()
                _check_once(passes[0].layer, pooled)
        return pooled

    def _halt(self, name: str, features: Tensor) -> None:
        """Take the layer's moments to where all passes wait."""
        this = threading.current_thread()
        if not isinstance(this, ForwardPass):
            raise StatisticsError(
                f"The BatchNorm layer {name} is called in a thread that the network has started, as DataParallel does;"
                " give the network inside, or take the propagation 'one_pass'."
            )
        this.halt(name, Moments.of(self.units(features)))


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
            f"The BatchNorm layer {layer} is called twice in a forward pass, so that no statistics are those of both"
            " its inputs in the adapted network. Take the propagation 'one_pass'."
        )


def _in_float64(layer: nn.Module) -> tuple[Tensor, Tensor]:
    statistics = layer.running_mean, layer.running_var
    return tuple(each.cpu().double() if each.device.type == "mps" else each.double() for each in statistics)


def _no_variance(layer: str) -> str:
    return (
        f"The BatchNorm layer {layer} got one value per channel, which has no variance; give larger images or more of"
        " them in a batch, or take the propagation 'layer_consistent', which pools all batches."
    )


PROPAGATIONS = {"one_pass": OnePass, "layer_consistent": LayerConsistent}
PropagationName = Literal["one_pass", "layer_consistent"]
