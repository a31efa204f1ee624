"""Adapt a network for given class proportions, and compare its outputs with the source's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from bnadapt.batchnorm.class_moments import ClassMoments, ProportionCorrection
from bnadapt.batchnorm.isolation import isolated
from bnadapt.batchnorm.layers import StatisticsError
from bnadapt.batchnorm.one_pass import OnePass
from bnadapt.batchnorm.outputs import bins_of, boundaries, hellinger, mismatch_by_class, mixture_weights, output_bins
from bnadapt.batchnorm.policy import Policy
from bnadapt.batchnorm.processes import Processes


@dataclass(frozen=True)
class ProportionCandidate:
    """Outputs of a network adapted for certain class proportions.

    Attributes:
        proportions: q (K,), the proportions it is adapted for.
        predicted: f(q) (K,), share of the pixels predicted as each class.
        likeliest: (K,), proportions of the source's classes under which its outputs are most likely.
        distance: 0 to 1, Hellinger distance between its outputs (the two most likely classes of a pixel and the margin
            of their logits) and those of the source's classes in the proportions q.
        mismatch: 0 to 1, the same with equal weight for the pixels of every predicted class.
        boundaries: share of the pairs of neighbouring pixels predicted as different classes.
    """

    proportions: tuple[float, ...]
    predicted: tuple[float, ...]
    likeliest: tuple[float, ...]
    distance: float
    mismatch: float
    boundaries: float


@dataclass(frozen=True)
class ProportionTrials:
    """Adapts a network to images for one class proportion after another, and keeps the results.

    Attributes:
        network: network with the source's statistics.
        images: batches (N, C, ...) of this process, each normalised by its own statistics.
        moments: class moments of the source, with outputs.
        policy: policy of the adaptation.
        forward: runs the network on a batch.
        processes: processes that pool their images.
        tried: results by proportions.
    """

    network: nn.Module
    images: Sequence[Tensor]
    moments: ClassMoments
    policy: Policy
    forward: Callable[[Tensor], Any]
    processes: Processes
    tried: dict[tuple[float, ...], ProportionCandidate] = field(default_factory=dict)

    def __call__(self, proportions: Sequence[float]) -> ProportionCandidate:
        """Outputs of the network adapted for proportions (K,), over all processes (a collective)."""
        key = tuple(float(share) for share in proportions)
        if key not in self.tried:
            self.tried[key] = self._candidate(key)
        return self.tried[key]

    def halves(self) -> list["ProportionTrials"]:
        """Two trials, each with every other batch, or every other tile of a single batch."""
        parts = self.images if len(self.images) > 1 else [tile for batch in self.images for tile in batch.split(1)]
        halves = [parts[::2], parts[1::2]]
        if len(self.images) == 1:
            halves = [[torch.cat(half)] if half else [] for half in halves]
        return [replace(self, images=half, tried={}) for half in halves]

    @cached_property
    def _by_class(self) -> Tensor:
        """(K, B), shares of the output bins for each of the source's classes."""
        return self.moments.outputs / self.moments.outputs.sum(1, keepdim=True)

    def _candidate(self, proportions: tuple[float, ...]) -> ProportionCandidate:
        classes = len(proportions)
        correction = ProportionCorrection(self.moments, proportions)
        total = torch.zeros(bins_of(classes) + 2, dtype=torch.float64)
        for batch in self.images:
            logits = self._logits(batch, correction)
            bins = torch.bincount(output_bins(logits).flatten(), minlength=bins_of(classes)).cpu()
            total += torch.cat([bins, boundaries(logits)])
        counts, (different, pairs) = self.processes.summed(total).split([bins_of(classes), 2])
        observed = (counts / counts.sum()).view(classes, -1)
        expected = (torch.tensor(proportions, dtype=torch.float64) @ self._by_class).view(classes, -1)
        return ProportionCandidate(
            proportions,
            tuple(observed.sum(1).tolist()),
            tuple(mixture_weights(observed.flatten(), self._by_class).tolist()),
            hellinger(observed, expected),
            mismatch_by_class(observed, expected),
            float(different / pairs.clamp(min=1)),
        )

    def _logits(self, batch: Tensor, correction: ProportionCorrection) -> Tensor:
        outputs: list[Any] = []

        def recorded(images: Tensor) -> None:
            outputs.append(self.forward(images))

        with isolated(self.network), torch.no_grad(), torch.compiler.set_stance("force_eager"):
            OnePass(self.network, recorded, self.policy, correction).update(batch)
        if (
            len(outputs) != 1
            or not isinstance(outputs[0], Tensor)
            or outputs[0].shape[1] != len(correction.proportions)
        ):
            raise StatisticsError(
                f"The network gives no logits of {len(correction.proportions)} classes for a batch of"
                f" {tuple(batch.shape)}; give one that returns (N, K, ...), and images large enough for more than one"
                " value per channel in every layer."
            )
        return outputs[0]
