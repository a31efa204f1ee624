"""Estimate the class proportions of unlabelled images, by how the network that is adapted to them segments."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, distributed, nn

from bnadapt.batchnorm.class_estimation import margins
from bnadapt.batchnorm.class_moments import ClassMoments, ProportionCorrection
from bnadapt.batchnorm.isolation import isolated
from bnadapt.batchnorm.layers import StatisticsError, batchnorm_layers
from bnadapt.batchnorm.policy import Policy
from bnadapt.batchnorm.processes import Processes
from bnadapt.batchnorm.propagation import OnePass

SHARES = (0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8)
TOLERANCE = 0.5
SHARP = 0.2


@dataclass(frozen=True)
class ProportionCandidate:
    """What a network that is adapted for certain class proportions says of the images.

    Attributes:
        proportions: q (K,), that it is adapted for.
        predicted: f(q) (K,), share of the pixels that it predicts as each class.
        uncertainty: u(q), pixels whose greatest two logits differ by less than a fifth of what they differ by in the
            source on average, per pair of neighbouring pixels whose predicted classes differ; infinite where there is
            no such pair. Good segmentations are uncertain at boundaries only, whatever the proportions; and measured
            by the source's own margin, it is the same for a network of sharp and of flat probabilities.
    """

    proportions: tuple[float, ...]
    predicted: tuple[float, ...]
    uncertainty: float

    def inconsistency(self, label: int) -> float:
        """|logit f(q) - logit q| of a class."""
        return abs(_logit(self.predicted[label]) - _logit(self.proportions[label]))


@dataclass(frozen=True)
class ProportionScan:
    """Candidates for the class proportions of unlabelled images, and which of them is most credible.

    Attributes:
        candidates: in the order in which they were tried.
        chosen: one of them, the estimate.
        consistent: whether the network predicts about the proportions of the estimate; if it does so for no candidate,
            the estimate is the one that comes closest.
    """

    candidates: Sequence[ProportionCandidate]
    chosen: ProportionCandidate
    consistent: bool

    def stable(self, label: int = 1) -> list[float]:
        """Shares q of a class at which f(q) = q and f crosses from above: where repeated adaptation would settle."""
        ordered = sorted(self.candidates, key=lambda each: each.proportions[label])
        points = [(_logit(each.proportions[label]), _logit(each.predicted[label])) for each in ordered]
        crossings = []
        for (x1, y1), (x2, y2) in pairwise(points):
            above, below = y1 - x1, y2 - x2
            if above > 0 >= below:
                crossings.append(1 / (1 + math.exp(-(x1 + (x2 - x1) * above / (above - below)))))
        return crossings


def estimate_proportions(
    network: nn.Module,
    batches: Iterable[Tensor],
    moments: ClassMoments,
    *,
    policy: Policy | None = None,
    shares: Sequence[float] = SHARES,
    tolerance: float = TOLERANCE,
    sharp: float = SHARP,
    forward: Callable[[Tensor], Tensor] | None = None,
    group: distributed.ProcessGroup | None = None,
) -> ProportionScan:
    """Estimate the class proportions of images, and change nothing.

    The network is adapted to the images for every share q of a class in turn (`ProportionCorrection`). Of the shares
    with which it is nearly consistent, |logit f(q) - logit q| < tolerance for the share f(q) that it then predicts, the
    one with the least uncertainty per boundary is taken. With more than two classes one class after the other is
    scanned, the others keeping their ratios, so that the cost grows with the number of classes only.

    Args:
        network: with BatchNorm layers that hold the source's statistics.
        batches: images (N, C, ...) of the target on the network's device; few are enough. Each is passed through the
            network once for every share, with its own statistics, so that large batches are better than many.
        moments: of the source.
        policy: of the adaptation; full replacement of all layers by default.
        shares: q to try, besides the source's.
        tolerance: see above.
        sharp: part of the source's mean margin of logits below which a pixel counts as uncertain.
        forward: runs the network on a batch and gives logits (N, K, ...); the network itself by default.
        group: of processes, each of which gives its share of the images.

    Raises:
        StatisticsError: there are no images, or the network gives no logits of as many classes, or gave none when the
            moments were measured.
        BatchNormError: the moments are of another network.
    """
    layers = batchnorm_layers(network)
    moments.require_fit({name: layer.num_features for name, layer in layers.items()})
    images = list(batches)
    processes = Processes(group, layers)
    if not moments.margin > 0:
        raise StatisticsError(
            "The class moments know no margin of logits, because the network gave none when they were measured; measure"
            " them with a `forward` that gives logits (N, K, ...)."
        )
    run = _Trial(network, images, moments, policy or Policy(), forward or network, processes, sharp)
    if not sum(processes.gathered(sum(map(len, images)))):
        raise StatisticsError("No image was given, so there are no proportions to estimate; give at least one.")
    current = tuple(moments.proportions.tolist())
    tried: list[ProportionCandidate] = []
    for label in range(1, len(current)):
        scanned = [run(each) for each in dict.fromkeys((*_with_share(current, label, shares), current))]
        tried += scanned
        chosen, consistent = most_credible(scanned, label, tolerance)
        current = chosen.proportions
    return ProportionScan(tried, chosen, consistent)


def most_credible(
    candidates: Sequence[ProportionCandidate], label: int, tolerance: float
) -> tuple[ProportionCandidate, bool]:
    """The candidate of the least uncertainty among those that are nearly consistent in the share of a class.

    Returns:
        The candidate, and whether it is consistent: if none is, it is the one that comes closest.
    """
    consistent = [each for each in candidates if each.inconsistency(label) < tolerance]
    if consistent:
        return min(consistent, key=lambda each: each.uncertainty), True
    return min(candidates, key=lambda each: each.inconsistency(label)), False


@dataclass
class _Trial:
    """Adapts to the images for given proportions, and looks at what the network then predicts."""

    network: nn.Module
    images: Sequence[Tensor]
    moments: ClassMoments
    policy: Policy
    forward: Callable[[Tensor], Any]
    processes: Processes
    sharp: float
    known: dict[tuple[float, ...], ProportionCandidate] = field(default_factory=dict)

    def __call__(self, proportions: tuple[float, ...]) -> ProportionCandidate:
        if proportions not in self.known:
            self.known[proportions] = self._tried(proportions)
        return self.known[proportions]

    def _tried(self, proportions: tuple[float, ...]) -> ProportionCandidate:
        classes = len(proportions)
        counts = [0] * (classes + 2)
        for batch in self.images:
            logits = self._logits(batch, ProportionCorrection(self.moments, proportions))
            own = _counted(logits, classes, self.sharp * self.moments.margin)
            counts = [one + other for one, other in zip(counts, own, strict=True)]
        *predicted, uncertain, boundary = (sum(self.processes.gathered(count)) for count in counts)
        pixels = sum(predicted)
        uncertainty = uncertain / boundary if boundary else math.inf
        return ProportionCandidate(proportions, tuple(count / pixels for count in predicted), uncertainty)

    def _logits(self, batch: Tensor, correction: ProportionCorrection) -> Tensor:
        found: list[Any] = []

        def recorded(images: Tensor) -> None:
            found.append(self.forward(images))

        with isolated(self.network), torch.no_grad(), torch.compiler.set_stance("force_eager"):
            OnePass(self.network, recorded, self.policy, False, correction).update(batch)
        if len(found) != 1 or not isinstance(found[0], Tensor) or found[0].shape[1] != len(correction.proportions):
            raise StatisticsError(
                f"The network gives no logits of {len(correction.proportions)} classes for a batch of"
                f" {tuple(batch.shape)}; give one whose output is (N, K, ...), and images that leave no layer with a"
                " single value per channel."
            )
        return found[0]


def _counted(logits: Tensor, classes: int, margin: float) -> list[int]:
    """Pixels predicted as every class, those below a margin, and pairs of neighbours whose predicted classes differ."""
    predicted = logits.argmax(1)
    pairs = [
        predicted.narrow(axis, 1, size - 1) != predicted.narrow(axis, 0, size - 1)
        for axis, size in enumerate(predicted.shape[1:], start=1)
    ]
    of_classes = torch.bincount(predicted.flatten(), minlength=classes)
    uncertain = (margins(logits) < margin).sum()
    return [*of_classes.tolist(), int(uncertain), sum(int(each.sum()) for each in pairs)]


def _with_share(current: Sequence[float], label: int, shares: Sequence[float]) -> list[tuple[float, ...]]:
    """The proportions with other shares of one class; the others keep their ratios."""
    rest = 1 - current[label]
    scaled = ([each * (1 - share) / rest for each in current] for share in shares)
    return [(*each[:label], share, *each[label + 1 :]) for each, share in zip(scaled, shares, strict=True)]


def _logit(share: float) -> float:
    return torch.logit(torch.tensor(share, dtype=torch.float64), eps=1e-6).item()
