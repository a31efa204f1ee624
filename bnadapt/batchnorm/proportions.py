"""Estimate the class proportions of unlabelled images from the outputs of the adapted network."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from bnadapt.batchnorm.class_moments import ClassMoments
from bnadapt.batchnorm.layers import StatisticsError, batchnorm_layers
from bnadapt.batchnorm.outputs import MOST_CLASSES, hellinger
from bnadapt.batchnorm.policy import Policy
from bnadapt.batchnorm.processes import Processes
from bnadapt.batchnorm.proportion_trials import ProportionCandidate, ProportionTrials
from bnadapt.batchnorm.resolution import resolved_policy

STARTS = (0.99, 0.9, 0.7, 0.02)  # share of one class; the others get equal shares
COMMON = 0.05  # least share of a class that is not rare
REFINEMENTS, EXCHANGES = 6, 2
FINE = 0.002  # decrease of the distance that justifies another step
RARE = 0.03  # share below which another class may be the rare one
PROMISING = 0.35  # largest distance at which the search continues after an exchange
SAME = 0.08  # Hellinger distance of proportions up to which two explanations count as one
CONSISTENT = 0.15  # largest distance at which proportions explain the outputs
ABSENT = 0.005  # share below which a class is absent
SURE, DOUBTFUL = 0.05, 0.2  # largest distance without a class, least distance of explanations with it
WORSE = 0.02  # distance by which an explanation may be worse and count as about as good
LIKELIER = 1.4  # likelihood ratio, given the source, by which an explanation must beat its rivals
BETTER = 0.4  # share of the source's mismatch that an estimate may leave
FEWEST_TILES = 4  # least number with two halves
NO_BACKGROUND = "the estimate leaves nothing of the background"
NOISY = 3.5  # boundaries relative to the source above which a segmentation follows noise
ALONE = 0.25  # largest distance at which one class explains such a segmentation
CLEARLY = 1.5  # factor by which it must explain it better than several classes


@dataclass(frozen=True)
class ProportionEstimate:
    """Class proportions of unlabelled images, and whether they are reliable enough to correct statistics for them.

    Attributes:
        candidates: all proportions tried, in order.
        source: the candidate with the source's proportions.
        best: the estimate: of the candidates that explain the outputs the one closest to the source's proportions; if
            it is unreliable, the candidate of the least mismatch.
        range: (K, 2), least and greatest share of every class in the estimate, its rivals, and the estimates of two
            halves of the tiles.
        reason: why the estimate is unreliable, as a clause; None if it is reliable.
    """

    candidates: Sequence[ProportionCandidate]
    source: ProportionCandidate
    best: ProportionCandidate
    range: Sequence[tuple[float, float]]
    reason: str | None

    @property
    def consistent(self) -> bool:
        """Whether the estimate explains the network's outputs."""
        return self.reason is None or self.best.distance <= CONSISTENT

    @property
    def chosen(self) -> ProportionCandidate:
        """The candidate to correct statistics for: the estimate, or the source's proportions if it is unreliable."""
        return self.best if self.reason is None else self.source


Explanation = tuple[ProportionCandidate, Sequence[ProportionCandidate], str | None]
"""The likeliest explanation of the outputs, others that are about as good, and the reason not to act on it."""


def estimate_proportions(
    network: nn.Module,
    batches: Iterable[Tensor],
    moments: ClassMoments,
    *,
    policy: Policy | None = None,
    forward: Callable[[Tensor], Tensor] | None = None,
    group: distributed.ProcessGroup | None = None,
) -> ProportionEstimate:
    """Estimate the class proportions of images, without changing the network.

    The network is adapted to the images for proportions q (`ProportionCorrection`), and its outputs are compared with
    those of the source's classes in these proportions. Where the target is the source up to what BatchNorm can undo,
    the two agree at the right q. The search starts from several q in which one class dominates or is rare, and moves to
    the proportions under which the outputs are most likely, as long as the agreement improves.

    A target of one class lacks the pixels near boundaries that the source has, so no proportions explain its outputs
    closely. It is recognised by a segmentation at the source's proportions that follows noise, with more than three
    times the source's boundaries, while one class explains the outputs far better than several.

    The estimate counts as unreliable if it does not explain the outputs; if another explains them as well, as for a
    target of a single class, and is not clearly farther from the source's proportions; if it leaves no background
    (class 0); if it explains them, class by class, not much better than the source's proportions; or if the estimates
    of two halves of the tiles differ by more than half of the distance from their common one to the source.

    Args:
        network: network with the source's statistics.
        batches: images (N, C, ...) of the target on the network's device; at least 4, and few are enough. With two
            classes all run through the network some 15 times, with three some 25, each batch with its own statistics,
            so use few large batches.
        moments: class moments of the source.
        policy: policy of the adaptation; full replacement of all layers by default.
        forward: runs the network on a batch and returns logits (N, K, ...); the network itself by default.
        group: processes that share the images.

    Raises:
        StatisticsError: no images, or a number of classes in the logits that differs from that of the moments.
        BatchNormError: the moments belong to another network.
    """
    layers = batchnorm_layers(network)
    moments.require_fit({name: layer.num_features for name, layer in layers.items()})
    if moments.outputs is None:
        raise StatisticsError(
            "The class moments hold no outputs of the network: it gave no logits when they were measured, or those of"
            f" more than {MOST_CLASSES} classes, or an earlier version measured them. Measure them again, with a"
            " `forward` that gives logits (N, K, ...)."
        )
    images = list(batches)
    processes = Processes(group, layers)
    tiles = sum(processes.gathered(sum(map(len, images))))
    if not tiles:
        raise StatisticsError("No image was given, so there are no proportions to estimate; give at least one.")
    policy = resolved_policy(policy or Policy(), network, images, forward, group)
    trials = ProportionTrials(network, images, moments, policy, forward or network, processes)
    source = trials(moments.proportions.tolist())
    explanations = _explanations(trials, source)
    is_noise = source.boundaries > NOISY * moments.boundaries
    first, rivals, reason = (is_noise and _one_class(explanations, source)) or _most_credible(explanations, source)
    halves: list[ProportionCandidate] = []
    if reason is None and tiles < FEWEST_TILES:
        reason = f"{tiles} tiles are too few to compare two halves of them"
    elif reason is None:
        starts = first.proportions, source.proportions
        halves = [min((_refined(half, half(each)) for each in starts), key=_distance) for half in trials.halves()]
        reason = _disagreement(halves, first, source)
    best = first if reason is None else min(explanations, key=lambda each: each.mismatch)
    shares = zip(*(each.proportions for each in (best, first, *rivals, *halves)), strict=True)
    limits = [(min(each), max(each)) for each in shares]
    return ProportionEstimate(list(trials.tried.values()), source, best, limits, reason)


def _explanations(trials: ProportionTrials, source: ProportionCandidate) -> list[ProportionCandidate]:
    """End points of a search from several starts, no two alike, sorted by distance."""
    few = len(source.proportions) + 1
    starts = sorted((source, *map(trials, _starts(few - 1))), key=_distance)
    common = [each for each in starts if min(each.proportions) >= COMMON]
    explanations = [_refined(trials, each) for each in (source, *starts[:few], *common[:few])]
    for _ in range(EXCHANGES):
        best = min(explanations, key=_distance)
        if best.distance <= CONSISTENT and min(best.proportions) >= RARE:
            break
        others = map(trials, _exchanged(best.proportions))
        explanations += [_refined(trials, each) for each in others if each.distance < PROMISING]
    different: list[ProportionCandidate] = []
    for each in sorted(explanations, key=_distance):
        if all(_between(each, other) > SAME for other in different):
            different.append(each)
    return different


def _starts(classes: int) -> Iterator[tuple[float, ...]]:
    """Equal proportions, and those in which one class dominates or is rare."""
    yield (1 / classes,) * classes
    for share in STARTS:
        for label in range(classes):
            rest = (1 - share) / (classes - 1)
            yield tuple(share if each == label else rest for each in range(classes))


def _exchanged(proportions: Sequence[float]) -> Iterator[tuple[float, ...]]:
    """The same shares for other classes: all rotated, or the least one swapped with another."""
    classes = range(len(proportions))
    for step in classes[1:]:
        yield (*proportions[step:], *proportions[:step])
    least = min(classes, key=lambda label: proportions[label])
    for label in classes:
        exchanged = list(proportions)
        exchanged[least], exchanged[label] = exchanged[label], exchanged[least]
        yield tuple(exchanged)


def _refined(trials: ProportionTrials, candidate: ProportionCandidate) -> ProportionCandidate:
    """Move to the proportions under which the outputs are most likely, as long as the distance falls."""
    for _ in range(REFINEMENTS):
        further = trials(candidate.likeliest)
        if further.distance > candidate.distance - FINE:
            return min(candidate, further, key=_distance)
        candidate = further
    return candidate


def _one_class(explanations: Sequence[ProportionCandidate], source: ProportionCandidate) -> Explanation | None:
    """The class closest to the source's proportions, if one class explains the outputs clearly better than several."""
    absent = len(source.proportions) - 1
    several = min((each.distance for each in explanations if _absent(each) < absent), default=math.inf)
    limit = min(ALONE, several / CLEARLY)
    good = [each for each in explanations if _absent(each) == absent and each.distance <= limit]
    if not good:
        return None
    first, *others = sorted(good, key=lambda each: _divergence(each, source))
    if others and not _is_likelier(first, others[0], source):
        return first, others, "other proportions explain the network's outputs about as well"
    return first, others, NO_BACKGROUND if first.proportions[0] < ABSENT else None


def _most_credible(explanations: Sequence[ProportionCandidate], source: ProportionCandidate) -> Explanation:
    """The explanation of the outputs closest to the source's proportions.

    Explanations without an absent class come first: adapted as if for one class, a network finds only that class
    in many images.
    """
    consistent = [each for each in explanations if each.distance <= CONSISTENT]
    if not consistent:
        return explanations[0], [], "no proportions explain the network's outputs"
    absent = min(map(_absent, consistent))
    good = [each for each in consistent if _absent(each) == absent]
    good = [each for each in good if each.distance <= _about(good[0].distance)]
    first, *others = sorted(good, key=lambda each: _divergence(each, source))
    is_doubtful = absent and (
        first.distance > SURE or any(_absent(each) < absent and each.distance < DOUBTFUL for each in explanations)
    )
    if others and not _is_likelier(first, others[0], source):
        reason = "other proportions explain the network's outputs about as well"
    elif is_doubtful or good[0].distance > _about(explanations[0].distance):
        reason = "other proportions may explain the network's outputs"
    elif first.proportions[0] < ABSENT:
        reason = NO_BACKGROUND
    elif first.mismatch > BETTER * source.mismatch:
        reason = "the source's proportions explain the network's outputs nearly as well"
    else:
        reason = None
    return first, others, reason


def _about(distance: float) -> float:
    """Greatest distance that is about as good as the given one."""
    return 1.25 * distance + WORSE


def _is_likelier(first: ProportionCandidate, second: ProportionCandidate, source: ProportionCandidate) -> bool:
    """Whether the first explanation is clearly closer to the source's proportions than the second."""
    return _divergence(second, source) - _divergence(first, source) > math.log(LIKELIER)


def _absent(candidate: ProportionCandidate) -> int:
    """Number of absent classes."""
    return sum(share < ABSENT for share in candidate.proportions)


def _disagreement(
    halves: Sequence[ProportionCandidate], best: ProportionCandidate, source: ProportionCandidate
) -> str | None:
    """Reason to distrust an estimate, if those of two halves of the tiles differ too much."""
    if _between(*halves) <= _between(best, source) / 2:
        return None
    return "the estimates of two halves of the tiles differ by more than half of the difference from the source"


def _distance(candidate: ProportionCandidate) -> float:
    return candidate.distance


def _between(one: ProportionCandidate, other: ProportionCandidate) -> float:
    """Hellinger distance of the proportions of two candidates."""
    return hellinger(*(torch.tensor(each.proportions, dtype=torch.float64) for each in (one, other)))


def _divergence(one: ProportionCandidate, other: ProportionCandidate) -> float:
    """Kullback-Leibler divergence of the proportions of one candidate from those of another."""
    shares, reference = (torch.tensor(each.proportions, dtype=torch.float64) for each in (one, other))
    return float(torch.xlogy(shares, shares / reference).sum())
