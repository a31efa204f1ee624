"""Summary of the latents of a layer in a domain, of constant size."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, distributed

from bnadapt.distances.clouds import directions
from bnadapt.distances.covariances import Covariances
from bnadapt.distances.gaussian import Gaussian
from bnadapt.distances.histograms import Histograms
from bnadapt.distances.latents import as_latents

GROUPS = 8
TOGETHER = 2**20  # values of covariances that are compared at a time, which a processor's cache holds


@dataclass(frozen=True, eq=False)
class Distribution:
    """Summary of the latents of one sample, or of M, in C channels.

    Attributes:
        gaussian: with their means (M, C) and covariances.
        axes: histograms along the C channels, then along 64 directions (`bnadapt.distances.clouds.directions`).
    """

    gaussian: Gaussian
    axes: Histograms

    @classmethod
    def of(cls, latents: Tensor) -> "Distribution":
        """Distribution of one sample of latents (n, C), finite numbers of any real type, n >= 1.

        Raises:
            DistanceError: there are no latents, or some are not finite.

        Examples:
            >>> from bnadapt.distances import distances_between
            >>> source, target = (Distribution.of(torch.linspace(0, 100, 9999)[:, None] + by) for by in (0, 5))
            >>> round(distances_between(source, target)["channel_wasserstein"].item(), 2)
            5.0
        """
        latents = as_latents(latents)
        return Sketch.of(latents, torch.zeros(len(latents), dtype=torch.int64, device=latents.device)).distribution()

    @property
    def width(self) -> int:
        """C."""
        return self.gaussian.mean.shape[-1]

    @property
    def channels(self) -> Histograms:
        """Histograms of the channels."""
        return self.axes.of_rows(slice(self.width))

    @property
    def directions(self) -> Histograms:
        """Histograms along the directions."""
        return self.axes.of_rows(slice(self.width, None))


@dataclass(frozen=True, eq=False)
class Sketch:
    """Covariances and histograms of latents in 8 groups of tiles: 8 C^2 float64 values and 8 (C + 64) 512 int32 counts.

    It does not depend on how tiles are batched, and merges. Leaving out groups shows how much distances vary between
    tiles.

    Attributes:
        covariances: of the latents.
        axes: histograms along the C channels, then along 64 directions.
    """

    covariances: Covariances
    axes: Histograms

    @classmethod
    def empty(cls, channels: int, device: torch.device | str = "cpu") -> "Sketch":
        """Empty sketch of C channels."""
        rows = channels + _directions(channels, torch.float32, device).shape[1]
        return cls(Covariances.empty(GROUPS, channels, device), Histograms.empty(GROUPS, rows, device))

    @classmethod
    def of(cls, latents: Tensor, numbers: Tensor) -> "Sketch":
        """Sketch of latents (n, C), finite numbers of any real type, n >= 1, from tiles of these numbers (n,).

        Raises:
            DistanceError: there are no latents, or some are not finite.
        """
        latents = as_latents(latents)
        groups = numbers % GROUPS
        projected = latents @ _directions(latents.shape[1], latents.dtype, latents.device)
        along = torch.cat([latents, projected], 1)
        return cls(Covariances.of(latents, groups, GROUPS), Histograms.of(along, groups, GROUPS))

    @property
    def width(self) -> int:
        """C."""
        return self.covariances.mean.shape[1]

    @property
    def samples(self) -> int:
        """Number of latents."""
        return int(self.covariances.count.sum())

    @property
    def groups(self) -> list[int]:
        """Groups that hold latents."""
        return self.covariances.count.nonzero().flatten().tolist()

    def merged(self, other: "Sketch") -> "Sketch":
        """Sketch of both."""
        return Sketch(self.covariances.merged(other.covariances), self.axes.merged(other.axes))

    def pooled(self, group: distributed.ProcessGroup) -> "Sketch":
        """Sketch of all processes (a collective)."""
        return Sketch(self.covariances.pooled(group), self.axes.pooled(group))

    def distribution(self, chosen: Tensor | None = None) -> Distribution:
        """The distribution of the latents of some groups.

        Args:
            chosen: (M, 8) of 0 and 1, the groups of each of M distributions; by default one of all.
        """
        chosen = torch.ones(1, GROUPS, device=self.axes.bins.low.device) if chosen is None else chosen
        return Distribution(self.covariances.of_groups(chosen).gaussian(), self.axes.of_groups(chosen))

    def distributions(self, chosen: Tensor) -> Iterator[Distribution]:
        """The same distributions in parts, of fewer the wider the layer is.

        Args:
            chosen: as for `distribution`.
        """
        whole = self.distribution(chosen)
        at_once = max(1, TOGETHER // self.width**2)
        parts = (each.split(at_once) for each in (whole.gaussian.mean, whole.gaussian.covariance, whole.axes.counts))
        for mean, covariance, counts in zip(*parts, strict=True):
            yield Distribution(Gaussian(mean, covariance), Histograms(whole.axes.bins, counts))


@lru_cache
def _directions(channels: int, dtype: torch.dtype, device: torch.device | str) -> Tensor:
    return directions(channels).to(device, dtype)
