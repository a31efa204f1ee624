"""Means and covariances of a stream, which merge exactly."""

from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from bnadapt.distances.gaussian import Gaussian


@dataclass(frozen=True, eq=False)
class Covariances:
    """Count, mean and scatter of latents in G groups, in float64.

    Attributes:
        count: (G,) latents.
        mean: (G, C).
        scatter: (G, C, C), sums of the products of deviations from the group's mean.
    """

    count: Tensor
    mean: Tensor
    scatter: Tensor

    @classmethod
    def empty(cls, groups: int, channels: int, device: torch.device | str = "cpu") -> "Covariances":
        """Covariances without latents."""
        sizes = ((groups,), (groups, channels), (groups, channels, channels))
        return cls(*(torch.zeros(size, dtype=torch.float64, device=device) for size in sizes))

    @classmethod
    def of(cls, latents: Tensor, groups: Tensor, count: int) -> "Covariances":
        """Covariances of latents (n, C) in groups (n,) below `count`."""
        covariances = cls.empty(count, latents.shape[1], latents.device)
        numbers = torch.bincount(groups, minlength=count)
        sorted_latents = latents[groups.argsort()].double()
        for group, members in enumerate(sorted_latents.split(numbers.tolist())):
            if len(members):
                covariances.mean[group] = members.mean(0)
                centred = members - covariances.mean[group]
                torch.mm(centred.T, centred, out=covariances.scatter[group])
        covariances.count.copy_(numbers)
        return covariances

    def merged(self, other: "Covariances") -> "Covariances":
        """Covariances of both, by the pairwise update of Chan, Golub and LeVeque (1983)."""
        count = self.count + other.count
        share = other.count / count.clamp(min=1)
        difference = other.mean - self.mean
        weighted = difference * (self.count * share).unsqueeze(1)
        scatter = (self.scatter + other.scatter).addcmul_(difference.unsqueeze(2), weighted.unsqueeze(1))
        return Covariances(count, self.mean + share.unsqueeze(1) * difference, scatter)

    def pooled(self, group: distributed.ProcessGroup) -> "Covariances":
        """Covariances of all processes (a collective)."""
        count, total = self.count.clone(), self.mean * self.count.unsqueeze(1)
        for each in (count, total):
            distributed.all_reduce(each, group=group)
        mean = total / count.clamp(min=1).unsqueeze(1)
        difference = self.mean - mean
        weighted = difference * self.count.unsqueeze(1)
        scatter = self.scatter.addcmul(difference.unsqueeze(2), weighted.unsqueeze(1))
        distributed.all_reduce(scatter, group=group)
        return Covariances(count, mean, scatter)

    def of_groups(self, chosen: Tensor) -> "Covariances":
        """Merge groups: `chosen` (M, G) of 0 and 1 gives the groups that make up each of M new ones."""
        chosen = chosen.to(self.mean)
        count = chosen @ self.count
        mean = (chosen * self.count) @ self.mean / count.clamp(min=1).unsqueeze(1)
        scatter = (chosen @ self.scatter.flatten(1)).view(-1, *self.scatter.shape[1:])
        centred = self.mean - mean.unsqueeze(1)
        weighted = centred * (chosen * self.count).unsqueeze(2)
        return Covariances(count, mean, scatter + weighted.mT @ centred)

    def gaussian(self) -> Gaussian:
        """The Gaussian of every group, see `Gaussian.estimated`."""
        covariance = self.scatter / self.count.clamp(min=1)[:, None, None]
        return Gaussian.estimated(self.mean, covariance, self.count)
