"""Ways to estimate a target's share of foreground, side by side."""

import numpy as np
from scipy.special import logit
from torch import Tensor

from bnadapt.adaptation import SCANNED_TILES
from bnadapt.batchnorm import Bank, ProportionCandidate, ProportionEstimate
from bnadapt.experiments.evaluation import NetworkEvaluation

ESTIMATORS = {
    "source": "the source's share",
    "unadapted": "predicted without adaptation",
    "adapted": "predicted with AdaBN",
    "likeliest": "likeliest of the outputs with AdaBN",
    "consistent": "q whose f(q) is closest to it",
    "best": "q of the least mismatch",
    "chosen": "what adapt takes",
}


def estimates(
    network: NetworkEvaluation, tiles: Tensor, adapted: Bank, estimate: ProportionEstimate
) -> dict[str, float]:
    """The share of class 1 by every estimator.

    Args:
        network: in which the source's statistics are.
        tiles: (n, C, h, w) of the target.
        adapted: plain adapted statistics.
        estimate: the estimate of `adapt`.
    """
    few = tiles[:SCANNED_TILES]
    return {
        "source": estimate.source.proportions[1],
        "unadapted": _predicted(network, few, network.bank),
        "adapted": _predicted(network, few, adapted),
        "likeliest": estimate.source.likeliest[1],
        "consistent": min(estimate.candidates, key=_inconsistency).proportions[1],
        "best": estimate.best.proportions[1],
        "chosen": estimate.chosen.proportions[1],
    }


def clipped_logit(share: float) -> float:
    """The logit of a share, finite for 0 and 1 too."""
    return float(logit(np.clip(share, 1e-4, 1 - 1e-4)))


def _inconsistency(candidate: ProportionCandidate) -> float:
    return abs(clipped_logit(candidate.predicted[1]) - clipped_logit(candidate.proportions[1]))


def _predicted(network: NetworkEvaluation, tiles: Tensor, bank: Bank) -> float:
    with bank.applied(network.network):
        return network.forward(tiles).argmax(1).double().mean().item()
