"""Compare candidates by a few labelled tiles of the target."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bnadapt.errors import InputError
from bnadapt.gain.candidate_results import CandidateResult, CandidateResults
from bnadapt.gain.predictions import overlap
from bnadapt.gain.source_summary import IGNORED

NORMAL = 1.645  # half of a 90 % interval, in standard errors
RESOLVED = 0.05  # difference of IoU to detect with labelled tiles
FEWEST, MOST = 2, 200


@dataclass(frozen=True)
class Measured:
    """Foreground IoU over all labelled tiles, with the ends of its 90 % interval."""

    iou: float
    low: float
    high: float


def measured(results: CandidateResults, images: Tensor, masks: Tensor) -> Mapping[str, Measured]:
    """Foreground IoU of every candidate on labelled tiles, with 90 % intervals by the jackknife over tiles.

    Args:
        results: results of all candidates on the target.
        images: (n, C, h, w) of the target, n >= 2.
        masks: (n, h, w) classes, 255 where unlabelled.

    Raises:
        InputError: no pixel is foreground.
    """
    if not ((masks > 0) & (masks != IGNORED)).any():
        raise InputError("The labelled tiles show no foreground, so that no IoU can be measured; give others.")
    masks = masks.cpu()
    return {name: _measured(result, images, masks) for name, result in results.by_name.items()}


def tiles_needed(results: CandidateResults, one: str, other: str) -> int:
    """Number of labelled tiles, at most 200, that would distinguish two candidates whose IoU differs by 0.05.

    On a tile, their IoU differs by at most what they disagree on, 1 - IoU of one prediction against the other. With so
    many tiles, 1.645 standard errors of its mean are below 0.05.
    """
    first, second = (results[name].seen.classes for name in (one, other))
    apart = [1 - overlap(a, b) for a, b in zip(first, second, strict=True)]
    mean_square = sum(each**2 for each in apart) / len(apart)
    return min(max(math.ceil(mean_square * (NORMAL / RESOLVED) ** 2), FEWEST), MOST)


def _measured(result: CandidateResult, images: Tensor, masks: Tensor) -> Measured:
    classes = result.logits(images).argmax(1)
    known, predicted, true = masks != IGNORED, classes > 0, masks > 0
    both = (predicted & true & known).sum((1, 2)).double()
    either = ((predicted | true) & known).sum((1, 2)).double()
    iou = _ratio(both.sum(), either.sum())
    without = torch.stack([_ratio(both.sum() - b, either.sum() - e) for b, e in zip(both, either, strict=True)])
    error = float(((len(without) - 1) * (without - without.mean()).square().mean()).sqrt())
    value = float(iou)
    return Measured(value, max(value - NORMAL * error, 0.0), min(value + NORMAL * error, 1.0))


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """IoU of sums; 1 for an empty union."""
    return part / whole if whole else torch.ones_like(part)
