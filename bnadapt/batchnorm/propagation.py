"""What a BatchNorm layer normalises by while the statistics of the layers behind it are estimated."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial, reduce
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from bnadapt.batchnorm.layers import StatisticsError, batchnorm_layers
from bnadapt.batchnorm.lockstep import ForwardPass, side_by_side
from bnadapt.batchnorm.moments import Moments
from bnadapt.batchnorm.policy import Policy
from bnadapt.batchnorm.processes import Processes
from bnadapt.batchnorm.tile_moments import as_one_tile, tile_moments

Forward = Callable[[Tensor], Any]


class _Enough(BaseException):
    """Ends a forward pass behind the last layer; no `except Exception` of the network catches it."""


class Propagation(ABC):
    """Collects the moments of the input of every BatchNorm layer that the policy chooses.

    The network must be `isolated`. Its layers in eval mode normalise by what their
    running statistics are set to from batch to batch.

    Args:
        network: with BatchNorm layers that keep running statistics.
        forward: runs it on a batch; the network itself, or something around it.
        policy: which layers to look at, and what they normalise by; the others keep the source's statistics.
        by_tile: whether tiles, and not batches, are the units of standard errors; they cost a little more.

    Attributes:
        layers: the chosen ones by name, in the order of the network's definition.
    """

    growth: int
    """Factor by which the number of tiles must have grown before another `settled` is worth its cost."""

    def __init__(self, network: nn.Module, forward: Forward, policy: Policy, by_tile: bool) -> None:
        layers = batchnorm_layers(network)
        self.layers = {name: layers[name] for name in policy.chosen(list(layers))}
        self.source = {name: _in_float64(layer) for name, layer in self.layers.items()}
        self.forward = forward
        self.policy = policy
        self.by_tile = by_tile

    @abstractmethod
    def add(self, images: Tensor) -> None:
        """Take a batch."""

    @abstractmethod
    def settled(self, processes: Processes) -> dict[str, Moments]:
        """Moments of all batches so far, in all processes (a collective)."""

    def normalise_by(self, name: str, mean: Tensor, variance: Tensor, tiles: int) -> None:
        """Set what a layer normalises by, from the target's statistics (C,) of so many tiles."""
        layer, source = self.layers[name], self.source[name]
        adapted = self.policy.combined(source, (mean, variance), tiles)
        for buffer, value in zip(("running_mean", "running_var"), adapted, strict=True):
            layer._buffers[buffer] = value.to(layer._buffers[buffer])

    def units(self, features: Tensor) -> Tensor:
        """Features whose first axis counts the units of standard errors."""
        return features if self.by_tile else as_one_tile(features)

    @contextmanager
    def watched(self, seen: Callable[[str, Tensor], None]) -> Iterator[None]:
        """Meanwhile `seen` gets name and input (N, C, ...) of every chosen layer that is called."""

        def call(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], named: Mapping[str, Tensor]) -> None:
            seen(name, (inputs[0] if inputs else named["input"]).detach())

        hooks = [
            layer.register_forward_pre_hook(partial(call, name), with_kwargs=True)
            for name, layer in self.layers.items()
        ]
        try:
            yield
        finally:
            for each in hooks:
                each.remove()


class OnePass(Propagation):
    """Every layer normalises by the batch at hand (AdaBN in one pass).

    One forward pass a batch, which ends at the last chosen layer; nothing is kept. The moments of
    the first layer are exact; those of later ones are of features that were normalised batch by
    batch, which approximates the adapted network the better, the larger the batches. A policy whose
    source weight depends on the number of tiles is propagated with the number so far.
    """

    growth = 1

    def __init__(self, network: nn.Module, forward: Forward, policy: Policy, by_tile: bool) -> None:
        super().__init__(network, forward, policy, by_tile)
        self._whole: list[str] | None = None  # what a forward pass calls that calls all layers, in order
        self._images = 0
        self._streams: dict[_Way, Moments] = {}

    def add(self, images: Tensor) -> None:
        """Run the batch and merge its moments."""
        called: list[str] = []
        found: list[tuple[Tensor, Tensor, int]] = []

        def record(name: str, features: Tensor) -> None:
            units = self.units(features)
            means, variances = tile_moments(units)
            pixels = units[0, 0].numel()
            _check_variance(name, len(units) * pixels)
            found.append((means, variances, pixels))
            called.append(name)
            if called == self._whole:
                raise _Enough
            mean = means.mean(0)
            variance = (variances + (means - mean).square()).mean(0)
            self.normalise_by(name, mean, variance, self._images)

        self._images += len(images)
        with self.watched(record), suppress(_Enough):
            self.forward(images)
            self._whole = called if set(called) == set(self.layers) else None
        if called:
            self._merge(called, *zip(*found, strict=True))

    def _merge(self, called: list[str], means: Sequence[Tensor], variances: Sequence[Tensor], pixels: tuple) -> None:
        """Merge a batch's moments of all layers at once: what goes the same way at the same size lies side by side."""
        way = _Way(tuple(called), pixels)
        batch = Moments.of_tiles(torch.cat(means, 1), torch.cat(variances, 1), 1)
        self._streams[way] = self._streams[way].merged(batch) if way in self._streams else batch

    def settled(self, processes: Processes) -> dict[str, Moments]:
        """The merged moments."""
        moments: dict[str, Moments] = {}
        for way, stream in self._streams.items():
            channels = [self.layers[name].num_features for name in way.called]
            for name, part in zip(way.called, stream.split(channels, way.pixels), strict=True):
                moments[name] = moments[name].merged(part) if name in moments else part
        return processes.pooled(moments, self.layers)


class _Way(NamedTuple):
    """The layers that a batch calls, in order, and the values per tile and channel in each."""

    called: tuple[str, ...]
    pixels: tuple[int, ...]


class LayerConsistent(Propagation):
    """Every layer normalises by the statistics of its input over all batches, in the adapted network.

    That is the fixed point at which the adapted network in eval mode gives zero mean and unit variance
    before the affine part of every layer (with full replacement). It is found breadth first: all
    batches go through the network side by side, wait at every BatchNorm layer until the last one is
    there, and go on normalised by their pooled moments. The cost is one forward pass over the tiles,
    whatever the depth, and memory for what all of them hold between two layers (skip connections
    included). Memory grows with the tiles, so draw them: few are enough, and `UntilKnown` tells how many.
    Every check of it runs all tiles again, at least twice as many as at the last one, so that all checks
    together cost less than three passes over the tiles that were read. There is a thread, with torch's threads
    of its own, for every batch: with many cores make the batches large.
    """

    growth = 2

    def __init__(self, network: nn.Module, forward: Forward, policy: Policy, by_tile: bool) -> None:
        super().__init__(network, forward, policy, by_tile)
        self.batches: list[Tensor] = []

    def add(self, images: Tensor) -> None:
        """Keep a copy of the batch."""
        self.batches.append(images.clone())

    def settled(self, processes: Processes) -> dict[str, Moments]:
        """Run all batches breadth first.

        Raises:
            StatisticsError: a process has no batch, batches take different ways through the network, or a
                layer is called twice in a pass, so that no single statistics can be right for both.
        """
        if 0 in processes.each(len(self.batches)):
            raise StatisticsError("No image came to one of the processes; give at least one batch to each.")
        images = sum(processes.each(sum(map(len, self.batches))))
        settled: dict[str, Moments] = {}
        forwards = [partial(self.forward, batch) for batch in self.batches]
        with self.watched(self._halt), side_by_side(forwards, self.batches[0].device.type) as passes:
            while (name := _common_place(passes)) is not None:
                own = {name: reduce(Moments.merged, (each.value for each in passes))}
                settled |= processes.pooled(own, [name])
                _check_variance(name, settled[name].count)
                self.normalise_by(name, settled[name].mean, settled[name].variance, images)
                going_on = passes if len(settled) < len(self.layers) else passes[:1]
                for each in going_on:
                    each.advance()
                _check_once(going_on[0].place, settled)
                if going_on is not passes:
                    break
        return settled

    def _halt(self, name: str, features: Tensor) -> None:
        """Bring the layer's moments to where all passes wait."""
        this = threading.current_thread()
        if not isinstance(this, ForwardPass):
            raise StatisticsError(
                f"The BatchNorm layer {name} is called in a thread that the network has started, as DataParallel does;"
                " give the network inside, or take the propagation 'one_pass'."
            )
        this.halt(name, Moments.of(self.units(features)))


def _common_place(passes: Sequence[ForwardPass]) -> str | None:
    places = {each.place for each in passes}
    if len(places) > 1:
        apart = " and ".join(sorted(place or "the end" for place in places))
        raise StatisticsError(
            f"Batches take different ways through the network: they are at {apart}. Take the propagation 'one_pass'."
        )
    return places.pop()


def _check_once(place: str | None, settled: Mapping[str, Moments]) -> None:
    if place in settled:
        raise StatisticsError(
            f"The BatchNorm layer {place} is called twice in a forward pass, so that no statistics are those of both"
            " its inputs in the adapted network. Take the propagation 'one_pass'."
        )


def _in_float64(layer: nn.Module) -> tuple[Tensor, Tensor]:
    statistics = layer.running_mean, layer.running_var
    return tuple(each.cpu().double() if each.device.type == "mps" else each.double() for each in statistics)


def _check_variance(name: str, count: int) -> None:
    if count == 1:
        raise StatisticsError(
            f"The BatchNorm layer {name} got one value per channel, which has no variance; give larger images or more"
            " of them in a batch, or take the propagation 'layer_consistent', which pools all batches."
        )


PROPAGATIONS = {"one_pass": OnePass, "layer_consistent": LayerConsistent}
PropagationName = Literal["one_pass", "layer_consistent"]
