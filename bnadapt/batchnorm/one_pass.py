"""Estimate all layers in one pass over the batches, each normalised by its own statistics."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bnadapt.batchnorm.attributes import attributes_unless_ended
from bnadapt.batchnorm.layers import StatisticsError
from bnadapt.batchnorm.moments import Moments, tile_moments
from bnadapt.batchnorm.processes import Processes
from bnadapt.batchnorm.propagation import Propagation, no_variance


class _SingleValue(BaseException):
    """Ends a forward pass at a layer with one value per channel, which has no variance."""


class _AllSelectedSeen(BaseException):
    """Ends a forward pass behind the last layer that the policy chooses."""


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
        images, self._held = self._held, None
        if images is not None:
            self._run(images, self._moments())

    def _run(self, images: Tensor, pooled: Mapping[str, Moments] | None) -> None:
        """Run a batch; layers with a single value per channel normalise by `pooled`, or raise `_SingleValue`."""
        inputs: list[_LayerInput] = []
        tiles, thread = self._images + len(images), threading.get_ident()

        def stop_behind_last() -> None:
            if self._whole == [each.layer for each in inputs] and threading.get_ident() == thread:
                raise _AllSelectedSeen

        def record(name: str, features: Tensor) -> None:
            stop_behind_last()  # again, if the network has caught the first one
            units = self.units(features)
            layer_input = _LayerInput(name, *tile_moments(units), units[0, 0].numel())
            mean, variance = (
                layer_input.pooled() if layer_input.count > 1 else _merged_with_previous(layer_input, pooled)
            )
            inputs.append(layer_input)
            self.normalise_by(name, mean, variance, tiles)
            stop_behind_last()

        with suppress(_AllSelectedSeen), self.watched(record) as forward, attributes_unless_ended(self.network):
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


def _merged_with_previous(single: _LayerInput, pooled: Mapping[str, Moments] | None) -> tuple[Tensor, Tensor]:
    """Mean and variance of a single value per channel together with the layer's moments so far."""
    if pooled is None:
        raise _SingleValue
    if single.layer not in pooled:
        raise StatisticsError(no_variance(single.layer))
    moments = pooled[single.layer].merged(Moments.of_tiles(single.means, single.variances, single.pixels))
    return moments.mean, moments.variance


def _units(layer_input: _LayerInput) -> int:
    return len(layer_input.means)


class _ExecutionPath(NamedTuple):
    """The layers that a batch calls, in order, and the values per unit and channel in each."""

    layers: tuple[str, ...]
    pixels: tuple[int, ...]
