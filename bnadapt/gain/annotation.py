"""Compare candidates by a few labelled tiles of the target."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bnadapt.errors import InputError
from bnadapt.gain.candidate_results import CandidateResults
from bnadapt.gain.candidates import DEFAULT
from bnadapt.gain.predictions import overlap
from bnadapt.gain.source_summary import IGNORED

NORMAL = 1.645  # half of a 90 % interval, in standard errors
CHANCE = 0.05  # of a value on either side of an interval, and of a choice that is better than the default by chance
RESOLVED = 0.05  # difference of IoU to detect with labelled tiles
FEWEST, MOST = 2, 200


@dataclass(frozen=True)
class Measured:
    """Foreground IoU over all labelled tiles.

    Attributes:
        iou: the IoU.
        low: lower end of its 90 % interval; 0 for one tile.
        high: upper end of it; 1 for one tile.
        lead: lower end of an interval of its IoU minus that of the default on the same tiles; -1 for one tile. With a
            probability of 95 %, no candidate's true difference is below its own.
    """

    iou: float
    low: float
    high: float
    lead: float


def check_annotation(masks: Tensor) -> None:
    """Refuse masks (n, h, w) that no IoU can be measured with.

    Raises:
        InputError: no pixel is foreground.
    """
    if not ((masks > 0) & (masks != IGNORED)).any():
        raise InputError("The labelled tiles show no foreground, so that no IoU can be measured; give others.")


def measured(results: CandidateResults, images: Tensor, masks: Tensor) -> Mapping[str, Measured]:
    """Foreground IoU of every candidate on labelled tiles, with intervals by the jackknife over tiles.

    Half of an interval is Student's t for n - 1 degrees of freedom, in standard errors. The differences to the default
    are compared on the same tiles, and share their chance of error (Bonferroni).

    Args:
        results: results of all candidates on the target, the default included.
        images: (n, C, h, w) of the target.
        masks: (n, h, w) classes, 255 where unlabelled; see `check_annotation`.
    """
    masks = masks.cpu()
    ious = {name: _ious(result.logits(images).argmax(1), masks) for name, result in results.by_name.items()}
    return {name: _compared(each, ious[DEFAULT], len(ious) - 1) for name, each in ious.items()}


def clearly_best(scores: Mapping[str, Measured], margin: float) -> str:
    """The default, unless the IoU of another candidate is higher by the margin and beyond the error of the tiles."""
    needed = scores[DEFAULT].iou + margin
    rivals = [name for name, each in scores.items() if each.lead > 0 and each.iou >= needed]
    return max(rivals, key=lambda name: scores[name].iou, default=DEFAULT)


def tiles_needed(results: CandidateResults, one: str, other: str) -> int:
    """Number of labelled tiles, at most 200, that would distinguish two candidates whose IoU differs by 0.05.

    On a tile, their IoU differs by at most what they disagree on, 1 - IoU of one prediction against the other. With so
    many tiles, 1.645 standard errors of its mean are below 0.05.
    """
    first, second = (results[name].outputs.classes for name in (one, other))
    apart = [1 - overlap(a, b) for a, b in zip(first, second, strict=True)]
    mean_square = sum(each**2 for each in apart) / len(apart)
    return min(max(math.ceil(mean_square * (NORMAL / RESOLVED) ** 2), FEWEST), MOST)


@dataclass(frozen=True)
class _Ious:
    """Foreground IoU over all tiles, and (n,) over all but each one."""

    iou: float
    without: Tensor


def _ious(classes: Tensor, masks: Tensor) -> _Ious:
    known, predicted, true = masks != IGNORED, classes > 0, masks > 0
    both = (predicted & true & known).sum((1, 2)).double()
    either = ((predicted | true) & known).sum((1, 2)).double()
    without = [_ratio(both.sum() - b, either.sum() - e) for b, e in zip(both, either, strict=True)]
    return _Ious(float(_ratio(both.sum(), either.sum())), torch.stack(without))


def _compared(candidate: _Ious, default: _Ious, rivals: int) -> Measured:
    half = _half_interval(candidate.without, CHANCE)
    lead = candidate.iou - default.iou - _half_interval(candidate.without - default.without, CHANCE / rivals)
    return Measured(candidate.iou, max(candidate.iou - half, 0.0), min(candidate.iou + half, 1.0), max(lead, -1.0))


def _half_interval(without: Tensor, chance: float) -> float:
    """Half of the interval of a value, by its values (n,) without each tile."""
    from scipy.special import stdtrit

    if (freedom := len(without) - 1) == 0:
        return math.inf
    error = (freedom * (without - without.mean()).square().mean()).sqrt()
    return float(stdtrit(freedom, 1 - chance) * error)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """IoU of sums; 1 for an empty union."""
    return part / whole if whole else torch.ones_like(part)
